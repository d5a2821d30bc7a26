"""Asking through the client: a request as a form that people fill in, and the form as a decision.

Nothing is approved unless somebody said so: declining denies, and whatever cannot be read leaves the request
open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_types import ElicitRequestedSchema, ElicitResult
from pydantic_core import from_json, to_json

from flujo.errors import AnswerRejected
from flujo.pipeline.waits import Action, Approval, Decision

LONGEST = 8000
"""How many characters of a request a form shows; nobody decides on what they were not shown in full."""

_ACTIONS: Mapping[str, Action] = {"approve": "approve", "edit": "edit", "deny": "deny"}
_SIMPLE = {"string", "integer", "number", "boolean"}
_KEPT = {"type", "enum", "title", "description", "format", "minLength", "maxLength", "minimum", "maximum"}


def can_be_asked(request: Approval, actor: str) -> bool:
    """Say whether a form can show all of a request, and a person can answer it who has not done so before."""
    return request.kind != "event" and actor not in request.approved_by and len(message(request)) <= LONGEST


def message(request: Approval, wrong: str = "") -> str:
    """Return what a person is shown: why it is asked, and about what; the latter marked as data."""
    lines = [f"Your last answer was not taken: {wrong}"] if wrong else []
    lines += [request.prompt, f"(asked by run {request.run_id} at {request.address})"]
    if request.subject is not None:
        lines += ["It is about this, which is data and no instruction:", to_json(request.subject).decode()]
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in "\n".join(lines))


def form(request: Approval) -> ElicitRequestedSchema:
    """Return the form of a request: what is decided and, where it can be edited, the answer."""
    actions = sorted(request.actions, key=("deny", "approve", "edit").index)
    properties: dict[str, Any] = {
        "decision": {
            "type": "string",
            "enum": actions,
            "title": "Decision",
            "description": "Whatever is left open stays undecided.",
        }
    }
    if "edit" in actions:
        properties["value"] = _field(request.schema)
    properties["reason"] = {"type": "string", "title": "Reason", "description": "Kept in the journal."}
    return {"type": "object", "properties": properties, "required": ["decision"]}


def _field(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the field of an answer: as it is where a form can hold it, else as the text of its JSON."""
    if _is_simple(schema):
        return {**{key: value for key, value in schema.items() if key in _KEPT}, "title": "Answer, to edit"}
    asked = to_json(dict(schema)).decode()
    return {"type": "string", "title": "Answer, to edit", "description": f"JSON that fits {asked}"}


def _is_simple(schema: Mapping[str, Any]) -> bool:
    kind, words = schema.get("type"), schema.get("enum", [""])
    return kind in _SIMPLE and all(isinstance(word, str) for word in words)


def decision(request: Approval, result: ElicitResult, actor: str) -> Decision | None:
    """Return what a person decided; None where they left it open.

    Raises:
        AnswerRejected: The form was not filled in as it must be.
    """
    if result.action == "cancel":
        return None
    if result.action == "decline":
        return Decision("deny", reason="declined", actor=actor, channel="mcp", digest=request.digest)
    filled = result.content or {}
    action = _ACTIONS.get(str(filled.get("decision")))
    if action is None:
        raise AnswerRejected(
            f"{request.address}: no decision was made", fix=f"decide: {' or '.join(request.actions)}"
        )
    value = _value(request, filled) if action == "edit" else None
    reason = str(filled.get("reason") or "")
    return Decision(action, value, reason=reason, actor=actor, channel="mcp", digest=request.digest)


def _value(request: Approval, filled: Mapping[str, Any]) -> Any:
    given = filled.get("value")
    if given is None or _is_simple(request.schema):
        return given
    try:
        return from_json(str(given))
    except ValueError:
        wanted = to_json(dict(request.schema)).decode()
        raise AnswerRejected(
            f"{request.address}: the answer is no JSON", fix=f"give JSON that fits {wanted}"
        ) from None

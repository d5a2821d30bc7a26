"""What a policy in Cedar is asked: who, what, on what, and all else that is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from flujo.governance.cedar_bundle import cedar_module
from flujo.governance.cedar_values import cedar_value, extension, moment
from flujo.pipeline.policy import Point, PolicyContext, Principal

if TYPE_CHECKING:
    import cedarpy

DATA: Mapping[str, str] = {
    "agent_start": "input",
    "input": "input",
    "before_model": "input",
    "after_model": "output",
    "before_tool": "arguments",
    "after_tool": "output",
    "output": "output",
    "agent_end": "output",
}
"""The member of ``context`` that holds what is judged, by point."""

GROUPS: Mapping[str, tuple[Point, ...]] = {
    "check_input": ("agent_start", "input", "before_model"),
    "check_tool": ("before_tool",),
    "check_output": ("after_model", "after_tool", "output", "agent_end"),
}
"""The points by the group of actions that they belong to."""

OBSERVE = "observe"
"""The action of taking the force from policies that a run began with."""

TEXTS = ("run_id", "pipeline", "step", "address", "tenant")
"""The members of ``context`` that are texts and always there."""


class Request(NamedTuple):
    """A question to Cedar.

    Attributes:
        facts: Principal, action, resource, and the context as JSON.
        entities: What there is to know of them.
        digest: The SHA-256 of all that was asked, in hex.
    """

    facts: Mapping[str, Any]
    entities: cedarpy.Entities
    digest: str


def request_of(context: PolicyContext, data: Any, mentions: frozenset[str] | None) -> Request:
    """Return the question whether something may go on.

    Args:
        context: Where it stands.
        data: What is judged.
        mentions: The members of ``context`` that policies look at: the others are left out; None for all.

    Raises:
        NotForCedar: It holds what Cedar cannot.
    """
    who = context.principal
    resource = {"type": "Tool", "id": context.tool} if context.tool else {"type": "Step", "id": context.step}
    if context.point in ("agent_start", "agent_end"):
        resource = {"type": "Pipeline", "id": context.pipeline}
    known = {
        name: get() for name, get in _members(context, data).items() if mentions is None or name in mentions
    }
    said = json.dumps({name: one for name, one in known.items() if one is not None})
    attributes = json.dumps({name: _text(value) for name, value in sorted(who.attributes.items())})
    labels = tuple(sorted(context.facts.get("labels", ()))) if context.tool else ()
    entities, about = _entities(
        who.id, who.roles, who.tenant, attributes, context.pipeline, context.step, context.tool, labels
    )
    facts = {
        "principal": {"type": "Principal", "id": who.id},
        "action": {"type": "Action", "id": context.point},
        "resource": resource,
        "context": said,
    }
    return Request(facts, entities, _digest(context.point, said, about))


def observing(principal: Principal, pipeline: str, tenant: str, at: Any) -> Request:
    """Return the question whether the policies of a run of a pipeline may lose their force."""
    attributes = json.dumps({name: _text(value) for name, value in sorted(principal.attributes.items())})
    who = (principal.id, principal.roles, principal.tenant)
    entities, about = _entities(*who, attributes, pipeline, "", "", ())
    said = json.dumps({"tenant": tenant, "pipeline": pipeline, "at": extension("datetime", moment(at))})
    facts = {
        "principal": {"type": "Principal", "id": principal.id},
        "action": {"type": "Action", "id": OBSERVE},
        "resource": {"type": "Pipeline", "id": pipeline},
        "context": said,
    }
    return Request(facts, entities, _digest(OBSERVE, said, about))


def _members(context: PolicyContext, data: Any) -> Mapping[str, Callable[[], Any]]:
    """Return how each member of Cedar's ``context`` is found: what no policy looks at is not even read."""
    facts = context.facts
    return {
        "run_id": lambda: context.run_id,
        "pipeline": lambda: context.pipeline,
        "step": lambda: context.step,
        "address": lambda: context.address,
        "tenant": lambda: context.tenant,
        "tool": lambda: context.tool or None,
        "at": lambda: extension("datetime", moment(context.at)),
        "hour": lambda: context.at.hour,
        "weekday": lambda: context.at.isoweekday(),
        "labels": lambda: sorted(context.labels),
        "model": lambda: cedar_value(facts.get("model")),
        "region": lambda: cedar_value(facts.get("region")),
        "context": lambda: cedar_value(context.context),
        DATA[context.point]: lambda: cedar_value(data),
    }


@lru_cache(maxsize=512)
def _entities(
    who: str,
    roles: tuple[str, ...],
    tenant: str,
    attributes: str,
    pipeline: str,
    step: str,
    tool: str,
    labels: tuple[str, ...],
) -> tuple[cedarpy.Entities, str]:
    """Return the entities of a request, parsed once for all requests like it, and their text."""
    found: list[dict[str, Any]] = [
        {
            "uid": {"type": "Principal", "id": who},
            "attrs": {"id": who, "roles": list(roles), "tenant": tenant},
            "parents": [{"type": "Role", "id": role} for role in roles],
            "tags": json.loads(attributes),
        },
        *({"uid": {"type": "Role", "id": role}, "attrs": {}, "parents": []} for role in dict.fromkeys(roles)),
        {"uid": {"type": "Pipeline", "id": pipeline}, "attrs": {}, "parents": []},
    ]
    above = {"type": "Pipeline", "id": pipeline}
    for kind, name in (("Step", step), ("Tool", tool)):
        if name:
            facts = {"name": name} | ({"labels": labels} if kind == "Tool" else {})
            found.append({"uid": {"type": kind, "id": name}, "attrs": facts, "parents": [above]})
            above = {"type": kind, "id": name}
    for group, points in GROUPS.items():
        found.append({"uid": {"type": "Action", "id": group}, "attrs": {}, "parents": []})
        above = {"type": "Action", "id": group}
        found += ({"uid": {"type": "Action", "id": one}, "attrs": {}, "parents": [above]} for one in points)
    text = json.dumps(found)
    return cedar_module().Entities.from_json_str(text), text


def _digest(action: str, said: str, about: str) -> str:
    return sha256(f"{action}\n{said}\n{about}".encode()).hexdigest()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)

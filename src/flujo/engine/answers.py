"""Answering: whether a decision fits what was asked, and how it is written down."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from flujo.engine.record import Note, Recall
from flujo.engine.requests import faults, is_late, pending
from flujo.engine.run import Run, microseconds, node_at
from flujo.errors import AnswerRejected, UnknownRequest
from flujo.pipeline.waits import Approval, Decision
from flujo.plan.codec import Codec, Unrecordable, codec_for
from flujo.plan.nodes import PlanEvent, PlanHuman, PlanStep
from flujo.plan.plan import Plan
from flujo.plan.schemas import check_schema


def choose(recall: Recall, run_id: str, request: str | None) -> Approval:
    """Return the pending request that an answer is for: the one named, or the only one.

    Args:
        recall: What the run's journal knows.
        run_id: The run.
        request: The request's id or address; None for the only one.

    Raises:
        UnknownRequest: There is no such request, or there are several and none is named.
    """
    waiting = pending(recall.notes, run_id)
    if request is not None:
        for one in waiting:
            if request in (one.id, one.address):
                return one
        raise UnknownRequest(
            f"run {run_id} waits for no request {request!r}",
            fix=f"choose from {_addresses(waiting)}"
            if waiting
            else "it waits for nothing: resume it without an answer",
        )
    if len(waiting) == 1:
        return waiting[0]
    if not waiting:
        raise UnknownRequest(f"run {run_id} waits for no answer", fix="resume it without one")
    raise UnknownRequest(
        f"run {run_id} waits for {len(waiting)} answers",
        fix=f"name one: request= one of {_addresses(waiting)}",
    )


def note_answer(plan: Plan, run: Run, recall: Recall, decision: Decision, request: str | None) -> Approval:
    """Record an answer to one of a run's requests, and return the request.

    Raises:
        UnknownRequest: The run waits for no such request.
        AnswerRejected: The decision does not fit it; nothing is recorded.
    """
    asked = choose(recall, run.id, request)
    body = judged(plan, recall, asked, decision, run.clock.now())
    kind = "approval" if _leaves_open(asked, decision) else "answer"
    run.note(kind, asked.address, body)
    run.notes.setdefault(asked.address, []).append(Note(kind, body))
    return asked


def _leaves_open(asked: Approval, decision: Decision) -> bool:
    """Say whether others must approve as well.

    Raises:
        AnswerRejected: It is not known who approves, or they have approved before.
    """
    if asked.approvals == 1 or decision.action != "approve":
        return False
    if not identity(decision.actor) or identity(decision.actor) in map(identity, asked.approved_by):
        who = f"{decision.actor} has approved already" if decision.actor else "nobody says who approves"
        raise AnswerRejected(
            f"{asked.address}: {asked.approvals} people must approve, and {who}",
            fix="let somebody else approve: Decision('approve', actor='…')",
        )
    return len(asked.approved_by) + 1 < asked.approvals


def identity(actor: str) -> str:
    """Return what tells people apart: case, spaces and marks that nobody sees make nobody another person."""
    seen = (letter for letter in unicodedata.normalize("NFKC", actor) if unicodedata.category(letter) != "Cf")
    return " ".join("".join(seen).casefold().split())


def judged(plan: Plan, recall: Recall, request: Approval, decision: Decision, now: int) -> dict[str, Any]:
    """Return an answer as it is recorded, if the decision fits the request.

    Raises:
        AnswerRejected: It does not; the run stays as it is.
    """
    if decision.action not in request.actions:
        raise AnswerRejected(
            f"{request.address}: {decision.action!r} cannot be decided here",
            fix=f"use {' or '.join(request.actions)}",
        )
    if decision.digest and decision.digest != request.digest:
        raise AnswerRejected(
            f"{request.address}: the decision is about something else than what is asked now",
            fix="look at the request again and decide anew",
        )
    if is_late(request, now):
        raise AnswerRejected(
            f"{request.address}: the time for an answer ended {request.deadline:%Y-%m-%d %H:%M:%S} UTC",
            fix="resume the run without an answer: it goes on as it does when nobody answered",
        )
    value = None
    if decision.action == "edit" or (decision.action == "approve" and request.kind != "in_doubt"):
        given = _edited(request, decision.value) if decision.action == "edit" else request.subject
        for codec in _codecs(plan, recall, request):
            value = fitting(codec, given, request.address)
        if decision.action == "edit" or not _is_call(request):
            _check(request, value)
    return {
        "action": decision.action,
        "value": value,
        "reason": decision.reason,
        "actor": decision.actor,
        "channel": decision.channel,
        "at": microseconds(decision.at),
        "digest": request.digest,
    }


def _is_call(request: Approval) -> bool:
    """Say whether it asks for a call of a tool, whose arguments its schema is of."""
    shown = request.subject
    return (
        request.kind == "tool"
        and isinstance(shown, dict)
        and cast("dict[str, Any]", shown).keys() == {"tool", "arguments"}
    )


def _edited(request: Approval, value: Any) -> Any:
    """Return what was edited: of a call its arguments, also where the whole that was shown was edited."""
    match value:
        case {"tool": tool, "arguments": arguments, **rest} if not rest and _is_call(request):
            return arguments if tool == request.subject["tool"] else value
        case _:
            return value


def _check(request: Approval, value: Any) -> None:
    """Check an answer against the schema that was shown, where that is all that is known of its type.

    Raises:
        AnswerRejected: It does not fit.
    """
    if request.kind not in ("tool", "pause"):
        return
    try:
        check_schema(request.schema, value)
    except ValidationError as error:
        raise _unfit(request.address, faults(error, request.schema), request.schema) from None


def fitting(codec: Codec, given: Any, address: str) -> Any:
    """Return an answer's value as JSON, whether it was given as JSON or as the type itself.

    Raises:
        AnswerRejected: It does not fit the type; the error says where, not what was given.
    """
    try:
        return from_json(codec.dump(given))
    except Unrecordable:
        pass
    try:
        return from_json(codec.dump(codec.load_parsed(from_json(to_json(given)))))
    except (Unrecordable, ValueError) as error:
        wrong = faults(error, codec.schema())
    raise _unfit(address, wrong, codec.schema())


def _unfit(address: str, wrong: str, schema: Mapping[str, Any]) -> AnswerRejected:
    return AnswerRejected(
        f"{address}: the answer does not fit what is asked: {wrong}",
        fix=f"give a value that fits the schema {to_json(schema).decode()}",
    )


def _codecs(plan: Plan, recall: Recall, request: Approval) -> list[Codec]:
    """Return what an answer must fit: the type that was asked for, and the step's output that it becomes."""
    node = node_at(plan, request.run_id, recall.notes)(request.address.partition("#")[0])
    match node:
        case PlanHuman() | PlanEvent():
            return [codec_for(node.node.schema)]
        case PlanStep() if "#" not in request.address:
            return [*_asked_type(recall, request), codec_for(node.output_type)]
        case _:
            return _asked_type(recall, request) or [codec_for(Any)]


def _asked_type(recall: Recall, request: Approval) -> list[Codec]:
    """Return the type a step asked for, where it can be found again by its import path."""
    asked = [note.body for note in recall.notes[request.address] if note.kind == "request"]
    module, _, name = asked[-1]["type"].partition(":")
    if not name:
        return []
    found: Any = sys.modules.get(module)  # the pipeline's code is loaded: nothing is imported by name
    for part in name.split("."):
        found = getattr(found, part, None)
    return [] if found is None else [codec_for(found)]


def _addresses(waiting: Sequence[Approval]) -> str:
    return ", ".join(repr(one.address) for one in waiting)


def decision_of(human_input: Any) -> Decision:
    """Return an answer as the decision that it stands for."""
    return human_input if isinstance(human_input, Decision) else Decision("edit", human_input)

"""Dispatch: what the engine asks of workers, and when a run has something to go on with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from flujo.engine.answers import fitting
from flujo.engine.clock import Clock
from flujo.engine.identity import new_run_id, new_token
from flujo.engine.opened import Stored
from flujo.engine.record import Note
from flujo.engine.requests import is_late, misfit
from flujo.engine.result import PipelineResult
from flujo.engine.run import Run, mutations
from flujo.errors import AnswerRejected, ResumeError, UnknownRequest
from flujo.journal.events import Event
from flujo.journal.store import ENDED, Batch, JournalStore, Signal
from flujo.pipeline.waits import Approval
from flujo.plan.codec import Codec, codec_for
from flujo.plan.nodes import PlanEvent, PlanNode
from flujo.plan.plan import Plan

PATIENT_DEATHS = 3
"""How many processes in a row a run may cost, without getting any further, before it is made to wait."""
LONGEST_SECONDS = 300.0
"""The longest that it is made to wait; at first a second, then twice as long each time."""


class Woken(NamedTuple):
    """What came of waking a run.

    Attributes:
        result: How it ended or where it waits now; None where it had nothing to go on with.
        due: When it will have, in microseconds since the Unix epoch, where that is known already.
    """

    result: PipelineResult[Any, Any] | None
    due: int | None = None


def due_of(known: Stored, signals: Iterable[Signal]) -> int | None:
    """Return when a run may go on, in microseconds; 0 for now, None where something must come first."""
    if known.record.status in ENDED:
        return None
    if known.record.status != "paused":
        return _after_deaths(known.events)
    names = {signal.name for signal in signals}
    dues: list[int] = []
    for waiting in _waiting(known.recall.notes):
        if waiting.kind == "request" and waiting.body["kind"] == "event" and waiting.body["name"] in names:
            return 0
        dues.append(waiting.body["due" if waiting.kind == "timer" else "deadline"] or 0)
    return min((due for due in dues if due), default=None)


def _after_deaths(events: Sequence[Event]) -> int:
    """Return when a run may go on whose process died: later and later, where it does so at the same place."""
    deaths = 0
    for event in reversed(events):
        if event.kind != "run.resumed":
            break
        deaths += 1
    if deaths < PATIENT_DEATHS:
        return 0
    wait = min(2.0 ** (deaths - PATIENT_DEATHS), LONGEST_SECONDS)
    return events[-1].at + int(wait * 1e6)


def _waiting(notes: Mapping[str, Sequence[Note]]) -> list[Note]:
    """Return the open requests, and the timers."""
    found: list[Note] = []
    for known in notes.values():
        last = [note for note in known if note.kind in ("request", "answer", "timer")][-1:]
        found += (note for note in last if note.kind != "answer")
    return found


async def ask_for(store: JournalStore, known: Stored) -> None:
    """Ask workers to carry a run on that has not ended, should nobody have asked them yet."""
    if known.record.status not in ENDED:
        await store.submit(Batch(known.record.run_id, new_token(), (), jobs=[known.job]))


async def deliver(
    store: JournalStore, plan: Plan, known: Stored, event: str, payload: Any, *, clock: Clock
) -> None:
    """Keep an event for a run, and ask workers to go on with the run.

    Raises:
        UnknownRequest: The pipeline waits for no event of this name.
        AnswerRejected: The payload fits none of those that it waits for.
        ResumeError: The run has ended.
    """
    record = known.record
    if record.status in ENDED:
        raise ResumeError(
            f"run {record.run_id} has ended already: {record.status}", fix="send the event to another run"
        )
    value = _fitted(plan, _joined(plan, known), record.run_id, event, payload)
    signal = Signal(new_run_id(), record.run_id, event, clock.now(), to_json(value))
    await store.submit(Batch(record.run_id, new_token(), (), jobs=[known.job], signals=[signal]))


def _joined(plan: Plan, known: Stored) -> list[PlanNode]:
    """Return the nodes that joined a run while it ran."""
    recorded = mutations(known.recall.notes)
    if not recorded:
        return []
    from flujo.engine.rows import Grown

    return list(Grown(plan, known.record.run_id, recorded).joined())


def _fitted(plan: Plan, joined: Sequence[PlanNode], run_id: str, event: str, payload: Any) -> Any:
    """Return a payload as JSON that fits one of the places where the pipeline waits for its event."""
    nodes: list[PlanNode] = [*plan.nodes.values(), *joined]
    waits = [node.node for node in nodes if isinstance(node, PlanEvent)]
    codecs = [codec_for(node.schema) for node in waits if node.event == event]
    if not codecs:
        close = difflib.get_close_matches(event, {node.event for node in waits}, n=1)
        raise UnknownRequest(
            f"run {run_id} does not wait for the event {event!r}: {plan.name!r} has no such WaitForEvent",
            fix=f"did you mean {close[0]!r}?" if close else "look at its events with `flujo show`",
        )
    rejected: AnswerRejected | None = None
    for codec in codecs:
        try:
            return fitting(codec, payload, f"the event {event!r}")
        except AnswerRejected as error:
            rejected = error
    assert rejected is not None
    raise rejected


async def arrived(run: Run, waiting: Approval, event: str, codec: Codec) -> dict[str, Any] | None:
    """Take in the first kept event that a place waits for, if it came in time; return it as an answer."""
    recorder = run.recorder
    if recorder is None:
        return None
    for signal in await recorder.store.signals(run.id):
        if signal.name != event or signal.id in run.received or is_late(waiting, signal.at):
            continue
        answer = {
            "action": "edit",
            "value": from_json(signal.payload),
            "reason": "",
            "actor": "",
            "channel": "signal",
            "at": signal.at,
            "digest": waiting.digest,
        }
        if misfit(answer, codec):
            continue  # it is for another place that waits for an event of this name
        run.received.add(signal.id)
        recorder.receive(signal.id)
        run.note("answer", waiting.address, answer)
        return answer
    return None

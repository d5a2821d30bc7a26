"""Reading a run's result from its journal alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

from flujo import errors
from flujo.engine.failures import RecordedFailure, quota_of
from flujo.engine.opened import Opened, Opener, Stored
from flujo.engine.record import read_usage
from flujo.engine.requests import pending
from flujo.engine.result import Mutation, PipelineResult, Status, StepHistory, StepResult
from flujo.engine.run import Run, mutations, node_at
from flujo.errors import FlujoError, PlanChanged, PolicyDenied, QuotaExceeded, RunError, StepFailed
from flujo.journal.events import Event
from flujo.pipeline.info import NO_USAGE
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanMap, PlanParallel, PlanStep
from flujo.plan.plan import NUMBER, Plan


async def stored_result(plan: Plan, opener: Opener, known: Stored) -> PipelineResult[Any, Any]:
    """Return how a run stands: what ended, its context and usage, its output or what it waits for.

    A run whose process died is reported as ``paused`` with nothing pending: it can be resumed.
    """
    opened = await opener.stored(known, None)
    run, frame = opened.run, opened.frame
    assert run.recorder is not None
    ended = await read_into(plan, opened, known.events)
    status: Status = ended.get("status", "paused")
    output = (
        await run.recorder.value(ended, codec_for(plan.root.output_type), plan.name)
        if status == "completed"
        else None
    )
    return PipelineResult(
        run_id=run.id,
        status=status,
        output=output,
        steps=StepHistory(run.steps),
        context=frame.context,
        usage=frame.usage or NO_USAGE,
        pending=() if ended else tuple(pending(known.recall.notes, run.id)),
        error=restored(ended["error"]) if "error" in ended else None,
        reason=ended.get("reason", ""),
        mutations=_mutations(run),
    )


def _mutations(run: Run) -> tuple[Mutation, ...]:
    recorded = mutations(run.notes)
    if not recorded:
        return ()
    from flujo.engine.rows import told

    return tuple(told(address, facts) for address, facts in recorded)


async def reread(plan: Plan, opener: Opener, opened: Opened) -> Opened:
    """Return a run that went on in this process as its journal knows it.

    The walk of a resumed run may have ended before it came by everything that was recorded.
    """
    run = opened.run
    assert run.recorder is not None
    await run.recorder.commit(sure=True)
    known = await opener.find(run.id)
    fresh = await opener.stored(known, run.observe)
    fresh.run.recorder = run.recorder
    await read_into(plan, fresh, known.events)
    return fresh


async def reopened(plan: Plan, opener: Opener, known: Stored) -> tuple[Opened, bool]:
    """Open a run that was made by another plan, for it to be ended.

    Returns:
        The run, and whether this plan can read what it did; otherwise it has no steps and an empty context.
    """
    with suppress(PlanChanged):
        at = node_at(plan, known.record.run_id, known.recall.notes)
        if all(at(_NUMBERED.sub("", address)) is not None for address in known.recall.done):
            opened = await opener.stored(known, None)
            await read_into(plan, opened, known.events)
            return opened, True
    return opener.blind(known), False


_NUMBERED = re.compile(r"\[\d*\]\Z")
"""What the address of a turn or of a choice has behind the one of its node."""


async def read_into(plan: Plan, opened: Opened, events: Sequence[Event]) -> Mapping[str, Any]:
    """Bring a run to where its events brought it, without walking it: steps, usage, context.

    Returns:
        The body of the event it ended with; empty while it has not.
    """
    run, frame = opened.run, opened.frame
    assert run.recorder is not None
    apart = tuple(
        f"{path}{mark}"
        for path, node in plan.nodes.items()
        if isinstance(node, PlanParallel | PlanMap)
        for mark in "/["
    )
    at, joined = node_at(plan, run.id, run.notes), mutations(run.notes)
    if joined:
        from flujo.engine.rows import joined_lanes

        apart += joined_lanes(joined)
    done = {event.address for event in events if event.kind in ("step.completed", "node.completed")}
    parts = ("step.attempt", "step.discarded")
    told = {event.address: event.seq for event in events if event.kind in (*parts, "step.completed")}
    ended: Mapping[str, Any] = {}
    for event in events:
        facts: dict[str, Any] = from_json(event.body)
        path = NUMBER.sub("[]", event.address)
        counted = event.kind in parts and event.address in done
        if event.kind == "effect":  # its step tells it, once its attempt is over
            counted = told.get(event.address.partition("#")[0], 0) > event.seq
        if "usage" in facts and not counted:
            frame.used(read_usage(facts["usage"]))
        if "patch" in facts and (event.kind == "undone" or not path.startswith(apart)):
            frame.replay(facts["patch"])
        node = at(event.address)
        if isinstance(node, PlanStep) and event.kind in ("step.completed", "node.completed"):
            memo = await run.recorder.recorded(event.body, codec_for(node.output_type), event.address)
            run.steps.append(
                StepResult(
                    node.label, event.address, memo.output, memo.attempts, memo.duration, memo.usage, True
                )
            )
        elif event.kind == "run.ended":
            ended = facts
    return ended


def restored(facts: Mapping[str, Any]) -> FlujoError:
    """Return a recorded error: of its own class, without the exception that caused it."""
    kinds = {
        kind.code: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, FlujoError)
    }
    kind = kinds.get(facts["code"], RunError)
    error = kind.__new__(kind)
    FlujoError.__init__(error, facts["message"], fix=facts["fix"])
    if isinstance(error, StepFailed):
        error.step, error.address, error.attempt = facts["step"], facts["address"], facts["attempt"]
    if isinstance(error, QuotaExceeded):
        vars(error).update(quota_of(RecordedFailure("quota", "", facts["quota"])))
    if isinstance(error, PolicyDenied):
        vars(error).update(facts.get("denied", {}))
    for note in facts.get("notes", ()):
        error.add_note(note)
    return error

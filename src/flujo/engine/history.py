"""Reading a run's result from its journal alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from flujo import errors
from flujo.engine.opened import Opener, Stored
from flujo.engine.record import read_usage
from flujo.engine.requests import pending
from flujo.engine.result import PipelineResult, Status, StepHistory, StepResult
from flujo.errors import FlujoError, RunError, StepFailed
from flujo.pipeline.info import Usage
from flujo.plan.codec import codec_for
from flujo.plan.nodes import PlanMap, PlanParallel
from flujo.plan.plan import Plan

_NUMBER = re.compile(r"\[\d+\]")


async def stored_result(plan: Plan, opener: Opener, known: Stored) -> PipelineResult[Any]:
    """Return how a run stands: what ended, its context and usage, its output or what it waits for.

    A run whose process died is reported as ``paused`` with nothing pending: it can be resumed.
    """
    opened = await opener.stored(known, None, reads=True)
    run, frame = opened.run, opened.frame
    assert run.recorder is not None
    assert frame.tracker is not None
    apart = tuple(path for path, node in plan.nodes.items() if isinstance(node, PlanParallel | PlanMap))
    usage, steps = Usage(), list[StepResult]()
    ended: Mapping[str, Any] = {}
    for event in known.events:
        facts: dict[str, Any] = from_json(event.body)
        path = _NUMBER.sub("[]", event.address)
        if event.kind != "step.attempt" or event.address not in known.recall.done:
            usage = usage + read_usage(facts.get("usage"))
        if "patch" in facts and not path.startswith(tuple(f"{one}{mark}" for one in apart for mark in "/[")):
            frame.tracker.apply(facts["patch"])
        if event.kind == "step.completed":
            memo = await run.recorder.recorded(event.body, codec_for(plan.nodes[path].output_type))
            label = plan.nodes[path].label
            steps.append(
                StepResult(
                    label, event.address, memo.output, memo.attempts, memo.duration, memo.usage, reused=True
                )
            )
        elif event.kind == "run.ended":
            ended = facts
    status: Status = ended.get("status", "paused")
    output = (
        await run.recorder.value(ended, codec_for(plan.root.output_type)) if status == "completed" else None
    )
    return PipelineResult(
        run_id=run.id,
        status=status,
        output=output,
        steps=StepHistory(steps),
        context=frame.context,
        usage=usage,
        pending=() if ended else tuple(pending(known.recall.notes, run.id)),
        error=restored(ended["error"]) if "error" in ended else None,
        reason=ended.get("reason", ""),
    )


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
    for note in facts.get("notes", ()):
        error.add_note(note)
    return error

"""Carrying a run to its end, with somebody who answers what it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flujo.engine.result import PipelineResult
from flujo.engine.runner import Flujo
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.waits import Approval, Decision
from flujo.testing.clock import VirtualClock


class Signal(NamedTuple):
    """An answer: an event from outside comes."""

    name: str
    payload: Any = None


class Late(NamedTuple):
    """An answer: nobody answers, and so many seconds pass."""

    seconds: float


Answer = Decision | Signal | Late


async def carry_on(
    runner: Flujo[Any, Any],
    run_id: str,
    input: Any,
    answer: Callable[[Approval], Answer | None],
    *,
    clock: VirtualClock,
    context: PipelineContext | None = None,
    seen: Callable[[PipelineResult[Any]], None] = lambda result: None,
) -> PipelineResult[Any]:
    """Carry a run on from wherever it stands until it ends, or nobody answers what it asks.

    Args:
        runner: Who carries it.
        run_id: Its name; where its store knows no such run, it begins.
        input: What it begins with.
        answer: Answers a request; None leaves it open.
        clock: What moves where an answer is late.
        context: What it begins with.
        seen: Is shown each result, also those of pauses.
    """
    if runner.store is not None and await runner.store.run(run_id) is not None:
        result = await runner.resume_async(run_id)
    else:
        result = await runner.run_async(input, run_id=run_id, context=context)
    seen(result)
    while result.status == "paused":
        given = next(((one, said) for one in result.pending if (said := answer(one)) is not None), None)
        match given:
            case None:
                return result
            case request, Decision() as decision:
                result = await runner.resume_async(run_id, decision, request=request.address)
            case _, Signal(name, payload):
                await runner.signal(run_id, name, payload)
                result = await runner.resume_async(run_id)
            case _, Late(seconds):
                clock.advance(seconds)
                result = await runner.resume_async(run_id)
        seen(result)
    return result

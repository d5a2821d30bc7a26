"""Streams: streaming steps that stand next to each other, carried out together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from flujo.engine.build import Build
from flujo.engine.channel import Channel, Fed
from flujo.engine.gate import after_hooks, announced, step_body
from flujo.engine.hop import Ended, Hop, Place
from flujo.engine.merge import merge
from flujo.engine.record import OUTPUT_APART, read_usage
from flujo.engine.result import StepCompleted, StepResult
from flujo.engine.run import Frame, Run, Suspended, Walk
from flujo.engine.side_by_side import needs_views
from flujo.errors import ConfigError, HookFailed, RunTaken
from flujo.pipeline.context import fork
from flujo.pipeline.info import NO_USAGE, Usage
from flujo.plan.nodes import PlanStream


class _Waits(Exception):
    """Breaks a segment off, one of whose steps waits for an answer."""

    def __init__(self, suspended: Suspended) -> None:
        super().__init__()
        self.suspended = suspended


def compile_stream(nodes: Sequence[PlanStream], build: Build) -> Walk:
    """Return the walk of a segment: all of its steps at once, then their results, recorded together.

    What the journal knows is the whole segment or nothing of it: one that was broken off begins anew.
    """
    hops = [Hop(node, build) for node in nodes]
    last = nodes[-1].label
    segment = Segment(hops, build)

    async def stream(frame: Frame, value: Any) -> Any:
        run = frame.run
        if run.done and frame.prefix + last in run.done:
            return await segment.recalled(frame)
        if run.given_up:
            raise RunTaken(f"run {run.id} was given up before {frame.prefix + hops[0].label!r} began")
        await run.commit()
        value = await segment.announce(frame, value)
        if hops[0].governed is not None:
            value = await hops[0].governed.readmit(frame, frame.prefix + hops[0].label, value)
        outcome = await segment.flow(frame, value)
        return outcome if isinstance(outcome, Suspended) else await segment.complete(frame, outcome)

    walk: Walk = stream
    for hop in hops:
        if hop.governed is not None:
            _check_judged(hops, hop)
            walk = hop.governed.entering(walk, _no_way_on)
    return walk


def _check_judged(hops: Sequence[Hop], hop: Hop) -> None:
    """Refuse what would have to be judged of what flows between streaming steps, which no event holds.

    Raises:
        ConfigError: A policy judges it, or the step declares what it may be given or takes away.
    """
    if len(hops) == 1 or hop.governed is None:
        return
    node = hop.plan.node
    declared = {"cleared_for": node.cleared_for, "declassifies": node.declassifies}
    for name, given in declared.items():
        if given is not None:
            raise ConfigError(
                f"{hop.plan.path!r} has {name}=, but it streams to or from another step, chunk by chunk",
                fix="put a plain step between the two, and have one of the three declare it",
            )
    if hop.governed.judges:
        raise ConfigError(
            f"a policy judges what goes into {hop.plan.path!r} or comes out of it, but it streams to or from "
            "another step, chunk by chunk",
            fix="put a plain step between the two: it takes the whole value, which is judged",
        )


async def _no_way_on(frame: Frame, result: StepResult, fallback: Frame | None, paid: Usage) -> Any:
    raise AssertionError("a streaming step has nothing that runs where it is denied")


class Segment:
    """Streaming steps next to each other."""

    def __init__(self, hops: Sequence[Hop], build: Build) -> None:
        self._hops = hops
        self._last = hops[-1].label
        self._before, self._after = build.hooks.before_step, build.hooks.after_step
        self._looks = any(needs_views(hop.plan, build) for hop in hops)
        self._kept = {hop.plan.path for hop in hops} & build.plan.kept

    async def announce(self, frame: Frame, value: Any) -> Any:
        """Show to hooks what goes in, and tell that the steps begin."""
        value = await announced(self._before, self._hops[0].label, frame, value)
        for hop in self._hops[1:]:
            if await announced(self._before, hop.label, frame, None) is not None:
                raise HookFailed(
                    f"a hook replaced the input of {frame.prefix + hop.label!r}, which is given a stream",
                    fix=f"replace the input of {self._hops[0].label!r}, where the stream begins",
                )
        return value

    async def flow(self, frame: Frame, value: Any) -> list[Ended] | Suspended:
        """Carry the steps out at once; the first to fail ends the others."""
        places = self._places(frame, value)
        if len(places) == 1:
            ended = await self._hops[0].carry(places[0])
            return ended if isinstance(ended, Suspended) else [ended]
        ends: list[Ended | None] = [None] * len(places)

        async def carry(at: int) -> None:
            ended = await self._hops[at].carry(places[at])
            if isinstance(ended, Suspended):
                raise _Waits(ended)
            ends[at] = ended

        whole = False
        try:
            async with asyncio.TaskGroup() as group:
                for at in range(len(places)):
                    group.create_task(carry(at))
            self._join(frame, places)
            whole = True
        except ExceptionGroup as several:  # in the order in which they failed; the first broke the others off
            waits = [error for error in several.exceptions if isinstance(error, _Waits)]
            failed = [error for error in several.exceptions if error not in waits]
            if failed:
                raise failed[0] from failed[0].__cause__
            return Suspended.together([one.suspended for one in waits])  # several may have asked at once
        finally:
            if not whole:
                for hop, place, ended in zip(self._hops, places, ends, strict=True):
                    if ended is not None:
                        hop.discard(place.frame, ended.outcome)
        return [ended for ended in ends if ended is not None]

    def _places(self, frame: Frame, value: Any) -> list[Place]:
        alone = len(self._hops) == 1
        places: list[Place] = []
        inlet: Channel | Fed = self._hops[0].fed(value)
        for at, hop in enumerate(self._hops):
            outlet = None if at == len(self._hops) - 1 else Channel(hop.plan.stream.buffer)
            views = self._looks and not alone
            context = fork(frame.context) if views else frame.context
            place = (
                frame if alone else Frame(frame.run, frame.prefix, context, None, frame.slots, frame, False)
            )
            places.append(Place(place, None if at else value, inlet, outlet))
            inlet = outlet or inlet
        return places

    def _join(self, frame: Frame, places: Sequence[Place]) -> None:
        """Bring together what the steps did to the context."""
        if self._looks:
            labels = [frame.prefix + hop.label for hop in self._hops]
            views = [place.frame.context for place in places]
            merge(frame.context, list(zip(labels, views, strict=True)))

    async def complete(self, frame: Frame, ends: Sequence[Ended]) -> Any:
        """Show the results to hooks, record them, and tell them; return what goes on."""
        run = frame.run
        results: list[StepResult] = []
        for hop, (outcome, took) in zip(self._hops, ends, strict=True):
            address = frame.prefix + hop.label
            result = StepResult(hop.label, address, outcome.output, outcome.attempts, took, outcome.usage)
            if self._after:
                leaving = None if hop.governed is None else hop.governed.leaving
                result = await after_hooks(self._after, frame, result, leaving)
            results.append(result)
        if run.recorder is not None:
            self._record(frame, results)
        for hop, result, (outcome, _) in zip(self._hops, results, ends, strict=True):
            frame.used(result.usage - outcome.paid if outcome.paid else result.usage)
            run.steps.append(result)
            self._keep(frame, hop, result.output)
        if run.observe is not None:
            await run.commit()
            for result in results:
                run.observe(StepCompleted(run.id, result))
        return results[-1].output

    def _record(self, frame: Frame, results: Sequence[StepResult]) -> None:
        """Append the results, all for one commit: a journal that holds one of them holds the last."""
        run = frame.run
        assert run.recorder is not None
        written = [hop.written(run, result) for hop, result in zip(self._hops, results, strict=True)]
        patch = frame.diff(results[-1].address) if self._looks else None
        again = NO_USAGE
        for hop, result, member in zip(self._hops, results, written, strict=True):
            if hop.settle is not None:
                hop.settle(run, result.address)
            usage = result.usage + again
            if result.address in run.done and result is not results[-1]:
                # Of a journal that ends in the middle of a segment: what was used before counts as well.
                frame.used(_usage_of(run, result.address))
                again = usage
                continue
            again = NO_USAGE
            body = step_body(member, result, usage, patch if result is results[-1] else None)
            run.recorder.append("step.completed", result.address, body)

    async def recalled(self, frame: Frame) -> Any:
        """Return what the journal knows the segment to have given."""
        output: Any = None
        for hop in self._hops:
            address = frame.prefix + hop.label
            known = frame.run.done.get(address)
            if known is None:
                continue  # the code that the run began with had no such step
            if isinstance(known, bytes) and known.startswith(OUTPUT_APART):
                assert frame.run.recorder is not None
                assert hop.codec is not None
                known = await frame.run.recorder.recorded(known, hop.codec, address)
            output = hop.reuse(frame, address, known)
            self._keep(frame, hop, output)
        return output

    def _keep(self, frame: Frame, hop: Hop, output: Any) -> None:
        if hop.plan.path in self._kept:
            frame.slots[hop.plan.path] = output


def _usage_of(run: Run, address: str) -> Usage:
    known = run.done[address]
    if isinstance(known, bytes):
        return read_usage(from_json(known).get("usage"))
    return known.usage

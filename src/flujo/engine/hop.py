"""Hops: one streaming step each, whose chunks are told, handed on, and made into a final value."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from typing_extensions import override

from flujo.engine.attempts import Attempted
from flujo.engine.build import Build, bind, governed_step, judge, output_check
from flujo.engine.channel import Channel, Fed
from flujo.engine.failures import Rejected
from flujo.engine.gate import attempts_of, compile_reuse, noting
from flujo.engine.record import usage_parts
from flujo.engine.result import Chunk, StepResult
from flujo.engine.run import Frame, Run, Suspended
from flujo.errors import RecordError, RunError, RunTaken
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.pipeline.streaming import Fold
from flujo.pipeline.waits import PauseForHumanInput
from flujo.plan.codec import Unrecordable
from flujo.plan.nodes import PlanStream
from flujo.plan.types import type_name

_BREATH = 0.01
"""Seconds after which a stream lets the other tasks of the loop go on."""


class Place(NamedTuple):
    """Where one step of a segment stands in a run.

    Attributes:
        frame: The place; with a view of the context of its own where steps of the segment look at it.
        given: The value that the step takes, if it takes no chunks.
        inlet: Where its chunks come from.
        outlet: Where its chunks go; None for the last.
    """

    frame: Frame
    given: Any
    inlet: Channel | Fed
    outlet: Channel | None


class Ended(NamedTuple):
    """What one step of a segment came to, and after how many seconds."""

    outcome: Attempted
    took: float


class Hop:
    """One streaming step, compiled: its agent's chunks are told, handed on, and made into its final value.

    It is attempted as any step is, so that questions, limits and quotas hold for it likewise; but once.

    Attributes:
        plan: The step.
        label: Its label.
        codec: How its final value is recorded; None without a store.
        reuse: How a final value that the journal knows is taken from there.
        governed: What policies do around it.
        settle: Called right before its result is recorded, where quotas hold.
    """

    def __init__(self, plan: PlanStream, build: Build) -> None:
        self.plan = plan
        self.label = plan.label
        self.codec = build.codec(plan.output_type)
        self.reuse = compile_reuse(plan, build)
        self.governed = governed_step(plan, build, None)
        self._attempts = attempts_of(plan, build, None, self.governed)
        self._attempts.call = self._pump if self.governed is None else self.governed.saying(self._pump)
        self.settle = noting(self._attempts.settle, build)
        self._shows = self.governed is None or not self.governed.judges_output
        self._open = bind(_opened(plan), plan.sources)
        self._classes = output_check(plan.gives)
        self._made = None if plan.collect is None else judge(plan.collect)

    def fed(self, value: Any) -> Fed:
        """Return the chunks that a value is fed as, to the first step of a segment."""
        if not self.plan.stream.items:
            return Fed((value,))
        try:
            if isinstance(value, str | bytes):
                raise TypeError
            return Fed(value)
        except TypeError:
            raise RunError(
                f"{self.plan.path}: items=True, but it is given {type(value).__name__}, which has no items",
                fix="give it a list, or leave items out",
            ) from None

    async def carry(self, place: Place) -> Ended | Suspended:
        """Carry the step out, with its chunks coming and going."""
        begun = perf_counter()
        frame = place.frame
        outcome = await self._attempts.run(frame, frame.prefix + self.label, place)
        if isinstance(outcome, Suspended):
            return outcome
        if place.outlet is not None:
            place.outlet.end()
        return Ended(outcome, perf_counter() - begun)

    def discard(self, frame: Frame, outcome: Attempted) -> None:
        """Note what it cost to come to an end, in a segment that was broken off and begins anew."""
        used = outcome.usage - outcome.paid
        if not used:
            return
        address = frame.prefix + self.label
        frame.used(used)
        body = {"attempt": outcome.attempts, "why": "its stream was broken off", "usage": usage_parts(used)}
        frame.run.note("step.discarded", address, body)
        if self._attempts.settle is not None:
            self._attempts.settle(frame.run, address)

    async def _pump(self, frame: Frame, context: PipelineContext, place: Place, info: StepInfo | None) -> Any:
        """Let the agent's chunks flow, and return the final value."""
        assert info is not None
        outlet = place.outlet
        kept = self._keeper()
        chunks: AsyncIterator[Any] | None = None
        try:
            with nullcontext() if outlet is None else outlet:
                if outlet is None or not outlet.closed:
                    given = place.inlet if self.plan.takes is not None else place.given
                    chunks = aiter(await self._open(frame, context, given, info))
                    await self._flow(frame.run, info.address, chunks, kept, outlet)
        except PauseForHumanInput as pause:
            raise RunError(
                f"a streaming step cannot wait by raising PauseForHumanInput: {pause.prompt!r}",
                fix="ask with `await info.ask(…)`, or in a step before or after it",
            ) from pause
        finally:
            if isinstance(chunks, _Closes):
                await chunks.aclose()
        place.inlet.close()
        value = kept.value()
        return value if self._made is None else await self._made(frame, value)

    async def _flow(
        self, run: Run, address: str, chunks: AsyncIterator[Any], kept: Keeper, outlet: Channel | None
    ) -> None:
        observe = run.observe if self._shows else None  # nobody has judged a chunk
        classes, keep = self._classes, kept.keep
        async for chunk in chunks:
            if run.given_up:
                await asyncio.sleep(_BREATH)  # its cancellation is on its way, and is not to meet the closing
                raise RunTaken(f"run {run.id} has ended; {address!r} was given up")
            if classes is not None and not isinstance(chunk, classes):
                gave, says = type_name(type(chunk)), type_name(self.plan.gives)
                raise Rejected(f"it gave {gave}, but is declared to give chunks of {says}")
            if observe is not None:
                await observe.room()
                observe(Chunk(run.id, address, chunk))
            if keep is not None:
                keep(chunk)
            if outlet is not None:
                await outlet.send(chunk)
                if outlet.closed:
                    return
            if perf_counter() - run.yielded > _BREATH:
                await asyncio.sleep(0)
                run.yielded = perf_counter()

    def _keeper(self) -> Keeper:
        plan = self.plan
        match plan.stream.collect:
            case Fold() as fold:
                return Folded(fold)
            case None if plan.goes_on:
                return Keeper()
            case None if plan.output_type in (str, bytes):
                return Listed(plan.output_type().join)
            case collect:
                return Listed(None if collect is None or plan.collect is not None else collect)

    def written(self, run: Run, result: StepResult) -> bytes:
        """Return the member of a body that holds the final value.

        Raises:
            RecordError: It cannot be recorded.
        """
        assert run.recorder is not None
        assert self.codec is not None
        try:
            return run.recorder.written(self.codec.dump(result.output))
        except Unrecordable as error:
            raise RecordError(
                error.message, step=self.label, address=result.address, attempt=result.attempts, fix=error.fix
            ) from error


def _opened(plan: PlanStream) -> Any:
    """Return how an agent is called that gives its chunks at once, or when it is awaited."""
    function = plan.signature.call

    async def opened(*given: Any, **more: Any) -> AsyncIterable[Any]:
        found: object = function(*given, **more)
        if inspect.isawaitable(found):
            found = await cast("Awaitable[object]", found)
        if not isinstance(found, AsyncIterable):
            raise Rejected(f"it gave {type_name(type(found))}, and no AsyncIterator of chunks")
        return cast("AsyncIterable[Any]", found)

    return replace(plan.signature, call=opened)


@runtime_checkable
class _Closes(Protocol):
    """What can be told that no more is asked of it, such as an async generator."""

    async def aclose(self) -> None: ...


class Keeper:
    """What is kept of chunks for the final value: nothing.

    Attributes:
        keep: Takes a chunk; None where nothing is kept.
    """

    keep: Callable[[Any], None] | None = None

    def value(self) -> Any:
        """Return the final value."""
        return None


class Listed(Keeper):
    """Keeps all chunks.

    Args:
        made: What is made of the list of them; None for the list itself.
    """

    def __init__(self, made: Callable[[list[Any]], Any] | None) -> None:
        self._chunks: list[Any] = []
        self._made = made
        self.keep = self._chunks.append

    @override
    def value(self) -> Any:
        return self._chunks if self._made is None else self._made(self._chunks)


class Folded(Keeper):
    """Keeps one value, to which each chunk is added."""

    def __init__(self, fold: Fold[Any, Any]) -> None:
        self._value: Any = fold.begin()
        self._add = fold.add
        self.keep = self._take

    def _take(self, chunk: Any) -> None:
        self._value = self._add(self._value, chunk)

    @override
    def value(self) -> Any:
        return self._value

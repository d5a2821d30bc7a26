"""Flujo, as its README tells users to write it: typed steps, a pipeline compiled once, every default kept.

Each run is checked, validated and, where durable, recorded with its hash chain. A resumed run is one whose
task was cancelled in its last step, as Ctrl-C does; the runner and the store that resume it are new.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import reduce
from operator import rshift
from typing import Any

from benchmarks.measure import Meter
from benchmarks.workloads import STEPS_PER_CONCURRENT_RUN
from flujo import (
    Flujo,
    Fold,
    HumanInput,
    Loop,
    Map,
    Pipeline,
    PipelineContext,
    PostgresStore,
    Quota,
    SQLiteStore,
    Step,
    StreamingStep,
    step,
)
from flujo.engine import Chunk
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision
from flujo.journal import JournalStore

UNSUPPORTED: dict[str, str] = {}


@step
async def add(x: int) -> int:
    return x + 1


def chain_pipeline(size: int) -> Pipeline[int, int]:
    return reduce(rshift, (add.named(f"add_{number}") for number in range(size)))


async def chain(meter: Meter, size: int) -> None:
    runner = Flujo(chain_pipeline(size))
    for _ in meter.rounds():
        with meter.timed(size):
            result = await runner.run_async(0)
        assert result.unwrap() == size


async def chain_quota(meter: Meter, size: int) -> None:
    runner = Flujo(chain_pipeline(size), quota=Quota(steps=size))
    for _ in meter.rounds():
        with meter.timed(size):
            result = await runner.run_async(0)
        assert result.unwrap() == size


class Allows(GovernancePolicy):
    def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        return PolicyDecision.ALLOW

    def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        return PolicyDecision.ALLOW


async def chain_policy(meter: Meter, size: int) -> None:
    runner = Flujo(chain_pipeline(size), policies=[Allows()])
    for _ in meter.rounds():
        with meter.timed(size):
            result = await runner.run_async(0)
        assert result.unwrap() == size


async def loop(meter: Meter, size: int) -> None:
    runner = Flujo(Loop(add, until=lambda x: x >= size, max_turns=size))
    for _ in meter.rounds():
        with meter.timed(size):
            result = await runner.run_async(0)
        assert result.unwrap() == size


@step
async def numbers(size: int) -> list[int]:
    return list(range(size))


async def parallel(meter: Meter, size: int) -> None:
    runner = Flujo(numbers >> Map(add))
    for _ in meter.rounds():
        with meter.timed(size):
            result = await runner.run_async(size)
        assert result.unwrap() == list(range(1, size + 1))


async def source(size: int) -> AsyncIterator[int]:
    for number in range(size):
        yield number
        await asyncio.sleep(0)


async def increased(chunks: AsyncIterator[int]) -> AsyncIterator[int]:
    async for chunk in chunks:
        yield chunk + 1


def plus(total: int, chunk: int) -> int:
    return total + chunk


def stream_pipeline() -> Pipeline[int, Any]:
    hops = [StreamingStep(increased, name=f"hop_{number}") for number in range(2)]
    last = StreamingStep(increased, name="hop_2", collect=Fold(0, plus))
    return Pipeline(StreamingStep(source), *hops, last)


async def stream(meter: Meter, size: int) -> None:
    runner = Flujo(stream_pipeline())
    for _ in meter.rounds():
        with meter.timed(3 * size):
            result = await runner.run_async(size)
        assert result.unwrap() == sum(range(size)) + 3 * size


async def stream_watched(meter: Meter, size: int) -> None:
    runner = Flujo(stream_pipeline())
    for _ in meter.rounds():
        seen = 0
        with meter.timed(3 * size):
            async for event in runner.stream_async(size):
                seen += isinstance(event, Chunk)
        assert seen == 4 * size


async def concurrent(meter: Meter, size: int) -> None:
    runner = Flujo(chain_pipeline(STEPS_PER_CONCURRENT_RUN))
    for runs in meter.sizes(size):
        with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
            results = await asyncio.gather(*(runner.run_async(0) for _ in range(runs)))
        assert [result.unwrap() for result in results] == [STEPS_PER_CONCURRENT_RUN] * runs


def agent_step(size: int) -> Step[Any, str]:
    from benchmarks.systems import agents
    from flujo.agents import ModelAgent

    return Step(ModelAgent(agents.model(size), "Count.", tools=[agents.add]), name="count")


async def agent(meter: Meter, size: int) -> None:
    runner = Flujo(agent_step(size))
    for _ in meter.rounds():
        with meter.timed(size):
            result = await runner.run_async("go")
        assert result.unwrap() == str(size - 1)


async def durable_agent(meter: Meter, size: int) -> None:
    async with opened(meter) as store:
        runner = Flujo(agent_step(size), state=store)
        for _ in meter.rounds():
            with meter.timed(size):
                result = await runner.run_async("go")
            assert result.unwrap() == str(size - 1)


@asynccontextmanager
async def opened(meter: Meter) -> AsyncGenerator[JournalStore]:
    store = PostgresStore(meter.url) if meter.url else SQLiteStore(meter.database)
    try:
        yield store
    finally:
        await store.close()


async def durable(meter: Meter, size: int) -> None:
    async with opened(meter) as store:
        runner = Flujo(chain_pipeline(size), state=store)
        for _ in meter.rounds():
            with meter.timed(size):
                result = await runner.run_async(0)
            assert result.unwrap() == size


class Context(PipelineContext):
    text: str = ""
    counter: int = 0


@step
async def count(x: int, context: Context) -> int:
    context.counter += 1
    return x + 1


async def durable_context(meter: Meter, size: int) -> None:
    pipeline: Pipeline[int, int] = reduce(rshift, (count.named(f"count_{number}") for number in range(size)))
    async with opened(meter) as store:
        runner = Flujo(pipeline, context_model=Context, state=store)
        for _ in meter.rounds():
            context = Context(text=meter.text)
            with meter.timed(size):
                result = await runner.run_async(0, context=context)
            assert result.unwrap() == size
            assert result.context.counter == size


async def durable_concurrent(meter: Meter, size: int) -> None:
    async with opened(meter) as store:
        runner = Flujo(chain_pipeline(STEPS_PER_CONCURRENT_RUN), state=store)
        for runs in meter.sizes(size):
            with meter.timed(runs * STEPS_PER_CONCURRENT_RUN):
                results = await asyncio.gather(*(runner.run_async(0) for _ in range(runs)))
            assert [result.unwrap() for result in results] == [STEPS_PER_CONCURRENT_RUN] * runs


async def resume(meter: Meter, size: int) -> None:
    reached, lost = asyncio.Event(), True

    @step
    async def last(x: int) -> int:
        reached.set()
        if lost:
            await asyncio.Event().wait()
        return x + 1

    pipeline: Pipeline[int, int] = chain_pipeline(size) >> last
    for number in meter.rounds():
        lost = True
        reached.clear()
        async with opened(meter) as store:
            run = asyncio.create_task(Flujo(pipeline, state=store).run_async(0, run_id=f"run-{number}"))
            await reached.wait()
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        lost = False
        async with opened(meter) as store:
            runner = Flujo(pipeline, state=store)
            await store.run(f"run-{number}")  # opens the file
            with meter.timed(1):
                result = await runner.resume_async(f"run-{number}")
            assert result.unwrap() == size + 1


async def pause_resume(meter: Meter, size: int) -> None:
    pipeline: HumanInput[Any, bool] = HumanInput("Pay this invoice?", schema=bool, name="ask")
    async with opened(meter) as store:
        runner = Flujo(pipeline, state=store)
        for number, runs in enumerate(meter.sizes(size)):
            names = [f"run-{number}-{each}" for each in range(runs)]
            with meter.timed(runs):
                paused = await asyncio.gather(*(runner.run_async("INV-7", run_id=name) for name in names))
                results = await asyncio.gather(
                    *(runner.resume_async(name, human_input=True) for name in names)
                )
            assert [result.status for result in paused] == ["paused"] * runs
            assert [result.unwrap() for result in results] == [True] * runs

"""Thousands of runs that wait for a person, and runs of thousands of steps: what they cost in memory."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from time import perf_counter, process_time

import pytest

from flujo import Flujo, HumanInput, Loop, Node, SQLiteStore, StepInfo, step
from flujo.journal.store import JournalStore, RunQuery
from flujo.journal.verify import verify, verify_all

AT_ONCE = 200


async def all_of(work: Callable[[str], Awaitable[None]], runs: Iterable[str]) -> None:
    """Do something with many runs, so many at once."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(run: str) -> None:
        async with turn:
            await work(run)

    await asyncio.gather(*map(one, runs))


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


async def many_paused(store: JournalStore, count: int) -> None:
    """Pause so many runs, twice, and go on with the second half; report what it took."""
    ran: Counter[str] = Counter()

    @step
    async def ask_for(number: int, info: StepInfo) -> int:
        ran[info.idempotency_key] += 1
        return number + 1

    pipeline = ask_for >> HumanInput("how many?", schema=int, name="ask") >> ask_for.named("use")
    runner = Flujo(pipeline, state=store)

    async def pause(run: str) -> None:
        assert (await runner.run_async(0, run_id=run)).status == "paused"

    async def resume(run: str) -> None:
        assert (await runner.resume_async(run, 41)).unwrap() == 42

    await all_of(pause, (f"first-{number}" for number in range(count)))
    names = [f"run-{number}" for number in range(count)]
    ran.clear()
    before = objects()
    await all_of(pause, names)
    assert objects() - before < 4 * count, "something is kept of each run that waits"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    begun, cpu = perf_counter(), process_time()
    await all_of(resume, names)
    took, cpu = perf_counter() - begun, process_time() - cpu
    print(f"{count} runs resumed: {count / took:,.0f} a second, {1e6 * cpu / count:.0f} us of CPU each")
    assert set(ran.values()) == {1}
    assert len(ran) == 2 * count
    assert len((await store.runs(RunQuery(status=["paused"], limit=count + 1))).runs) == count


async def test_runs_that_wait_cost_no_memory(store: JournalStore) -> None:
    await many_paused(store, 500)


@pytest.mark.soak
async def test_ten_thousand_runs_that_wait_cost_no_memory(store: JournalStore) -> None:
    await many_paused(store, 10_000)
    assert all([report.sound async for report in verify_all(store)])


@step
async def add(number: int) -> int:
    return number + 1


def chain(steps: int) -> Node[int, int]:
    pipeline: Node[int, int] = add
    for place in range(1, steps):
        pipeline = pipeline >> add.named(f"add_{place}")
    return pipeline >> HumanInput("go on with?", schema=int, name="ask")


def in_a_loop(steps: int) -> Node[int, int]:
    @step
    async def add_and_ask(number: int, info: StepInfo) -> int:
        if number == steps - 1:
            await info.ask("the last one?", schema=int)
        return number + 1

    return Loop(add_and_ask, until=lambda number: number >= steps, max_turns=steps)


def after_a_loop(steps: int) -> Node[int, int]:
    asking = HumanInput("go on with?", schema=int, name="ask")
    return Loop(add, until=lambda number: number >= steps, max_turns=steps) >> asking


@pytest.mark.parametrize("steps", [2_000, pytest.param(10_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("made", [chain, in_a_loop, after_a_loop])
async def test_going_on_with_a_long_run_holds_its_live_part_only(
    tmp_path: Path, made: Callable[[int], Node[int, int]], steps: int
) -> None:
    pipeline, path = made(steps), tmp_path / "flujo_ops.db"
    async with Flujo(pipeline, state=path, durability="async") as runner:
        assert (await runner.run_async(0, run_id="long")).status == "paused"
    store = SQLiteStore(path)
    runner = Flujo(pipeline, state=store)
    await runner.resume_async("long")
    cpu = process_time()
    await runner.resume_async("long")
    cpu = process_time() - cpu
    live = await traced(lambda: store.live_events("long"))
    resumed = await traced(lambda: runner.resume_async("long"))
    print(f"{steps} steps, {made.__name__}: {1e3 * cpu:.0f} ms of CPU, {live / 1e6:.2f} MB live, ", end="")
    print(f"{resumed / 1e6:.2f} MB needed")
    chunk = 1_000_000  # what is read at a time
    assert resumed <= 2 * live + chunk
    assert (await verify(store, "long")).events >= steps
    await runner.close()


async def traced(work: Callable[[], Awaitable[object]]) -> int:
    """Return the most memory that some work holds at once, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        await work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

"""Recorded streams: replayed, forked, carried over to changed code, read from the journal, torn."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_core import from_json

from flujo import (
    Flujo,
    Fold,
    MayMutate,
    MemoryStore,
    Pipeline,
    PipelineMutation,
    StepInfo,
    StreamingStep,
    Usage,
    step,
)
from flujo.errors import UnknownAddress
from tests.crash.harness import sliced
from tests.crash.scenario import RUN

RAN: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


def plus(total: int, number: int) -> int:
    return total + number


async def count_up(until: int, info: StepInfo) -> AsyncIterator[int]:
    RAN.append("count_up")
    info.report(Usage(requests=1))
    for number in range(until):
        yield number


async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    RAN.append("double")
    async for number in numbers:
        yield 2 * number


async def triple(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    RAN.append("triple")
    async for number in numbers:
        yield 3 * number


@step
async def add(number: int) -> int:
    RAN.append("add")
    return number + 1


@step
async def total(numbers: list[int]) -> int:
    RAN.append("total")
    return sum(numbers)


counting, doubling, tripling = StreamingStep(count_up), StreamingStep(double), StreamingStep(triple)


def pipeline(*more: Any) -> Pipeline[int, Any]:
    return Pipeline(add, counting, doubling, *more, total)


async def recorded(node: Any, given: int = 2) -> MemoryStore:
    store = MemoryStore()
    result = await Flujo(node, state=store).run_async(given, run_id=RUN)
    assert result.success, result.error
    RAN.clear()
    return store


async def test_a_replay_runs_nothing_and_is_equal() -> None:
    store = await recorded(pipeline())
    report = await Flujo(pipeline(), state=store).replay(RUN)
    assert report.equal, report
    assert (report.steps, RAN) == (4, [])


async def test_a_replay_against_code_with_one_step_more_in_the_stream() -> None:
    store = await recorded(pipeline())
    runner = Flujo(pipeline(tripling), state=store)
    report = await runner.replay(RUN)
    assert not report.equal
    assert {one.address for one in report.differences} >= {"double"}
    live = await runner.replay(RUN, live_after_divergence=True)
    assert live.live is not None
    assert live.live.output == (0 + 2 + 4) * 3
    assert RAN == ["count_up", "double", "triple", "total"]


async def test_a_fork_begins_where_the_stream_begins() -> None:
    store = await recorded(pipeline())
    runner = Flujo(pipeline(), state=store)
    with pytest.raises(UnknownAddress, match="cannot be forked at 'double'") as caught:
        await runner.fork(RUN, at="double")
    assert "'count_up'" in caught.value.fix
    forked = await runner.fork(RUN, at="count_up", input=5)
    result = await runner.resume_async(forked if isinstance(forked, str) else forked.run_id)
    assert result.output == 20
    assert RAN == ["count_up", "double", "total"]


async def test_what_the_journal_alone_tells() -> None:
    store = await recorded(pipeline())
    result = await Flujo(pipeline(), state=store).result(RUN)
    assert [(one.address, one.output) for one in result.steps] == [
        ("add", 3),
        ("count_up", None),
        ("double", [0, 2, 4]),
        ("total", 6),
    ]
    assert result.usage == Usage(requests=1)


async def test_an_open_run_goes_on_with_changed_code_behind_the_stream() -> None:
    store = MemoryStore()
    whole = await recorded(pipeline())
    record = await whole.events(RUN)
    at = next(event.seq for event in record if event.address == "double")
    store = await sliced(record, whole, at)
    changed = pipeline() >> add.named("more")
    report = await Flujo(changed, state=store).upgrade(RUN)
    assert report.verdict == "safe"
    assert (await Flujo(changed, state=store).resume_async(RUN)).output == 7
    assert RAN == ["total", "add"]


async def test_a_segment_that_is_torn_begins_anew_and_counts_what_was_spent_twice() -> None:
    """A store commits a segment as a whole; yet no journal that ends anywhere is gone on from wrongly."""
    whole = await recorded(pipeline())
    events = await whole.events(RUN)
    at = next(event.seq for event in events if event.address == "count_up")
    store = await sliced(events, whole, at)
    runner = Flujo(pipeline(), state=store)
    result = await runner.resume_async(RUN)
    assert (result.output, RAN) == (6, ["count_up", "double", "total"])
    assert result.usage == Usage(requests=2) == (await runner.result(RUN)).usage
    kinds = [event.address for event in await store.events(RUN) if event.kind == "step.completed"]
    assert kinds == ["add", "count_up", "double", "total"]


async def test_a_segment_is_one_commit() -> None:
    class Counting(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.batches: list[list[str]] = []

        def submit(self, batch: Any) -> Any:
            self.batches.append([event.address for event in batch.events if event.kind == "step.completed"])
            return super().submit(batch)

    store = Counting()
    await Flujo(pipeline(), state=store).run_async(2, run_id=RUN)
    assert [batch for batch in store.batches if batch] == [["add"], ["count_up", "double"], ["total"]]


async def test_a_large_final_value_is_stored_beside_the_events() -> None:
    async def large(x: int) -> AsyncIterator[str]:
        yield "x" * 10_000

    node = StreamingStep(large) >> StreamingStep(size_of, collect=Fold(0, plus))
    store = await recorded(StreamingStep(large))
    (event,) = [event for event in await store.events(RUN) if event.kind == "step.completed"]
    assert "output_ref" in from_json(event.body)
    again = await Flujo(StreamingStep(large), state=store).run_async(2, run_id=RUN)
    assert again.output == "x" * 10_000
    assert (await Flujo(node).run_async(1)).output == 10_000


async def size_of(chunks: AsyncIterator[str]) -> AsyncIterator[int]:
    async for chunk in chunks:
        yield len(chunk)


@pytest.mark.parametrize(
    ("skipped", "output", "ran"),
    [("double", 0 + 3 + 6, ["count_up", "triple", "total"]), ("count_up", 18, ["double", "triple", "total"])],
)
async def test_a_stream_whose_steps_change_on_the_way(skipped: str, output: int, ran: list[str]) -> None:
    @step(may_mutate=MayMutate("skip"))
    async def begin(number: int) -> int | PipelineMutation[int]:
        return PipelineMutation(number).skip(skipped)

    node = Pipeline(begin, counting, doubling, tripling, total)
    store = MemoryStore()
    runner = Flujo(node, state=store)
    result = await runner.run_async(3, run_id=RUN)
    assert (result.output, RAN) == (output, ran)
    assert (await runner.replay(RUN)).equal
    assert len((await runner.result(RUN)).steps) == 4

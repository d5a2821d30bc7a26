"""Comparing runs by their journals alone."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from flujo import (
    Append,
    Decision,
    Flujo,
    HumanInput,
    Loop,
    MemoryStore,
    PipelineContext,
    Retry,
    SQLiteStore,
    Step,
    StepInfo,
    Usage,
    compare_runs,
    step,
)
from flujo.errors import UnknownRun
from flujo.journal.store import JournalStore
from tests.golden.pipelines import GOLDEN
from tests.golden.record import fixed_clock, gone_on, record, runner


class Log(PipelineContext):
    lines: Annotated[list[str], Append()] = Field(default_factory=list[str])
    seen: dict[str, int] = Field(default_factory=dict[str, int])
    mood: str = "calm"


@step
async def size(text: str, context: Log, info: StepInfo) -> int:
    context.lines.append(text)
    context.seen[text] = len(text)
    info.report(Usage(1, len(text), 1, Decimal("0.01")))
    return len(text)


@step
async def grow(number: int, context: Log) -> int:
    context.mood = f"grown to {number + 1}"
    return number + 1


async def flaky_agent(number: int, info: StepInfo) -> int:
    if number % 2 and info.attempt < 2:
        raise ValueError("odd")
    return number


@step
async def items(number: int) -> list[int]:
    return list(range(number))


@step
async def large(numbers: list[int]) -> str:
    return "x" * 5000 * len(numbers)


def enough(number: int) -> bool:
    return number >= 5


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")


def lines(found: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.address, one.state, one.parts) for one in found.differing]


flaky = Step(flaky_agent, name="flaky", retry=Retry(attempts=3, backoff=0))
simple = size >> Loop(grow, until=enough, max_turns=9) >> flaky


async def test_two_runs_that_did_the_same(store: JournalStore) -> None:
    run = Flujo(simple, state=store, context_model=Log)
    result = await run.run_async("abc", run_id="a")
    await run.run_async("abc", run_id="b")
    found = await compare_runs(store, "a", "b")
    assert found.same
    assert found.differing == ()
    assert found.first.context == result.context.model_dump(mode="json")
    assert found.first.output == result.output == 5
    assert found.first.usage == result.usage
    await store.close()


async def test_what_differs_is_told_address_by_address(store: JournalStore) -> None:
    run = Flujo(simple, state=store, context_model=Log)
    await run.run_async("abc", run_id="a")
    longer = await run.run_async("abcde", run_id="b")
    found = await compare_runs(store, "a", "b")
    assert found.parts == ("input", "output", "context", "usage")
    assert lines(found) == [
        ("size", "changed", ("output", "usage", "patch")),
        ("loop[1]/grow", "changed", ("output", "patch")),
        ("loop[1]", "changed", ("output", "patch", "last")),
        ("loop[2]/grow", "only_first", ()),
        ("loop[2]", "only_first", ()),
        ("loop", "changed", ("output", "patch")),
        ("flaky", "changed", ("output", "attempts")),
    ]
    assert found.second.context == longer.context.model_dump(mode="json")
    assert found.first.seconds >= 0
    assert "abc" not in repr(found)
    await store.close()


async def test_runs_of_different_plans_and_with_large_values(store: JournalStore) -> None:
    await Flujo(items >> large, state=store).run_async(2, run_id="a")
    await Flujo(items >> grow_all >> large, state=store).run_async(3, run_id="b")
    found = await compare_runs(store, "a", "b")
    assert found.parts == ("input", "output", "plan")
    assert lines(found) == [
        ("items", "changed", ("output",)),
        ("grow_all", "only_second", ()),
        ("large", "changed", ("output",)),
    ]
    assert len(found.first.output) == 10_000
    with pytest.raises(UnknownRun):
        await compare_runs(store, "a", "c")
    await store.close()


@step
async def grow_all(numbers: list[int]) -> list[int]:
    return [number + 1 for number in numbers]


async def test_decisions_and_failures(store: JournalStore) -> None:
    run = Flujo(items >> HumanInput("ok?", schema=list[int], name="ask") >> large, state=store)
    for name, decision in [("a", Decision("edit", [1], actor="ann")), ("b", Decision("deny", actor="bob"))]:
        await run.run_async(2, run_id=name)
        await run.resume_async(name, decision)
    await run.run_async(2, run_id="c")
    found = await compare_runs(store, "a", "b")
    assert found.parts == ("status", "output", "error", "context")
    assert lines(found) == [("ask", "changed", ("answers",)), ("large", "only_first", ())]
    assert [one["actor"] for one in (found.differing[0].first or {})["answers"]] == ["ann"]
    assert lines(await compare_runs(store, "c", "b")) == [("ask", "changed", ("answers", "waits"))]
    await store.close()


async def test_every_kind_of_run_is_compared_and_its_context_is_the_result_s() -> None:
    for name, golden in GOLDEN.items():
        store = MemoryStore()
        await record(name, store)
        await gone_on(name, store)
        found = await compare_runs(store, name, name)
        assert found.same
        if found.first.status == "completed":
            result = await runner(golden, store, fixed_clock()).result(name)
            assert found.first.context == result.context.model_dump(mode="json"), name
            assert found.first.usage == result.usage

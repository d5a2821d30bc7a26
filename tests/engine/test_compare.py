"""Two runs compared by their journals alone."""

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import Field

from flujo import (
    Decision,
    Flujo,
    HumanInput,
    Loop,
    MemoryStore,
    Parallel,
    PipelineContext,
    Retry,
    SQLiteStore,
    StepInfo,
    Usage,
    step,
)
from flujo.engine.compare import compare
from flujo.errors import UnknownRun
from flujo.journal.store import JournalStore


class Notes(PipelineContext):
    lines: list[str] = Field(default_factory=list)
    marks: dict[str, int] = Field(default_factory=dict)
    last: str = ""


@step
async def double(number: int, notes: Notes) -> int:
    notes.lines.append(f"saw {number}")
    notes.marks[str(number % 2)] = number
    notes.last = "even" if number % 2 == 0 else "odd"
    return 2 * number


@step(retry=Retry(3, backoff=0))
async def flaky(number: int, info: StepInfo) -> int:
    info.report(Usage(requests=1, input_tokens=number, cost=Decimal("0.01")))
    if info.attempt <= number % 3:
        raise RuntimeError("not yet")
    return number


more = Loop(double.named("more"), until=lambda n: n > 9, max_turns=9)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")


async def test_two_runs_of_the_same_are_the_same(store: JournalStore) -> None:
    runner = Flujo(
        double >> flaky >> Loop(double.named("more"), until=lambda n: n > 9, max_turns=9), state=store
    )
    for name in ("a", "b"):
        await runner.run_async(1, run_id=name)
    found = await compare(store, "a", "b")
    assert found.same
    assert found.context == {}
    assert [line.address for line in found.lines if line.differs] == []
    assert {"double", "flaky", "loop[1]/more", "loop[1]"} <= {line.address for line in found.lines}


async def test_every_way_of_differing_is_named_with_its_place(store: JournalStore) -> None:
    ask = HumanInput("go on?", schema=int, name="ask")
    runner = Flujo(
        double >> flaky >> ask >> Loop(double.named("more"), until=lambda n: n > 9, max_turns=9), state=store
    )
    answers = (("a", 1, Decision("edit", 8, actor="ann")), ("b", 2, Decision("edit", 3)))
    for name, number, decided in answers:
        await runner.run_async(number, run_id=name)
        await runner.resume_async(name, decided)
    found = await compare(store, "a", "b")
    assert not found.same
    differs = {line.address: line.differs for line in found.lines if line.differs}
    assert differs["double"] == ("context", "output")
    assert differs["flaky"] == ("attempts", "output", "usage")
    assert differs["ask"] == ("decision", "output")
    assert differs["loop[1]/more"] == ("context", "output")
    assert differs["loop[2]/more"] == ("missing",)
    assert found.first.usage.requests == 3
    assert found.second.usage == Usage(requests=2, input_tokens=8, cost=Decimal("0.02"))
    assert found.context["lines"] == (["saw 1", "saw 8"], ["saw 2", "saw 3", "saw 6"])
    assert found.context["marks"] == ({"1": 1, "0": 8}, {"0": 6, "1": 3})


async def test_contexts_add_up_through_parallel_branches(store: JournalStore) -> None:
    runner = Flujo(double >> Parallel(a=flaky, b=flaky.named("other")), context_model=Notes, state=store)
    result = await runner.run_async(3, run_id="a")
    await runner.run_async(4, run_id="b")
    found = await compare(store, "a", "b")
    assert found.first.context == result.context.model_dump()
    assert found.first.usage == result.usage


async def test_runs_of_different_plans_and_ends(store: JournalStore) -> None:
    @step
    async def fails(number: int) -> int:
        raise ValueError("no")

    await Flujo(double, state=store).run_async(1, run_id="a")
    await Flujo(double >> fails, state=store).run_async(1, run_id="b")
    found = await compare(store, "a", "b")
    assert (found.first.output, found.second.output) == (2, None)
    assert "no" in found.second.error
    assert found.first.record.fingerprint != found.second.record.fingerprint
    assert not found.same


async def test_a_run_that_is_not_there(store: JournalStore) -> None:
    await Flujo(double, state=store).run_async(1, run_id="a")
    with pytest.raises(UnknownRun, match="nobody"):
        await compare(store, "a", "nobody")

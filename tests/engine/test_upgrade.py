"""Open runs are carried over to changed code where what they did holds there, too."""

from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from flujo import (
    Branch,
    Flujo,
    HumanInput,
    Loop,
    MemoryStore,
    Parallel,
    SQLiteStore,
    Step,
    step,
)
from flujo.errors import PlanChanged, ResumeError, UnknownRun
from flujo.journal.store import JournalStore, queue_of
from flujo.journal.verify import verify

CALLS: list[str] = []


@step
async def one(number: int) -> int:
    CALLS.append("called")
    return number + 1


@step
async def text(number: int) -> str:
    return f"{number}"


@step
async def length(number: str) -> int:
    return len(number)


@step
async def total(parts: tuple[int, int]) -> int:
    return sum(parts)


@step
async def total_of_three(parts: tuple[int, int, int]) -> int:
    return sum(parts)


def named(name: str) -> Step[int, int]:
    return one.named(name)


def parity(number: int) -> str:
    return "odd" if number % 2 else "even"


def enough(number: int) -> bool:
    return number > 3


ASK: Any = HumanInput("ok?", schema=int, name="ask")
BEFORE = named("a") >> ASK >> named("z")
ROUTED = Branch(on=parity, cases={"odd": named("o") >> ASK, "even": named("e") >> ASK}, name="route")
LOOPED = Loop(named("a") >> ASK, until=enough, max_turns=9)
LANES = Parallel(named("a") >> ASK, named("b"), name="both") >> total
CASES: dict[str, tuple[Any, Any, str]] = {
    "the same": (BEFORE, BEFORE, "safe"),
    "a step after": (BEFORE, named("a") >> ASK >> named("z") >> named("y"), "safe"),
    "another step after": (BEFORE, named("a") >> ASK >> text >> length, "safe"),
    "a step less after": (BEFORE, named("a") >> ASK, "safe"),
    "a lane more": (
        LANES,
        Parallel(named("a") >> ASK, named("b"), named("c"), name="both") >> total_of_three,
        "safe",
    ),
    "a case more": (
        ROUTED,
        Branch(
            on=parity,
            cases={"odd": named("o") >> ASK, "even": named("e") >> ASK, "none": named("n")},
            name="route",
        ),
        "safe",
    ),
    "a step in the turn after": (
        LOOPED,
        Loop(named("a") >> ASK >> named("n"), until=enough, max_turns=9),
        "safe",
    ),
    "a step before": (BEFORE, named("n") >> named("a") >> ASK >> named("z"), "needs a decision"),
    "a step before the question": (
        BEFORE,
        named("a") >> named("n") >> ASK >> named("z"),
        "needs a decision",
    ),
    "a step less before": (BEFORE, ASK >> named("z"), "needs a decision"),
    "another type before": (BEFORE, text.named("a") >> ASK >> named("z"), "impossible"),
    "no question": (BEFORE, named("a") >> named("z"), "impossible"),
    "another input": (BEFORE, length.named("a") >> ASK, "impossible"),
    "a case less": (
        ROUTED,
        Branch(on=parity, cases={"odd": named("o") >> ASK}, default=named("d"), name="route"),
        "impossible",
    ),
}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")


async def paused(store: JournalStore, pipeline: Any, number: int = 2) -> str:
    result = await Flujo(pipeline, state=store).run_async(number, run_id="a")
    assert result.status == "paused"
    CALLS.clear()
    return result.pending[0].address


@pytest.mark.parametrize("case", CASES)
async def test_what_may_be_carried_over(case: str, store: JournalStore) -> None:
    before, now, verdict = CASES[case]
    address = await paused(store, before)
    recorded = await store.events("a")
    changed = Flujo(now, state=store)
    found = await changed.upgrade("a", check=True)
    assert (found.verdict, bool(found.reason)) == (verdict, verdict == "impossible"), found
    assert await store.events("a") == recorded
    assert bool(found.addresses) == (case != "the same")
    if case == "the same":
        assert not (await changed.upgrade("a")).upgraded
        return
    with pytest.raises(PlanChanged):  # the default stays
        await changed.resume_async("a", 7)
    if verdict == "impossible":
        for allow in (False, True):
            with pytest.raises(PlanChanged, match="cannot be carried over"):
                await changed.upgrade("a", allow=allow)
        return
    if verdict == "needs a decision":
        with pytest.raises(PlanChanged, match="needs a decision"):
            await changed.upgrade("a")
    assert not CALLS
    assert (await changed.upgrade("a", allow=verdict != "safe")).upgraded
    result = await changed.resume_async("a", 7, request=address)
    assert result.success, result.error
    assert (await verify(store, "a")).sound
    assert (await changed.result("a")).output == result.output
    with pytest.raises(PlanChanged):
        await Flujo(before, state=store).result("a")
    if verdict == "safe":
        assert (await changed.replay("a")).equal
    fork = await changed.fork("a", at=address)
    assert fork.status == "paused"
    await store.close()


async def test_the_change_is_recorded(store: JournalStore) -> None:
    await paused(store, BEFORE)
    changed = Flujo(CASES["a step after"][1], state=store)
    old = (await store.run("a")).fingerprint  # pyright: ignore[reportOptionalMemberAccess]
    await changed.upgrade("a")
    last = (await store.events("a"))[-1]
    body = from_json(last.body)
    assert last.kind == "run.upgraded"
    assert (body["from"], body["fingerprint"], body["verdict"]) == (old, changed.plan.fingerprint, "safe")
    assert body["addresses"] == ["y"]
    known = await changed._opener.find("a")  # pyright: ignore[reportPrivateUsage]
    assert known.job.queue == queue_of(changed.plan.name, changed.plan.fingerprint)
    again = Flujo(CASES["another step after"][1], state=store)
    assert (await again.upgrade("a")).upgraded  # as often as the code changes
    assert (await again.resume_async("a", 12345)).output == 5
    await store.close()


async def test_runs_that_ended_or_are_not_there() -> None:
    store = MemoryStore()
    await Flujo(one, state=store).run_async(1, run_id="a")
    changed = Flujo(one >> named("b"), state=store)
    with pytest.raises(ResumeError, match="has ended already"):
        await changed.upgrade("a", check=True)
    with pytest.raises(UnknownRun):
        await changed.upgrade("b", check=True)

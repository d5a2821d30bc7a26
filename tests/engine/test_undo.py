"""Undoing: compensation of completed steps when their run fails or is cancelled."""

import asyncio
from typing import Any

import pytest

from flujo import (
    Flujo,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    Node,
    Parallel,
    PipelineContext,
    Step,
    StepInfo,
    StopPipeline,
    step,
)
from flujo.errors import StepFailed
from flujo.journal.store import JournalStore
from tests.engine.stores import Cut


class Ledger:
    """Steps that book and can be undone; what happens is written down."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def booking(self, name: str) -> Step[int, int]:
        async def book(x: int) -> int:
            self.lines.append(f"book {name}")
            return x + 1

        async def cancel_booking(output: int) -> None:
            self.lines.append(f"undo {name} {output}")

        return Step(book, name=name, undo=cancel_booking)


@step
async def breaks(x: int) -> int:
    raise LookupError("no room")


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param else None


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def test_in_reverse_order_when_the_run_fails(ledger: Ledger, store: JournalStore | None) -> None:
    node = ledger.booking("flight") >> ledger.booking("hotel") >> breaks
    result = await Flujo(node, state=store).run_async(1)
    assert isinstance(result.error, StepFailed)
    assert ledger.lines == ["book flight", "book hotel", "undo hotel 3", "undo flight 2"]


async def test_not_when_it_completes_or_stops_or_pauses(ledger: Ledger, store: JournalStore | None) -> None:
    @step
    async def stops(x: int) -> int:
        raise StopPipeline

    await Flujo(ledger.booking("a"), state=store).run_async(1)
    await Flujo(ledger.booking("b") >> stops, state=store).run_async(1)
    await Flujo(ledger.booking("c") >> HumanInput("?", schema=int), state=store).run_async(1)
    assert ledger.lines == ["book a", "book b", "book c"]


async def test_when_it_is_cancelled(ledger: Ledger, store: JournalStore | None) -> None:
    begun = asyncio.Event()

    @step
    async def waits(x: int) -> int:
        begun.set()
        await asyncio.sleep(60)
        return x

    runner = Flujo(ledger.booking("flight") >> waits, state=store)
    task = asyncio.create_task(runner.run_async(1, run_id="r1"))
    await begun.wait()
    await runner.cancel("r1")
    assert (await task).status == "cancelled"
    assert ledger.lines == ["book flight", "undo flight 2"]


async def test_when_a_paused_run_is_cancelled(ledger: Ledger) -> None:
    runner = Flujo(ledger.booking("flight") >> HumanInput("?", schema=int), state=MemoryStore())
    await runner.run_async(1, run_id="r1")
    await runner.cancel("r1")
    assert ledger.lines == ["book flight", "undo flight 2"]


async def test_what_was_done_before_a_pause(ledger: Ledger, store: JournalStore | None) -> None:
    """Also inside containers that are over, and after a restart."""
    node = (
        Parallel(ledger.booking("a"), ledger.booking("b"))
        >> Step(first_of)
        >> Loop(ledger.booking("c"), until=lambda x: x > 3, max_turns=3)
        >> HumanInput("?", schema=int)
        >> breaks
    )
    paused = await Flujo(node, state=store).run_async(1)
    result = await Flujo(node, state=store).resume_async(paused if store is None else paused.run_id, 1)
    assert result.status == "failed"
    assert ledger.lines[:4] == ["book a", "book b", "book c", "book c"]
    assert ledger.lines[4:6] == ["undo c 4", "undo c 3"]
    assert sorted(ledger.lines[6:]) == ["undo a 2", "undo b 2"]


async def first_of(pair: tuple[int, int]) -> int:
    return pair[0]


async def test_only_what_completed_is_undone(ledger: Ledger, store: JournalStore | None) -> None:
    async def half(x: int) -> int:
        raise RuntimeError("refused")

    async def undo_half(x: int) -> None:
        ledger.lines.append("undo half")

    await Flujo(ledger.booking("flight") >> Step(half, undo=undo_half), state=store).run_async(1)
    assert ledger.lines == ["book flight", "undo flight 2"]


async def test_a_failing_undo_is_told_and_the_others_still_run(
    ledger: Ledger, store: JournalStore | None
) -> None:
    async def book(x: int) -> int:
        return x

    def no_undo(output: int) -> None:
        raise ConnectionError("line cut")

    node = ledger.booking("flight") >> Step(book, undo=no_undo) >> ledger.booking("hotel") >> breaks
    result = await Flujo(node, state=store).run_async(1)
    assert ledger.lines == ["book flight", "book hotel", "undo hotel 3", "undo flight 2"]
    assert result.error is not None
    assert isinstance(result.error, StepFailed), "the run's own failure is what it failed by"
    assert any("book" in line and "line cut" in line for line in result.error.__notes__)


async def test_it_may_ask_for_context_and_info(store: JournalStore | None) -> None:
    class Trip(PipelineContext):
        traveller: str = "ann"

    seen: list[Any] = []

    async def book(x: int, trip: Trip) -> int:
        trip.traveller = "bob"
        return x

    def cancel_booking(output: int, trip: Trip, info: StepInfo) -> None:
        seen.append((output, trip.traveller, info.idempotency_key, info.run_id))

    await Flujo(Step(book, undo=cancel_booking) >> breaks, state=store).run_async(1, run_id="r1")
    assert seen == [(1, "bob", "r1:book#undo", "r1")]


async def test_items_and_branches_that_completed(ledger: Ledger, store: JournalStore | None) -> None:
    @step
    async def fails_at_two(x: int) -> int:
        if x == 3:
            raise LookupError
        return x

    node: Node[Any, Any] = Map(ledger.booking("seat") >> fails_at_two, concurrency=1)
    result = await Flujo(node, state=store).run_async([1, 2, 3])
    assert result.status == "failed"
    assert ledger.lines == ["book seat", "book seat", "undo seat 3", "undo seat 2"]


@pytest.mark.parametrize("output", [{"cached": True}, {"order": {"cached": True}}, {"n": 1}], ids=str)
async def test_whatever_its_output_is_named(output: dict[str, Any], store: JournalStore | None) -> None:
    undone: list[dict[str, Any]] = []

    async def book(x: int) -> dict[str, Any]:
        return output

    async def unbook(booked: dict[str, Any]) -> None:
        undone.append(booked)

    @step
    async def pay(booked: dict[str, Any]) -> int:
        raise LookupError("no money")

    result = await Flujo(Step(book, undo=unbook) >> pay, state=store).run_async(1)
    assert result.status == "failed"
    assert undone == [output]


async def test_a_step_that_failed_is_not_undone_for_its_fallback(
    ledger: Ledger, store: JournalStore | None
) -> None:
    async def unbook(output: int) -> None:
        ledger.lines.append("undo")

    async def full(x: int) -> int:
        raise LookupError("no room")

    node = Step(full, undo=unbook, fallback=ledger.booking("other")) >> breaks
    result = await Flujo(node, state=store).run_async(1)
    assert result.status == "failed"
    assert ledger.lines == ["book other", "undo other 2"]


async def test_nor_is_it_where_the_run_paused_in_between(ledger: Ledger, store: JournalStore | None) -> None:
    async def unbook(output: int) -> None:
        ledger.lines.append("undo")

    async def full(x: int) -> int:
        raise LookupError("no room")

    booked = Step(full, undo=unbook, fallback=ledger.booking("other"))
    asks = HumanInput("One?", schema=int, name="one") >> HumanInput("Two?", schema=int, name="two")
    runner = Flujo(booked >> asks >> breaks, state=store)
    result = await runner.run_async(1)
    for _ in range(2):
        result = await runner.resume_async(result if store is None else result.run_id, 2)
    assert result.status == "failed"
    assert ledger.lines == ["book other", "undo other 2"]


async def test_what_came_from_the_cache_is_not_undone(ledger: Ledger, store: JournalStore | None) -> None:
    async def book(x: int) -> int:
        ledger.lines.append("book")
        return x

    async def unbook(output: int) -> None:
        ledger.lines.append("undo")

    runner = Flujo(Step(book, cache=True, undo=unbook) >> breaks, state=store)
    for _ in range(2):
        assert (await runner.run_async(1)).status == "failed"
    assert ledger.lines == ["book", "undo"]


async def test_a_crash_in_the_middle_of_undoing(ledger: Ledger) -> None:
    store, dying = MemoryStore(), [True]

    def booking(name: str) -> Step[int, int]:
        async def book(x: int) -> int:
            ledger.lines.append(f"book {name}")
            return x

        async def cancel_booking(output: int) -> None:
            if name == "b" and dying[0]:
                raise Cut
            ledger.lines.append(f"undo {name}")

        return Step(book, name=name, undo=cancel_booking)

    node = booking("a") >> booking("b") >> booking("c") >> breaks
    with pytest.raises(Cut):
        await Flujo(node, state=store).run_async(1, run_id="r1")
    assert ledger.lines == ["book a", "book b", "book c", "undo c"]
    dying[0] = False
    result = await Flujo(node, state=store).resume_async("r1")
    assert result.status == "failed"
    assert ledger.lines == ["book a", "book b", "book c", "undo c", "undo b", "undo a"]
    assert isinstance(result.error, StepFailed), "the failure that made it undo is told"
    assert result.error.address == "breaks"
    again = await Flujo(node, state=store).resume_async("r1")
    assert again.status == "failed"
    assert len(ledger.lines) == 6


async def test_undoing_records_that_it_was_done(ledger: Ledger) -> None:
    store = MemoryStore()
    result = await Flujo(ledger.booking("flight") >> breaks, state=store).run_async(1)
    events = [(event.kind, event.address) for event in await store.events(result.run_id)]
    assert ("undone", "flight") in events
    assert events[-1] == ("run.ended", "")

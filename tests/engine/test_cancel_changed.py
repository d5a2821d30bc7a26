"""A run whose pipeline has changed since cannot go on; it can be ended, and what is still found is undone."""

import pytest
from pydantic import Field

from flujo import Flujo, HumanInput, MemoryStore, PipelineContext, Step
from flujo.errors import PlanChanged, ResumeError, RunBusy, UnknownRun


class Notes(PipelineContext):
    lines: list[str] = Field(default_factory=list)


def booking(undone: list[str]) -> Step[str, str]:
    async def book(trip: str, notes: Notes) -> str:
        notes.lines.append(trip)
        return f"booked {trip}"

    def unbook(booked: str) -> None:
        undone.append(booked)

    return Step(book, name="book", undo=unbook)


def paying(undone: list[str], *, looks: bool = False) -> Step[str, str]:
    async def pay(booked: str) -> str:
        return f"paid {booked}"

    def refund(paid: str) -> None:
        undone.append(paid)

    def refund_and_look(paid: str, notes: Notes) -> None:
        undone.append(f"{paid} {notes.lines}")

    return Step(pay, name="pay", undo=refund_and_look if looks else refund)


async def paused(store: MemoryStore) -> None:
    node = booking([]) >> paying([]) >> HumanInput("really?")
    assert (await Flujo(node, state=store).run_async("Rome", run_id="r1")).status == "paused"


async def test_it_is_ended_and_what_is_found_is_undone_in_reverse_order() -> None:
    store, undone = MemoryStore(), list[str]()
    await paused(store)
    changed = booking(undone) >> paying(undone, looks=True) >> HumanInput("really?", int)
    runner = Flujo(changed, state=store)
    with pytest.raises(PlanChanged):
        await runner.resume_async("r1", 1)
    result = await runner.cancel("r1", "no trip")
    assert (result.status, result.reason) == ("cancelled", "no trip")
    assert undone == ["paid booked Rome ['Rome']", "booked Rome"]
    assert [step.address for step in result.steps] == ["book", "pay"]
    with pytest.raises(ResumeError, match="ended already: cancelled"):
        await runner.cancel("r1")
    original = booking(undone) >> paying(undone) >> HumanInput("really?")
    known = await Flujo(original, state=store).result("r1")
    assert (known.status, known.reason, known.pending) == ("cancelled", "no trip", ())


async def test_what_is_gone_is_told_and_the_rest_is_undone() -> None:
    store, undone = MemoryStore(), list[str]()
    await paused(store)
    runner = Flujo(booking(undone) >> HumanInput("really?"), state=store)
    result = await runner.cancel("r1")
    assert undone == ["booked Rome"]
    assert result.error is not None
    assert result.error.__notes__ == ["undoing 'pay' failed: the step, and its undo if it had one, are gone"]
    told = [event for event in await store.events("r1") if event.kind == "undone" and event.address == "pay"]
    assert len(told) == 1
    assert b"are gone" in told[0].body
    assert b"are gone" in (await store.events("r1"))[-1].body


async def test_an_undo_that_asks_for_a_context_that_cannot_be_read_is_not_run() -> None:
    store, undone = MemoryStore(), list[str]()
    await paused(store)
    result = await Flujo(paying(undone, looks=True), state=store).cancel("r1")
    assert undone == []
    assert result.error is not None
    assert result.error.__notes__ == [
        "undoing 'pay' failed: it asks for the context, which this pipeline cannot read",
        "undoing 'book' failed: the step, and its undo if it had one, are gone",
    ]


async def test_an_output_of_another_type_is_told() -> None:
    store, undone = MemoryStore(), list[int]()
    await paused(store)

    async def book(trip: str) -> int:
        return 1

    node = Step(book, undo=undone.append) >> HumanInput("really?")
    result = await Flujo(node, state=store).cancel("r1")
    assert (result.status, undone) == ("cancelled", [])
    assert result.error is not None
    assert "'book' gave was recorded as another int" in result.error.__notes__[-1]


async def test_a_pipeline_without_any_undo_ends_it_too() -> None:
    async def other(x: int) -> int:
        return x

    store = MemoryStore()
    await paused(store)
    result = await Flujo(Step(other), state=store).cancel("r1")
    assert result.status == "cancelled"
    with pytest.raises(UnknownRun):
        await Flujo(Step(other), state=store).cancel("r2")


async def test_one_that_is_carried_on_elsewhere_is_left_alone() -> None:
    store = MemoryStore()
    seen: list[Exception] = []

    async def other(x: int) -> int:
        return x

    async def cancels(x: int) -> int:
        try:
            await Flujo(Step(other), state=store).cancel("r1")
        except RunBusy as error:
            seen.append(error)
        return x

    assert (await Flujo(Step(cancels), state=store).run_async(1, run_id="r1")).success
    assert len(seen) == 1

"""Dying everywhere: sound pipelines pass, and those that keep something outside of the journal are caught."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from flujo import (
    Decision,
    Flujo,
    HumanInput,
    Loop,
    MemoryStore,
    Node,
    Parallel,
    PipelineContext,
    PipelineResult,
    Retry,
    Sleep,
    SQLiteStore,
    Step,
    StepInfo,
    WaitForEvent,
    step,
)
from flujo.engine.record import Recall
from flujo.errors import ConfigError
from flujo.journal.events import Event
from flujo.testing import CrashError, Late, Lives, Scripted, Signal


class Basket(PipelineContext):
    total: int = 0


@step
async def add(price: int, context: Basket) -> int:
    context.total += price
    return price + 1


@step
async def text(number: int) -> str:
    return f"paid {number}"


def through(make: Callable[[], Node[Any, Any]], input: Any = 1, **settings: Any) -> tuple[Lives, list[Any]]:
    """Die everywhere in a test that carries one run; return what each passage came to."""
    lives, outputs = Lives(), list[Any]()
    lives.everywhere(lambda: outputs.append(lives.run(make(), input, **settings).output))
    return lives, outputs


def test_a_sound_pipeline_comes_to_the_same_wherever_it_dies() -> None:
    lives, outputs = through(lambda: add >> add.named("again") >> text)
    whole = lives.passage.whole
    assert whole is not None
    assert whole.appends >= 4
    assert outputs == ["paid 3"] * (1 + 2 * whole.appends)
    assert lives.passage.died_at is not None


def test_what_people_events_and_time_answer() -> None:
    make: Callable[[], Node[Any, Any]] = lambda: (  # noqa: E731
        HumanInput("?", schema=int, name="ask")
        >> Sleep(timedelta(hours=1))
        >> WaitForEvent("paid", schema=int)
        >> text
    )
    _, outputs = through(make, answers={"ask": Decision("edit", 5), "paid": Signal("paid", 7)})
    assert set(outputs) == {"paid 7"}


def test_retries_loops_and_branches() -> None:
    def make() -> Node[Any, Any]:
        model = Scripted(ConnectionError("gone"), 2, 3, 4, 5)
        asks = Step(model, name="ask", retry=Retry(3, backoff=60))
        return Loop(asks, until=lambda number: number >= 3, max_turns=9) >> Parallel(a=text, b=text)

    _, outputs = through(make)
    assert all(output == {"a": "paid 3", "b": "paid 3"} for output in outputs)


def test_an_at_most_once_step_is_looked_after_by_somebody_who_looks() -> None:
    charged: list[list[str]] = []

    def make() -> Node[Any, Any]:
        ledger: list[str] = []
        charged.append(ledger)

        async def charge(number: int, info: StepInfo) -> int:
            ledger.append(info.idempotency_key)
            return number

        return Step(charge, name="charge", effects="at_most_once") >> text

    through(make)
    assert len(charged) > 4
    assert all(ledger == ["run-1:charge"] for ledger in charged)


def test_one_who_says_run_it_again_is_heard() -> None:
    ran: list[int] = []

    async def charge(number: int) -> int:
        ran.append(number)
        return number

    once = Step(charge, name="charge", effects="at_most_once")
    lives, _ = through(lambda: once, in_doubt={"charge": Decision("approve")})
    assert lives.passage.whole is not None
    assert len(ran) > 1 + lives.passage.whole.appends


async def test_in_an_event_loop_and_on_sqlite(tmp_path: Path) -> None:
    stores = iter(range(100))
    lives = Lives(lambda: SQLiteStore(tmp_path / f"{next(stores)}.db"))
    assert (await lives.run_async(add >> text, 1, context=Basket(total=5))).context == Basket(total=6)


def test_a_dead_process_still_has_written_what_was_on_its_way_to_the_disk(tmp_path: Path) -> None:
    stores = iter(range(100))
    lives = Lives(lambda: SQLiteStore(tmp_path / f"{next(stores)}.db"))
    lives.everywhere(lambda: lives.run(add >> text, 1))
    assert next(stores) == 1 + 2 * (lives.passage.whole or lives.passage).appends


# What must be caught


def counting() -> Node[Any, Any]:
    seen: list[int] = []

    async def count(number: int) -> int:
        seen.append(number)
        return len(seen)

    return Step(count, name="count") >> text


def test_a_counter_outside_of_the_journal_is_caught() -> None:
    with pytest.raises(CrashError) as caught:
        through(counting)
    assert str(caught.value) == snapshot("""\
the run came out differently:
  output: undisturbed 'paid 1', after the crash 'paid 2'
Something that decides the result is kept outside of the journal: a counter, a file, the time, chance.
Keep it in the context, or record it with info.do.\
""")
    assert caught.value.__notes__ == snapshot(
        ["The process died before append 2 of 3: event 2 step.completed at 'count'."]
    )


def test_a_context_kept_outside_is_caught() -> None:
    def make() -> Node[Any, Any]:
        kept: dict[str, int] = {}

        async def remember(number: int) -> int:
            kept["number"] = number
            return number

        async def use(number: int) -> int:
            return kept.pop("number", 0)

        return Step(remember, name="remember") >> Step(use, name="use")

    with pytest.raises(CrashError, match="came out differently"):
        through(make)


def forgetting(patch: pytest.MonkeyPatch, kind: str) -> None:
    honest = Recall.of

    def forget(events: Iterable[Event]) -> Recall:
        return honest([event for event in events if event.kind != kind])

    patch.setattr(Recall, "of", staticmethod(forget))


def test_a_recorded_step_that_runs_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetting(monkeypatch, "step.completed")
    with pytest.raises(CrashError, match=r"'(text|add)' ran again, although"):
        through(lambda: add >> text)


def test_an_at_most_once_step_that_runs_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def charge(number: int) -> int:
        return number

    forgetting(monkeypatch, "step.started")
    with pytest.raises(CrashError, match="at-most-once step 'charge' was begun again"):
        through(lambda: Step(charge, name="charge", effects="at_most_once"))


class Tampered(MemoryStore):
    """Gives back what it was not given."""

    async def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        known = await super().events(run_id, after=after, limit=limit)
        return [event._replace(body=event.body.replace(b"paid", b"owed")) for event in known]


def test_a_journal_that_is_not_sound_is_caught() -> None:
    with pytest.raises(CrashError, match="the journal is not sound"):
        Lives(Tampered).run(text, 1)


def test_a_result_that_the_journal_does_not_tell_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Flujo[Any, Any].result

    async def other(self: Flujo[Any, Any], run_id: str) -> PipelineResult[Any]:
        return replace(await honest(self, run_id), output="owed 1")

    monkeypatch.setattr(Flujo, "result", other)
    with pytest.raises(CrashError, match="what is recorded is not what was told"):
        Lives().run(text, 1)


def test_a_failing_assertion_of_the_test_says_where_the_process_died() -> None:
    lives = Lives()

    def test() -> None:
        ledger: list[int] = []

        async def charge(number: int) -> int:
            ledger.append(number)
            return number

        assert lives.run(Step(charge, name="charge"), 1).output == 1
        assert len(ledger) == 1

    with pytest.raises(AssertionError) as caught:
        lives.everywhere(test)
    assert caught.value.__notes__ == snapshot(
        ["The process died before append 2 of 2: event 2 step.completed at 'charge', 3 run.ended."]
    )


def test_a_test_that_carries_no_run_says_how() -> None:
    with pytest.raises(CrashError, match="the test carried no run"):
        Lives().everywhere(lambda: None)


def test_an_answer_that_nobody_asks_for_is_a_mistake() -> None:
    with pytest.raises(CrashError, match="has 'aproove', which the run never asked; it asked at 'ask'"):
        through(lambda: HumanInput("?", name="ask"), answers={"aproove": Decision("approve")})


def test_what_nobody_answers_leaves_the_run_paused() -> None:
    lives = Lives()
    lives.everywhere(lambda: _is_paused(lives.run(add >> HumanInput("?", name="ask"), 1)))


def _is_paused(result: Any) -> None:
    assert [request.address for request in result.pending] == ["ask"]


async def test_where_a_loop_runs_the_other_method_is_named() -> None:
    with pytest.raises(ConfigError, match="await run_async"):
        Lives().run(text, 1)


def test_other_errors_are_not_taken_for_a_death() -> None:
    store = MemoryStore()

    def broken() -> Node[Any, Any]:
        raise KeyError("no such pipeline")

    with pytest.raises(KeyError):
        Lives(lambda: store).run(broken, 1)


def test_late_answers_move_the_clock() -> None:
    async def other(number: int) -> int:
        return -number

    def make() -> Node[Any, Any]:
        return WaitForEvent("paid", schema=int, timeout=timedelta(hours=1), on_timeout=Step(other))

    _, outputs = through(make, 3, answers={"paid": Late(7200)})
    assert set(outputs) == {-3}

"""Schedules: each time once, whoever looks at the clock, and what becomes of times that were missed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any, get_args

import pytest

from flujo import Flujo, step
from flujo.engine.run import microseconds
from flujo.errors import ConfigError
from flujo.journal.jobs import Board
from flujo.journal.store import RunQuery
from flujo.testing import VirtualClock
from flujo.worker import Schedule, board_of, schedules
from flujo.worker.schedules import MOST, Keeper, Missed

Make = Callable[..., Flujo[Any, Any]]


@step
async def double(number: int) -> int:
    return 2 * number


report = (double >> double.named("again")).named("report")


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


class Desk:
    """A schedule in a store, a clock that is moved, and as many keepers as one likes."""

    def __init__(self, make: Make) -> None:
        self.clock = VirtualClock()
        self.make = make
        self.runner = make(report, clock=self.clock)
        assert self.runner.store is not None
        self.board: Board = board_of(self.runner.store)

    def now(self, text: str) -> None:
        self.clock.advance((at(text) - self.clock.now()) / 1e6)

    def keeper(self) -> Keeper:
        return Keeper(self.board, {"report": self.make(report, clock=self.clock)}, self.clock)

    async def add(self, cron: str = "0 * * * *", **settings: Any) -> Schedule:
        whole: dict[str, Any] = {"input": 1, **settings}
        schedule = Schedule("hourly", "report", cron, **whole)
        assert await self.board.put_schedule(schedule.row(schedule.after(self.clock.now())))
        return schedule

    async def runs(self) -> list[str]:
        assert self.runner.store is not None
        page = await self.runner.store.runs(RunQuery(limit=1000))
        return sorted(record.run_id for record in page.runs)


@pytest.fixture
async def desk(runner_of: Make) -> AsyncGenerator[Desk]:
    desk = Desk(runner_of)
    desk.now("2030-01-01T00:30:00")
    yield desk
    await desk.board.close()


async def test_a_run_begins_at_its_time_and_not_before(desk: Desk) -> None:
    await desk.add(labels={"target": "x"}, tenant="acme")
    keeper = desk.keeper()
    assert await keeper.begin_due() == 0
    desk.now("2030-01-01T01:00:00")
    assert await keeper.begin_due() == 1
    assert await keeper.begin_due() == 0
    assert await desk.runs() == ["hourly@2030-01-01T01:00:00Z"]
    assert (await desk.board.schedules())[0].next == at("2030-01-01T02:00:00")


async def test_many_keepers_begin_each_run_once(desk: Desk) -> None:
    await desk.add()
    keepers = [desk.keeper() for _ in range(5)]
    for hour in range(1, 4):
        desk.now(f"2030-01-01T{hour:02}:00:01")
        await asyncio.gather(*(keeper.begin_due() for keeper in keepers))
    assert await desk.runs() == [f"hourly@2030-01-01T{hour:02}:00:00Z" for hour in range(1, 4)]
    assert sum(count.due for count in await desk.board.counts(desk.clock.now())) == 3


async def test_a_keeper_that_died_before_it_noted_the_time_repeats_nothing(desk: Desk) -> None:
    schedule = await desk.add()
    desk.now("2030-01-01T01:00:00")
    [row] = await desk.board.schedules(desk.clock.now())
    await desk.keeper().begin_due()
    [after] = await desk.board.schedules()
    assert await desk.board.move_schedule(row, after)  # as if it had not got so far
    assert await desk.keeper().begin_due() == 1
    assert await desk.runs() == ["hourly@2030-01-01T01:00:00Z"]
    assert schedule.after(desk.clock.now()) == at("2030-01-01T02:00:00")


@pytest.mark.parametrize(
    ("missed", "late", "hours"),
    [
        ("once", "2030-01-01T04:30:00", [4]),
        ("all", "2030-01-01T04:30:00", [1, 2, 3, 4]),
        ("skip", "2030-01-01T04:30:00", []),
        ("skip", "2030-01-01T04:00:30", [4]),
    ],
)
async def test_times_when_no_worker_was_there(desk: Desk, missed: str, late: str, hours: list[int]) -> None:
    await desk.add(missed=missed)
    desk.now(late)
    await desk.keeper().begin_due()
    assert await desk.runs() == [f"hourly@2030-01-01T{hour:02}:00:00Z" for hour in hours]
    assert (await desk.board.schedules())[0].next == at("2030-01-01T05:00:00")


async def test_a_schedule_that_rests_begins_nothing_and_makes_up_for_nothing(desk: Desk) -> None:
    schedule = await desk.add(missed="all")
    [row] = await desk.board.schedules()
    await desk.board.move_schedule(schedule.with_paused(True).row(row.next), row)
    desk.now("2030-01-01T04:30:00")
    assert await desk.keeper().begin_due() == 0
    assert await desk.runs() == []


async def test_no_second_is_left_out_by_a_look_that_came_late(desk: Desk) -> None:
    await desk.add("* * * * * *")
    desk.now("2030-01-01T00:30:03")
    assert await desk.keeper().begin_due() == 3
    assert await desk.runs() == [f"hourly@2030-01-01T00:30:0{second}Z" for second in (1, 2, 3)]


async def test_a_pause_is_not_undone_by_a_keeper_that_was_looking(desk: Desk) -> None:
    schedule = await desk.add()
    [seen] = await desk.board.schedules()
    paused = schedule.with_paused(True).row(seen.next)
    assert await desk.board.move_schedule(paused, seen)
    assert not await desk.board.move_schedule(seen._replace(next=seen.next + 1), seen)
    assert Schedule.of((await desk.board.schedules())[0]).paused


async def test_a_schedule_that_cannot_be_read_keeps_no_other_from_beginning(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    schedule = await desk.add()
    row = schedule.row(schedule.after(desk.clock.now()))
    odd = row._replace(name="odd", spec=row.spec.replace('"UTC"', '"Europe/Nowhere"'))
    newer = row._replace(name="newer", spec=row.spec.replace('"cron"', '"jitter": 5, "cron"'))
    assert await desk.board.put_schedule(odd)
    assert await desk.board.put_schedule(newer)
    desk.now("2030-01-01T01:00:00")
    assert await desk.keeper().begin_due() == 2
    assert "Europe/Nowhere" in caplog.text


async def test_a_pipeline_that_this_worker_does_not_have_is_left_to_others(desk: Desk) -> None:
    await desk.add()
    desk.now("2030-01-01T01:00:00")
    assert await Keeper(desk.board, {}, desk.clock).begin_due() == 0
    assert await desk.keeper().begin_due() == 1


async def test_an_input_that_fits_no_more_is_told_and_does_not_stop_the_others(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.add(input="a word")
    fine = Schedule("fine", "report", "0 * * * *", input=1)
    await desk.board.put_schedule(fine.row(fine.after(desk.clock.now())))
    desk.now("2030-01-01T01:00:00")
    assert await desk.keeper().begin_due() == 1
    assert "'hourly' cannot begin a run" in caplog.text
    assert "a word" not in caplog.text
    assert await desk.runs() == ["fine@2030-01-01T01:00:00Z"]


def test_hours_are_those_of_the_zone_also_when_its_clocks_change() -> None:
    daily = Schedule("daily", "report", "30 8 * * *", timezone="Europe/Madrid")
    winter = daily.after(at("2030-03-30T00:00:00"))
    summer = daily.after(winter)
    assert (winter, summer) == (at("2030-03-30T07:30:00"), at("2030-03-31T06:30:00"))


def test_no_time_that_is_over_is_next_in_an_hour_that_comes_twice() -> None:
    schedule = Schedule("early", "report", "30 2 * * *", "Europe/Madrid")
    begins = at("2026-10-25T00:30:00")
    assert schedule.after(at("2026-10-25T00:10:00")) == begins
    for later in ("2026-10-25T00:30:00", "2026-10-25T01:10:00", "2026-10-25T01:30:00"):
        assert schedule.after(at(later)) == at("2026-10-26T01:30:00")
    missed = schedule.times(begins, at("2026-10-25T01:10:00"))
    assert missed == [begins]


def test_a_look_after_years_takes_no_longer_than_one_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def counted(time: datetime) -> int:
        looked.append(1)
        return microseconds(time)

    monkeypatch.setattr(schedules, "microseconds", counted)
    first, now = at("2000-01-01T00:00:00"), at("2030-01-01T00:00:20")
    lasts = {"* * * * * *": now, "0 0 1 1 *": at("2030-01-01T00:00:00")}
    for (cron, last), missed in product(lasts.items(), get_args(Missed)):
        looked.clear()
        assert Schedule("often", "report", cron, missed=missed).times(first, now)[-1] == last
        assert len(looked) <= 5 * MOST


def test_what_is_missed_is_made_up_for_within_reason() -> None:
    schedule = Schedule("often", "report", "* * * * *", missed="all")
    times = schedule.times(at("2030-01-01T00:00:00"), at("2030-01-08T00:00:00"))
    assert len(times) == 1000
    assert times[-1] == at("2030-01-08T00:00:00")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": " x"}, "cannot name"),
        ({"name": "a@b"}, "cannot name"),
        ({"cron": "99 * * * *"}, "cannot be used"),
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"missed": "often"}, "missed='often'"),
    ],
)
def test_what_is_no_schedule(settings: dict[str, Any], said: str) -> None:
    whole: dict[str, Any] = {"name": "daily", "pipeline": "report", "cron": "0 8 * * *", **settings}
    with pytest.raises(ConfigError, match=said):
        Schedule(**whole)

"""A clock that is set an hour back or forward again and again while runs go on."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

from typing_extensions import override

from flujo import Flujo, HumanInput, Map, Retry, Sleep, StepInfo, step
from flujo.journal.store import JournalStore, RunQuery
from flujo.journal.verify import verify
from flujo.testing import Mortal, VirtualClock, died

HOUR = 3_600_000_000
WAIT = 5.0


class JumpingClock(VirtualClock):
    """A clock that is set an hour back or forward whenever somebody looks at it, or is not."""

    def __init__(self, seed: int) -> None:
        super().__init__(tick=1000)
        self._random = Random(seed)
        self._off = 0

    @override
    def now(self) -> int:
        self._off = max(-HOUR, min(HOUR, self._off + self._random.choice((-HOUR, 0, 0, HOUR))))
        return super().now() + self._off


class SetClock(VirtualClock):
    """A clock that somebody sets."""

    minutes_off = 0

    @override
    def now(self) -> int:
        return super().now() + self.minutes_off * 60_000_000


@step(retry=Retry(3, backoff=WAIT, factor=1.0, jitter=0.0))
async def flaky(number: int, info: StepInfo) -> int:
    if info.attempt < 3:
        raise OSError("not yet")
    return number + 1


@step
async def total(numbers: list[int]) -> int:
    return sum(numbers)


def three(number: int) -> list[int]:
    return [number, number, number]


pipeline = (
    flaky
    >> Sleep(timedelta(seconds=WAIT))
    >> Map(flaky.named("each"), over=three)
    >> total
    >> HumanInput("go on with?", schema=int, name="ask", timeout=timedelta(days=1))
    >> flaky.named("last")
)


async def carried(store: JournalStore, run: int, clock: VirtualClock) -> Any:
    """Carry a run on over lives that each end after a few commits, and answer what it asks."""
    name, life = f"run-{run}", 0
    while True:
        life += 1
        mortal = Mortal(store, at=4 if life < 8 else 0, death="after")
        runner: Flujo[int, int] = Flujo(pipeline, state=mortal, clock=clock)
        try:
            result = await runner.run_async(run, run_id=name)
            if result.status == "paused":
                result = await runner.resume_async(result, 10 * run)
        except BaseException as error:
            if not (mortal.dead and died(error)):
                raise
            await mortal.settled()
        else:
            return result.unwrap()


async def test_runs_end_right_and_wait_no_longer_than_they_were_to(store: JournalStore) -> None:
    clock, runs = JumpingClock(1), range(1, 13)
    outputs = await asyncio.gather(*(carried(store, run, clock) for run in runs))
    assert outputs == [10 * run + 1 for run in runs]
    assert max(clock.slept) <= WAIT + 0.001
    back = 0
    for run in runs:
        assert (await verify(store, f"run-{run}")).sound
        events = await store.events(f"run-{run}")
        back += sum(after.at < before.at for before, after in pairwise(events))
    assert back > 20, "the clock was set back"


async def test_lists_name_each_run_once(store: JournalStore) -> None:
    clock = JumpingClock(2)
    for run in range(1, 11):
        await carried(store, run, clock)
    found: list[str] = []
    query = RunQuery(limit=3)
    while True:
        page = await store.runs(query)
        found += [record.run_id for record in page.runs]
        if not page.next:
            break
        query = RunQuery(limit=3, after=page.next)
    assert sorted(found) == sorted(f"run-{run}" for run in range(1, 11))


async def test_a_deadline_is_kept_by_the_clock_of_the_moment(store: JournalStore) -> None:
    """It is a time of day: a clock that is set right again makes it come when it was to come."""
    clock = SetClock()
    asking = HumanInput("in time?", schema=str, name="ask", timeout=timedelta(minutes=30), on_timeout=late)
    runner = Flujo(start >> asking, state=store, clock=clock)
    paused = await runner.run_async(1, run_id="asked")
    for off in (-60, 29, -31):
        clock.minutes_off = off
        assert (await runner.resume_async(paused)).status == "paused"
    clock.minutes_off = 31
    assert (await runner.resume_async(paused)).unwrap() == "too late"
    assert (await verify(store, "asked")).sound


@step
async def start(number: int) -> str:
    return str(number)


@step
async def late(text: str) -> str:
    return "too late"

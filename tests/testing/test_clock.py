"""The clock of tests: jumps to the next timer, or waits to be told."""

import asyncio
import doctest
from datetime import timedelta

import pytest

from flujo import Flujo, Parallel, Retry, Sleep, Step, step
from flujo.testing import VirtualClock
from flujo.testing import clock as clock_module


async def test_it_jumps_to_the_next_moment_somebody_waits_for() -> None:
    clock, woken = VirtualClock(), list[tuple[float, float]]()
    begun = clock.now()

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, (clock.now() - begun) / 1e6))

    await asyncio.gather(sleeper(20), sleeper(5), sleeper(10))
    assert woken == [(5, 5), (10, 10), (20, 20)]


async def test_held_it_moves_only_when_told() -> None:
    clock = VirtualClock(held=True)
    task = asyncio.create_task(clock.sleep(60))
    await clock.asleep()
    clock.advance(59.9)
    await asyncio.sleep(0)
    assert not task.done()
    clock.advance(0.2)
    await task
    assert clock.slept == [60]


async def test_who_is_cancelled_is_waited_for_no_more() -> None:
    clock = VirtualClock(held=True)
    begun = clock.now()
    task = asyncio.create_task(clock.sleep(5))
    await clock.asleep()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    clock.held = False
    await clock.sleep(60)
    assert clock.now() - begun == 60_000_000


@pytest.mark.timeout(10)
async def test_waits_of_the_engine_are_over_at_once_side_by_side() -> None:
    @step
    async def ready(_: object) -> str:
        return "ready"

    async def fails(number: int) -> str:
        raise ConnectionError(number)

    patient = Step(fails, name="patient", retry=Retry(3, backoff=600, longest=3600, jitter=0), fallback=ready)
    pipeline = Parallel(night=Sleep(timedelta(hours=8)) >> ready, patient=patient)
    clock = VirtualClock()
    begun = clock.now()
    assert (await Flujo(pipeline, clock=clock).run_async(1)).success
    assert sorted(clock.slept) == [600, 1200, 28_800]
    assert clock.now() - begun == 28_800_000_000


def test_a_tick_tells_moments_apart() -> None:
    clock = VirtualClock(1_000, tick=2)
    assert (clock.now(), clock.now()) == (1_002, 1_004)


def test_its_example() -> None:
    assert doctest.testmod(clock_module).attempted
    assert doctest.testmod(clock_module).failed == 0

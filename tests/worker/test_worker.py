"""A worker carries on what is due: new runs, answers, events, timers, and what others left."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from flujo import Decision, Flujo, HumanInput, Sleep, WaitForEvent, step
from flujo.engine.dispatch import Woken
from flujo.errors import ConfigError, InputError, ResumeError, RunConflict
from flujo.testing import VirtualClock
from flujo.worker import Worker, board_of
from tests.worker.conftest import at_work, until

Make = Callable[..., Flujo[Any, Any]]


@step
async def double(number: int) -> int:
    return 2 * number


@step
async def say(number: int) -> str:
    return f"it is {number}"


class TestStarting:
    async def test_a_run_is_carried_out(self, runner_of: Make) -> None:
        runner = runner_of(double >> say)
        run_id = await runner.start_async(21, labels={"for": "a test"})
        assert runner.store is not None
        record = await runner.store.run(run_id)
        assert record is not None
        assert (record.status, record.owner) == ("queued", "")
        async with at_work(runner_of(double >> say)) as worker:
            await until(runner, run_id)
        assert (await runner.result(run_id)).output == "it is 42"
        assert worker.tally.outcomes == {(runner.plan.name, "completed"): 1}

    async def test_one_name_is_one_run(self, runner_of: Make) -> None:
        runner = runner_of(double)
        names = [await runner.start_async(1, run_id="order-7") for _ in range(3)]
        assert names == ["order-7"] * 3
        with pytest.raises(RunConflict):
            await runner.start_async(2, run_id="order-7")
        async with at_work(runner) as worker:
            await until(runner, "order-7")
        assert sum(worker.tally.outcomes.values()) == 1

    async def test_many_who_begin_one_run_at_once(self, runner_of: Make) -> None:
        runners = [runner_of(double) for _ in range(4)]
        await asyncio.gather(
            *(runner.start_async(1, run_id="order-7") for runner in runners for _ in range(5))
        )
        board = board_of(runners[0].store)  # type: ignore[arg-type]
        assert [count.due for count in await board.counts(2**60)] == [1]
        await board.close()

    async def test_what_cannot_begin_leaves_neither_run_nor_job(self, runner_of: Make) -> None:
        runner = runner_of(double)
        with pytest.raises(InputError):
            await runner.start_async("x", run_id="bad")
        assert runner.store is not None
        assert await runner.store.run("bad") is None

    async def test_a_runner_in_memory_has_no_workers(self) -> None:
        with pytest.raises(ConfigError, match="memory"):
            await Flujo(double).start_async(1)
        with pytest.raises(ConfigError, match="store"):
            Worker([Flujo(double)])


class TestGoingOn:
    async def test_an_answer_is_picked_up(self, runner_of: Make) -> None:
        runner = runner_of(double >> HumanInput("how many?", schema=int) >> say)
        run_id = await runner.start_async(1)
        async with at_work(runner):
            await until(runner, run_id, "paused")
            await runner.answer(run_id, Decision("edit", 5))
            await until(runner, run_id)
        assert (await runner.result(run_id)).output == "it is 5"

    async def test_an_event_is_picked_up_early_or_late(self, runner_of: Make) -> None:
        runner = runner_of(double >> WaitForEvent("paid", schema=int) >> say)
        early, late = await runner.start_async(1), await runner.start_async(2)
        await runner.signal(early, "paid", 7)
        async with at_work(runner):
            await until(runner, early)
            await until(runner, late, "paused")
            await runner.signal(late, "paid", 8)
            await until(runner, late)
        assert (await runner.result(late)).output == "it is 8"
        with pytest.raises(ResumeError, match="ended"):
            await runner.signal(late, "paid", 9)

    async def test_a_sleep_costs_no_hand(self, runner_of: Make) -> None:
        runner = runner_of(double >> Sleep(timedelta(seconds=0.5)) >> say)
        runs = [await runner.start_async(number) for number in range(5)]
        async with at_work(runner, concurrency=1) as worker:
            for run_id in runs:
                await until(runner, run_id, "paused")
            for run_id in runs:
                await until(runner, run_id)
        result = await runner.result(runs[1])
        assert result.output == "it is 2"
        assert worker.tally.outcomes[runner.plan.name, "completed"] == 5

    async def test_a_deadline_wakes_the_run(self, runner_of: Make) -> None:
        @step
        async def nobody(number: int) -> int:
            return -1

        wait = HumanInput("?", schema=int, timeout=timedelta(seconds=0.3), on_timeout=nobody)
        runner = runner_of(double >> wait >> say)
        run_id = await runner.start_async(1)
        async with at_work(runner):
            await until(runner, run_id)
        assert (await runner.result(run_id)).output == "it is -1"

    async def test_a_run_that_waits_is_left_alone(self, runner_of: Make) -> None:
        runner = runner_of(double >> HumanInput("how many?", schema=int))
        run_id = await runner.start_async(1)
        async with at_work(runner):
            await until(runner, run_id, "paused")
        assert runner.store is not None
        before = await runner.store.events(run_id)
        assert (await runner.carry_on(run_id)).result is None
        assert await runner.store.events(run_id) == before


class TestDying:
    async def test_a_run_that_kills_its_workers_waits_longer_each_time(self, place: str) -> None:
        """Each process gets as far as the start of the step, and dies there."""
        reached = asyncio.Event()

        @step
        async def deadly(number: int) -> int:
            reached.set()
            await asyncio.Event().wait()
            return number

        clock = VirtualClock()
        waits: list[float] = []
        async with Flujo(deadly, state=place, clock=clock) as first:
            await first.start_async(1, run_id="run-1")
        for _ in range(7):
            reached.clear()
            runner = Flujo(deadly, state=place, clock=clock)
            woken = await _until_reached_or_told(runner, reached)
            if woken is not None and woken.due is not None:
                waits.append((woken.due - clock.now()) / 1e6)
                clock.advance(waits[-1])
                reached.clear()
                assert await _until_reached_or_told(runner, reached) is None
            await runner.close()
        assert waits == [1.0, 2.0, 4.0, 8.0]


async def _until_reached_or_told(runner: Flujo[Any, Any], reached: asyncio.Event) -> Woken | None:
    """Carry a run on until its step has begun, and die there; or return what it was told."""
    carrying = asyncio.create_task(runner.carry_on("run-1", take_over=True))
    begun = asyncio.create_task(reached.wait())
    await asyncio.wait({carrying, begun}, return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()
    if carrying.done():
        return carrying.result()
    carrying.cancel()
    await asyncio.wait({carrying})
    return None


class TestSharing:
    async def test_several_workers_carry_each_run_once(self, runner_of: Make) -> None:
        seen: list[int] = []

        @step
        async def note(number: int) -> int:
            seen.append(number)
            await asyncio.sleep(0.01)
            return number

        runner = runner_of(note)
        runs = await asyncio.gather(*(runner.start_async(number) for number in range(60)))
        async with (
            at_work(runner_of(note), concurrency=4) as one,
            at_work(runner_of(note), concurrency=4) as two,
        ):
            for run_id in runs:
                await until(runner, run_id)
        assert sorted(seen) == list(range(60))
        shares = [sum(worker.tally.outcomes.values()) for worker in (one, two)]
        assert min(shares) > 0

    async def test_the_limits_of_pipelines_and_tenants_hold_over_workers(self, runner_of: Make) -> None:
        now: dict[str, int] = {"all": 0}
        most: dict[str, int] = {}

        @step
        async def watch(tenant: str) -> str:
            for key in ("all", tenant):
                now[key] = now.get(key, 0) + 1
                most[key] = max(most.get(key, 0), now[key])
            await asyncio.sleep(0.03)
            for key in ("all", tenant):
                now[key] -= 1
            return tenant

        runner = runner_of(watch)
        runs = [
            await runner.start_async(tenant, tenant=tenant, run_id=f"{tenant}-{number}")
            for number in range(4)
            for tenant in ("acme", "zeta", "nobody")
        ]
        limits: dict[str, Any] = {
            "pipelines": {runner.plan.name: 3},
            "tenants": {"acme": 1},
            "each_tenant": 2,
        }
        async with (
            at_work(runner_of(watch), concurrency=8, **limits),
            at_work(runner_of(watch), concurrency=8, **limits),
        ):
            for run_id in runs:
                await until(runner, run_id)
        assert most["all"] <= 3
        assert most["acme"] == 1
        assert most["zeta"] <= 2

    async def test_the_highest_priority_goes_first(self, runner_of: Make) -> None:
        seen: list[int] = []

        @step
        async def note(number: int) -> int:
            seen.append(number)
            return number

        runner = runner_of(note)
        runs = [await runner.start_async(number, priority=number % 3) for number in range(9)]
        async with at_work(runner, concurrency=1):
            for run_id in runs:
                await until(runner, run_id)
        assert [number % 3 for number in seen] == [2, 2, 2, 1, 1, 1, 0, 0, 0]

    async def test_another_plan_is_left_to_its_own_workers(self, runner_of: Make) -> None:
        old, new = runner_of(double), runner_of(double >> double.named("again"))
        run_id = await old.start_async(1)
        async with at_work(new):
            await asyncio.sleep(0.2)
        assert await until(old, run_id, "queued") == "queued"
        async with at_work(old):
            await until(old, run_id)

    def test_limits_that_cannot_be(self, runner_of: Make) -> None:
        runner = runner_of(double)
        with pytest.raises(ConfigError, match="'intake', which this worker does not have"):
            Worker([runner], pipelines={"intake": 2})
        with pytest.raises(ConfigError, match="nothing"):
            Worker([runner], concurrency=0)


class TestStopping:
    async def test_what_is_in_hand_may_end(self, runner_of: Make) -> None:
        begun = asyncio.Event()

        @step
        async def slow(number: int) -> int:
            begun.set()
            await asyncio.sleep(0.2)
            return number

        runner = runner_of(slow)
        run_id = await runner.start_async(1)
        async with at_work(runner, grace=5.0) as worker:
            await begun.wait()
            worker.stop()
        assert await until(runner, run_id) == "completed"

    async def test_what_does_not_end_is_handed_back(self, runner_of: Make) -> None:
        begun, go = asyncio.Event(), asyncio.Event()
        ran: list[str] = []

        @step
        async def first(number: int) -> int:
            ran.append("first")
            return number

        @step
        async def stuck(number: int) -> int:
            ran.append("stuck")
            begun.set()
            await go.wait()
            return number

        runner = runner_of(first >> stuck)
        run_id = await runner.start_async(1)
        async with at_work(runner, grace=0.05) as worker:
            await begun.wait()
            worker.stop()
        go.set()
        async with at_work(runner):
            await until(runner, run_id)
        assert ran == ["first", "stuck", "stuck"]

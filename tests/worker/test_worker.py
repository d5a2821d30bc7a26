"""A worker carries on what is due: new runs, answers, events, timers, and what others left."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from flujo import Decision, Flujo, HumanInput, Sleep, Step, WaitForEvent, step
from flujo.errors import ConfigError, InputError, ResumeError, RunConflict
from flujo.journal.scripts import queries
from flujo.journal.store import Batch
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

    @pytest.mark.parametrize("name", ["n" * 28, "onboarding " * 9, "ü" * 50])
    async def test_a_long_name_is_no_hindrance(self, runner_of: Make, name: str) -> None:
        runner = runner_of((double >> Sleep(timedelta(seconds=0.05)) >> say).named(name))
        other = runner_of((double >> say).named(f"{name}, too"))
        runs = [await one.start_async(21) for one in (runner, other)]
        async with at_work(runner, other, pipelines={runner.plan.name: 1}) as worker:
            for one, run_id in zip((runner, other), runs, strict=True):
                await until(one, run_id)
        assert worker.tally.outcomes[other.plan.name, "completed"] == 1

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
        runner = Flujo(deadly, state=place, clock=clock)
        for _ in range(3):
            await _die(runner, reached)
        for _ in range(4):
            woken = await runner.carry_on("run-1", take_over=True)
            assert woken.due is not None
            waits.append((woken.due - clock.now()) / 1e6)
            clock.advance(waits[-1])
            await _die(runner, reached)
        await runner.close()
        assert waits == [1.0, 2.0, 4.0, 8.0]


async def _die(runner: Flujo[Any, Any], reached: asyncio.Event) -> None:
    """Carry a run on until its step has begun, and leave it there, as a process does that is killed."""
    reached.clear()
    carrying = asyncio.create_task(runner.resume_async("run-1", take_over=True))
    await reached.wait()
    carrying.cancel()
    await asyncio.wait({carrying})


def _seems_alive(owner: str) -> bool:
    return True


def stuck_once(reached: asyncio.Event) -> Step[int, int]:
    """Return a step that never ends the first time; it tells when it is there."""

    @step
    async def slow(number: int) -> int:
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        return number

    return slow


class TestWakeUps:
    """None is lost, whatever else is asked of the run at the same moment."""

    async def test_an_event_that_is_not_awaited_yet_hides_no_later_one(self, runner_of: Make) -> None:
        first = WaitForEvent("first", schema=int, timeout=timedelta(hours=1))
        runner = runner_of(double >> first >> WaitForEvent("second", schema=int) >> say)
        run_id = await runner.start_async(1)
        async with at_work(runner) as worker:
            await until(runner, run_id, "paused")
            await runner.signal(run_id, "second", 2)
            async with asyncio.timeout(20):
                while not worker.tally.outcomes.get((runner.plan.name, "nothing")):
                    await asyncio.sleep(0.01)
            await runner.signal(run_id, "first", 1)
            await until(runner, run_id)
        assert (await runner.result(run_id)).output == "it is 2"

    async def test_events_that_come_while_there_is_no_room_are_not_lost(self, runner_of: Make) -> None:
        go = asyncio.Event()

        @step
        async def slow(number: int) -> int:
            if number == 0:
                await go.wait()
            return number

        runner = runner_of(slow >> WaitForEvent("paid", schema=int) >> say)
        async with at_work(runner, each_tenant=1, concurrency=4):
            waiting = await runner.start_async(1, tenant="acme")
            await until(runner, waiting, "paused")
            await runner.start_async(0, tenant="acme")
            await asyncio.sleep(0.3)  # it holds the only slot
            for number in range(3):
                await runner.signal(waiting, "paid", number)
                await asyncio.sleep(0.4)
            go.set()
            await until(runner, waiting)

    async def test_a_run_without_a_job_is_asked_for_by_its_name(self, runner_of: Make) -> None:
        reached = asyncio.Event()
        slow = stuck_once(reached)
        runner = runner_of(slow)
        carrying = asyncio.create_task(runner.run_async(1, run_id="one"))
        await reached.wait()
        carrying.cancel()
        await asyncio.wait({carrying})
        assert await runner.start_async(1, run_id="one") == "one"
        async with at_work(runner):
            await until(runner, "one")

    async def test_a_run_that_is_handed_back_goes_on_on_another_machine(
        self, runner_of: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reached = asyncio.Event()
        slow = stuck_once(reached)
        runner = runner_of(slow)
        run_id = await runner.start_async(1)
        async with at_work(runner, grace=0.05) as worker:
            await reached.wait()
            worker.stop()
        assert await until(runner, run_id, "queued") == "queued"
        monkeypatch.setattr("flujo.engine.opened.is_alive", _seems_alive)  # as one does on another host
        async with at_work(runner_of(slow)):
            await until(runner, run_id)

    async def test_a_store_that_refuses_for_a_moment_costs_no_run(self, place: str, runner_of: Make) -> None:
        if "://" not in place:
            pytest.skip("a file is waited for by SQLite itself")
        runner = runner_of(double >> say)
        run_id = await runner.start_async(1)
        impatient = Flujo(double >> say, state=f"{place}&lock_timeout=300")
        locking = await asyncpg.connect(place)
        async with locking.transaction():
            await locking.execute("LOCK TABLE events")
            async with at_work(impatient, grace=0.2):  # it asks again and again until it is told to stop
                await asyncio.sleep(1.0)
        await locking.close()
        async with at_work(impatient):
            await until(runner, run_id)
        await impatient.close()

    async def test_a_signal_is_not_lost_between_its_job_and_its_commit(
        self, place: str, runner_of: Make
    ) -> None:
        """A worker that is done with a job before the signal is committed looks again afterwards."""
        if "://" not in place:
            pytest.skip("in a file one writes at a time")
        runner = runner_of(double >> WaitForEvent("paid", schema=int) >> say)
        run_id = await runner.start_async(1)
        async with at_work(runner):
            await until(runner, run_id, "paused")
        known = await runner._opener.find(run_id)
        sql = queries("postgres")
        job = known.job
        assert runner.store is not None
        await runner.store.submit(Batch(run_id, "earlier", (), jobs=[job]))  # nobody has taken it yet
        late = await asyncpg.connect(place)
        async with late.transaction():
            await late.execute(sql["enqueue"], [run_id], [job.queue], [0], [0], [""])
            await late.execute(sql["keep_signals"], ["s1"], [run_id], ["paid"], [1], [b"7"])
            async with at_work(runner):
                await asyncio.sleep(0.5)
        await late.close()
        async with at_work(runner):
            await until(runner, run_id)


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
            for number in range(3)
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

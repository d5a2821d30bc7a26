"""Ending early: cancelling for good, and interruption by asyncio, which leaves a run that can go on."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flujo import (
    Flujo,
    HumanInput,
    Map,
    MemoryStore,
    Parallel,
    PipelineResult,
    Sleep,
    SQLiteStore,
    Step,
    StepInfo,
    step,
)
from flujo.errors import ResumeError, RunBusy, RunCancelled, StepFailed, UnknownRun
from tests.engine.stores import SlowStore

SOON = 0.1
"""Seconds within which a cancelled run has ended."""

PATIENCE = 4.0
"""Seconds after which a test that waits for another thread has failed."""


class Stage:
    """A step that says when it has begun, and is held until it is let go.

    Attributes:
        begun: Set when the step runs.
        go: Lets it end.
        after: What happened in it after it was cancelled.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.after: list[str] = []

    def polite(self) -> Step[int, int]:
        async def polite(x: int) -> int:
            self.begun.set()
            await self.go.wait()
            return x

        return Step(polite)

    def stubborn(self) -> Step[int, int]:
        async def stubborn(x: int, info: StepInfo) -> int:
            self.begun.set()
            while not self.go.is_set():
                try:
                    await self.go.wait()
                except asyncio.CancelledError:
                    self.after.append("swallowed")
            self.after.append("ended")
            try:
                await info.do("late", self.after.append, "late effect")
            except BaseException as error:
                self.after.append(type(error).__name__)
                raise
            return x

        return Step(stubborn)


class Elsewhere:
    """A runner's run in a thread of its own."""

    def __init__(self, runner: Flujo[int, Any]) -> None:
        self._told: list[PipelineResult[Any]] = []
        self._thread = threading.Thread(
            target=lambda: self._told.append(runner.run(1, run_id="r1")), daemon=True
        )
        self._thread.start()

    def result(self) -> PipelineResult[Any]:
        """Wait for the run and return its result."""
        self._thread.join(PATIENCE)
        return self._told[0]


@step
async def double(x: int) -> int:
    return 2 * x


def twice(x: int) -> list[int]:
    return [x, x]


async def cancelled(
    runner: Flujo[int, Any], begun: asyncio.Event, reason: str = ""
) -> tuple[PipelineResult[Any], float]:
    """Start a run, cancel it when a step has begun, and return its result and the seconds that took."""
    task = asyncio.create_task(runner.run_async(1, run_id="r1"))
    await begun.wait()
    before = time.perf_counter()
    told = await runner.cancel("r1", reason)
    took = time.perf_counter() - before
    result = await task
    assert result.status == told.status
    return result, took


class TestCancel:
    @pytest.fixture(params=[False, True], ids=["no store", "memory"])
    def store(self, request: pytest.FixtureRequest) -> MemoryStore | None:
        return MemoryStore() if request.param else None

    async def test_a_step_that_is_waiting(self, store: MemoryStore | None) -> None:
        stage = Stage()
        runner = Flujo(double >> stage.polite() >> double.named("again"), state=store)
        result, took = await cancelled(runner, stage.begun, "not needed any more")
        assert (result.status, result.success, result.output) == ("cancelled", False, None)
        assert result.reason == "not needed any more"
        assert isinstance(result.error, RunCancelled)
        assert "not needed any more" in str(result.error)
        assert [one.address for one in result.steps] == ["double"]
        assert took < SOON
        with pytest.raises(RunCancelled):
            result.unwrap()

    async def test_a_step_that_swallows_its_cancellation(self, store: MemoryStore | None) -> None:
        stage = Stage()
        runner = Flujo(stage.stubborn() >> double, state=store)
        result, took = await cancelled(runner, stage.begun)
        assert result.status == "cancelled"
        assert took < SOON
        assert stage.after == ["swallowed"]
        before = [] if store is None else await store.events("r1")
        stage.go.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert "ended" in stage.after
        assert "late effect" not in stage.after or store is None
        if store is not None:
            assert await store.events("r1") == before, (
                "what a step does after it was given up is not recorded"
            )
            assert before[-1].kind == "run.ended"

    async def test_a_step_that_blocks_a_thread(self, store: MemoryStore | None) -> None:
        begun, go, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

        @step
        def blocks(x: int) -> int:
            loop.call_soon_threadsafe(begun.set)
            go.wait(10)
            return x

        runner = Flujo(blocks >> double, state=store)
        result, took = await cancelled(runner, begun)
        assert result.status == "cancelled"
        assert took < SOON
        go.set()
        await asyncio.sleep(0.01)
        if store is not None:
            kinds = [event.kind for event in await store.events("r1")]
            assert "step.discarded" in kinds
            assert "step.completed" not in kinds
            assert kinds[-1] == "run.ended"

    async def test_steps_side_by_side(self, store: MemoryStore | None) -> None:
        stage = Stage()
        runner = Flujo(Parallel(stage.polite(), stage.stubborn(), double), state=store)
        result, took = await cancelled(runner, stage.begun)
        assert result.status == "cancelled"
        assert took < SOON
        stage.go.set()
        await asyncio.sleep(0)

    async def test_a_cancelled_run_stays_cancelled(self) -> None:
        stage, store = Stage(), MemoryStore()
        runner = Flujo(stage.polite(), state=store)
        await cancelled(runner, stage.begun, "why")
        again = await runner.resume_async("r1")
        assert (again.status, again.reason) == ("cancelled", "why")
        assert (await runner.run_async(1, run_id="r1")).status == "cancelled"
        with pytest.raises(ResumeError, match="cancelled"):
            await runner.cancel("r1")

    async def test_a_paused_run(self) -> None:
        store = MemoryStore()
        runner = Flujo(double >> HumanInput("?", schema=int), state=store)
        await runner.run_async(1, run_id="r1")
        result = await Flujo(double >> HumanInput("?", schema=int), state=store).cancel("r1", "no need")
        assert (result.status, result.reason, result.pending) == ("cancelled", "no need", ())
        assert await runner.pending("r1") == ()
        assert (await runner.result("r1")).status == "cancelled"

    async def test_a_sleeping_run(self) -> None:
        runner = Flujo(double >> Sleep(timedelta(days=1)), state=MemoryStore())
        task = asyncio.create_task(runner.run_async(1, run_id="r1"))
        await asyncio.sleep(0.005)
        assert (await runner.cancel("r1")).status == "cancelled"
        assert (await task).status == "cancelled"

    async def test_an_unknown_run(self) -> None:
        with pytest.raises(UnknownRun):
            await Flujo(double, state=MemoryStore()).cancel("nobody")
        with pytest.raises(UnknownRun):
            await Flujo(double).cancel("nobody")

    async def test_a_run_that_has_ended(self) -> None:
        runner = Flujo(double, state=MemoryStore())
        await runner.run_async(1, run_id="r1")
        with pytest.raises(ResumeError, match="completed"):
            await runner.cancel("r1")
        assert (await runner.result("r1")).status == "completed"

    async def test_twice_at_once(self) -> None:
        stage = Stage()
        runner = Flujo(stage.stubborn(), state=MemoryStore())
        task = asyncio.create_task(runner.run_async(1, run_id="r1"))
        await stage.begun.wait()
        one, two = await asyncio.gather(runner.cancel("r1", "one"), runner.cancel("r1", "two"))
        assert one == two == await task
        assert one.reason == "one"
        stage.go.set()
        await asyncio.sleep(0)

    async def test_other_runs_are_left_alone(self) -> None:
        stage = Stage()
        runner = Flujo(stage.polite() >> double, state=MemoryStore())
        one = asyncio.create_task(runner.run_async(1, run_id="one"))
        two = asyncio.create_task(runner.run_async(2, run_id="two"))
        await asyncio.sleep(0.005)
        await runner.cancel("one")
        stage.go.set()
        assert (await one).status == "cancelled"
        assert (await two).output == 4


class TestFromElsewhere:
    """A run in a loop of its own, in a thread of its own, is cancelled from another."""

    @pytest.fixture(params=["no store", "memory", "sqlite"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> MemoryStore | SQLiteStore | None:
        stores = {"memory": MemoryStore, "sqlite": lambda: SQLiteStore(tmp_path / "ops.db")}
        return stores[request.param]() if request.param in stores else None

    @pytest.mark.parametrize("kind", ["async", "sync"])
    def test_another_thread(self, store: MemoryStore | SQLiteStore | None, kind: str) -> None:
        begun, go = threading.Event(), threading.Event()

        @step
        async def waits(x: int) -> int:
            begun.set()
            await asyncio.sleep(PATIENCE)
            return x

        @step
        def blocks(x: int) -> int:
            begun.set()
            go.wait(PATIENCE)
            return x

        runner = Flujo(double >> (waits if kind == "async" else blocks), state=store)
        elsewhere = Elsewhere(runner)
        assert begun.wait(PATIENCE)
        before = time.perf_counter()
        told = asyncio.run(asyncio.wait_for(runner.cancel("r1", "why"), PATIENCE / 2))
        assert time.perf_counter() - before < 1
        go.set()
        assert elsewhere.result() == told
        assert (told.status, told.reason) == ("cancelled", "why")
        asyncio.run(runner.close())

    def test_several_threads_at_once(self, store: MemoryStore | SQLiteStore | None) -> None:
        begun = threading.Event()

        @step
        async def waits(x: int) -> int:
            begun.set()
            await asyncio.sleep(PATIENCE)
            return x

        runner = Flujo(waits, state=store)
        elsewhere = Elsewhere(runner)
        assert begun.wait(PATIENCE)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(asyncio.run, runner.cancel("r1", str(number))) for number in range(4)]
        ended = elsewhere.result()
        assert ended.status == "cancelled"
        told = [one.result() for one in asked if not one.exception()]
        late = [one.exception() for one in asked if one.exception()]
        assert told
        assert all(one == ended for one in told)
        assert all(isinstance(error, ResumeError | UnknownRun) for error in late)
        asyncio.run(runner.close())

    def test_who_cancels_may_lose_patience(self, store: MemoryStore | SQLiteStore | None) -> None:
        begun = threading.Event()

        @step
        async def holds_up_its_loop(x: int) -> int:
            begun.set()
            time.sleep(0.1)  # the loop is held up on purpose
            await asyncio.sleep(PATIENCE)
            return x

        runner = Flujo(holds_up_its_loop, state=store)
        elsewhere = Elsewhere(runner)
        assert begun.wait(PATIENCE)

        async def both() -> PipelineResult[Any]:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(runner.cancel("r1", "one"), 0.01)
            return await asyncio.wait_for(runner.cancel("r1", "two"), PATIENCE / 2)

        told = asyncio.run(both())
        assert elsewhere.result() == told
        assert (told.status, told.reason) == ("cancelled", "one")
        asyncio.run(runner.close())

    def test_who_cancels_may_be_gone_when_the_run_ends(self, caplog: pytest.LogCaptureFixture) -> None:
        begun, go = threading.Event(), threading.Event()

        @step
        async def holds_up_its_loop(x: int) -> int:
            begun.set()
            go.wait(PATIENCE)  # the loop is held up on purpose
            await asyncio.sleep(PATIENCE)
            return x

        runner = Flujo(holds_up_its_loop)
        elsewhere = Elsewhere(runner)
        assert begun.wait(PATIENCE)
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(runner.cancel("r1"), 0.01))
        go.set()
        assert elsewhere.result().status == "cancelled"
        assert caplog.records == []

    def test_a_run_that_ends_in_the_same_moment(self) -> None:
        """Whatever comes first: nobody waits for ever, and both sides agree."""
        for _ in range(30):
            begun = threading.Event()

            @step
            async def short(x: int, begun: threading.Event = begun) -> int:
                begun.set()
                await asyncio.sleep(0)
                return x

            runner = Flujo(short, state=MemoryStore())
            elsewhere = Elsewhere(runner)
            assert begun.wait(PATIENCE)
            try:
                told = asyncio.run(asyncio.wait_for(runner.cancel("r1"), PATIENCE / 2))
            except ResumeError:
                assert elsewhere.result().status == "completed"
            else:
                assert elsewhere.result() == told


class TestInterruption:
    async def test_it_propagates_and_leaves_a_run_that_can_go_on(self) -> None:
        stage, store, ran = Stage(), MemoryStore(), list[str]()

        @step
        async def first(x: int) -> int:
            ran.append("first")
            return x + 1

        runner = Flujo(first >> stage.polite() >> double, state=store)
        task = asyncio.create_task(runner.run_async(1, run_id="r1"))
        await stage.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kinds = [event.kind for event in await store.events("r1")]
        assert "run.ended" not in kinds
        stage.go.set()
        assert (await runner.resume_async("r1")).output == 4
        assert ran == ["first"]

    @pytest.mark.parametrize("turns", range(1, 30, 4))
    async def test_who_goes_on_with_it_at_once_finds_what_was_on_its_way_to_the_store(
        self, turns: int
    ) -> None:
        ran: list[int] = []

        async def plus(x: int) -> int:
            ran.append(x)
            return x + 1

        runner = Flujo(
            Step(plus) >> Step(plus, name="again") >> Step(plus, name="last"), state=SlowStore(0.002)
        )
        task = asyncio.create_task(runner.run_async(0, run_id="r1"))
        while len(ran) < 2 and not task.done():
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await runner.resume_async("r1")).unwrap() == 3
        assert ran in ([0, 1, 2], [0, 1, 1, 2])

    async def test_a_store_that_says_nothing_keeps_nobody_from_leaving(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("flujo.engine.record.PATIENCE", 0.01)
        task = asyncio.create_task(Flujo(double, state=SlowStore(60)).run_async(1))
        await asyncio.sleep(0.01)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < SOON * 5

    async def test_a_timeout_around_a_run(self) -> None:
        stage = Stage()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Flujo(stage.polite()).run_async(1)

    async def test_no_task_is_left_behind(self) -> None:
        stage = Stage()
        runner = Flujo(Parallel(Map(stage.polite(), over=twice), stage.polite()))
        task = asyncio.create_task(runner.run_async(1))
        await stage.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_what_swallows_it_is_given_up_and_not_recorded(self) -> None:
        stage, store, ran = Stage(), MemoryStore(), list[str]()

        @step
        async def after(x: int) -> int:
            ran.append("after")
            return x

        runner = Flujo(stage.stubborn() >> after, state=store)
        task = asyncio.create_task(runner.run_async(1, run_id="r1"))
        await stage.begun.wait()
        task.cancel()
        before = time.perf_counter()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.perf_counter() - before < SOON
        events = await store.events("r1")
        stage.go.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert ran == [], "a run that was given up does not go on behind its caller's back"
        assert await store.events("r1") == events

    async def test_one_of_many_runs(self) -> None:
        stage = Stage()
        runner = Flujo(stage.polite() >> double, state=MemoryStore())
        tasks = [asyncio.create_task(runner.run_async(x)) for x in range(5)]
        await asyncio.sleep(0.005)
        tasks[2].cancel()
        stage.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        outputs = [one.output if isinstance(one, PipelineResult) else type(one) for one in results]
        assert outputs == [0, 2, asyncio.CancelledError, 6, 8]

    async def test_a_step_may_cancel_and_await_tasks_of_its_own(self) -> None:
        @step
        async def own(x: int) -> int:
            task = asyncio.create_task(asyncio.sleep(60))
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return x
            return -1

        assert (await Flujo(own).run_async(1)).output == 1

    async def test_a_cancellation_that_a_step_raises_by_itself(self) -> None:
        """A step that awaited something cancelled fails; it does not look like the caller's cancellation."""

        @step
        async def broken(x: int) -> int:
            lost: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            lost.cancel()
            return await lost

        result = await Flujo(broken, state=MemoryStore()).run_async(1)
        assert isinstance(result.error, StepFailed)
        assert "cancelled" in str(result.error)


class TestOneOwner:
    async def test_a_run_under_way_is_busy(self) -> None:
        stage = Stage()
        runner = Flujo(stage.polite(), state=MemoryStore())
        task = asyncio.create_task(runner.run_async(1, run_id="r1"))
        await stage.begun.wait()
        with pytest.raises(RunBusy):
            await runner.resume_async("r1")
        with pytest.raises(RunBusy):
            await runner.run_async(1, run_id="r1")
        stage.go.set()
        assert (await task).output == 1

    async def test_two_runners_of_one_process(self) -> None:
        stage, store, ran = Stage(), MemoryStore(), list[str]()

        @step
        async def counts(x: int) -> int:
            ran.append("counts")
            await asyncio.sleep(0)
            return x

        node = counts >> stage.polite()
        task = asyncio.create_task(Flujo(node, state=store).run_async(1, run_id="r1"))
        await stage.begun.wait()
        with pytest.raises(ResumeError):
            await Flujo(node, state=store).resume_async("r1")
        stage.go.set()
        assert (await task).output == 1
        assert ran == ["counts"]

    async def test_one_id_started_twice_at_once_runs_once(self) -> None:
        ran: list[int] = []

        @step
        async def counts(x: int) -> int:
            ran.append(x)
            await asyncio.sleep(0)
            return x

        runner = Flujo(counts >> double, state=MemoryStore())
        both = await asyncio.gather(
            runner.run_async(1, run_id="r1"), runner.run_async(1, run_id="r1"), return_exceptions=True
        )
        ended = [one for one in both if isinstance(one, PipelineResult)]
        refused = [one for one in both if isinstance(one, ResumeError)]
        assert len(ended) + len(refused) == 2
        assert ended[0].output == 2
        assert ran == [1]

    async def test_one_run_resumed_twice_at_once_goes_on_once(self) -> None:
        ran, store = list[int](), MemoryStore()

        @step
        async def counts(x: int) -> int:
            ran.append(x)
            await asyncio.sleep(0)
            return x

        node = HumanInput("?", schema=int) >> counts
        await Flujo(node, state=store).run_async(1, run_id="r1")
        both = await asyncio.gather(
            *(Flujo(node, state=store).resume_async("r1", answer) for answer in (5, 6)),
            return_exceptions=True,
        )
        ended = [one for one in both if isinstance(one, PipelineResult)]
        assert len(ended) == 1
        assert ran == [ended[0].output]

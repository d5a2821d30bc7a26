"""Attempts: retries, time limits, fallbacks, validators, caching, at-most-once, recorded effects."""

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flujo import (
    Decision,
    Flujo,
    HumanInput,
    MemoryStore,
    Node,
    PipelineContext,
    Retry,
    SQLiteStore,
    Step,
    StepInfo,
    step,
)
from flujo.errors import (
    EffectDiverged,
    OutputRejected,
    PipelineError,
    RecordError,
    StepFailed,
    StepTimedOut,
)
from flujo.journal.store import JournalStore
from flujo.testing import VirtualClock
from tests.engine.stores import Cut, CutStore


async def interrupted(node: Node[Any, Any], store: MemoryStore, x: Any, **settings: Any) -> str:
    """Run a node until it interrupts itself by raising Cut; return the run's id."""
    runner = Flujo(node, state=store, **settings)
    with pytest.raises(Cut):
        await runner.run_async(x, run_id="r1")
    return "r1"


class TestRetries:
    @staticmethod
    def failing(times: int, retry: Retry | int, error: type[Exception] = RuntimeError) -> Step[int, int]:
        async def flaky(x: int, info: StepInfo) -> int:
            if info.attempt <= times:
                raise error(f"attempt {info.attempt}")
            return info.attempt

        return Step(flaky, retry=retry)

    async def test_waits_grow_up_to_the_longest(self) -> None:
        clock = VirtualClock()
        retry = Retry(attempts=6, backoff=1, factor=3, longest=10, jitter=0)
        result = await Flujo(self.failing(5, retry), clock=clock).run_async(1)
        assert result.output == 6
        assert clock.slept == [1, 3, 9, 10, 10]
        assert result.steps[0].attempts == 6

    async def test_jitter_takes_a_share_of_the_wait(self) -> None:
        retry = Retry(attempts=2, backoff=8, jitter=0.25)
        for chance, wait in ((0.0, 8), (0.5, 7), (1.0, 6)):
            clock = VirtualClock(chance=chance)
            await Flujo(self.failing(1, retry), clock=clock).run_async(1)
            assert clock.slept == [wait]

    async def test_a_number_is_short_for_attempts(self) -> None:
        result = await Flujo(self.failing(1, 2), clock=VirtualClock()).run_async(1)
        assert result.output == 2

    async def test_only_what_is_worth_it_is_attempted_again(self) -> None:
        retry = Retry(attempts=3, on=(OSError,))
        result = await Flujo(self.failing(2, retry, ConnectionError), clock=VirtualClock()).run_async(1)
        assert result.output == 3
        result = await Flujo(self.failing(1, retry, ValueError), clock=VirtualClock()).run_async(1)
        assert isinstance(result.error, StepFailed)
        assert result.error.attempt == 1

    async def test_a_resumed_run_gets_no_attempt_back(self) -> None:
        clock, store, seen = VirtualClock(), MemoryStore(), list[int]()

        async def flaky(x: int, info: StepInfo) -> int:
            seen.append(info.attempt)
            if info.attempt == 2 and seen.count(2) == 1:
                raise Cut
            raise RuntimeError("no")

        node = Step(flaky, retry=Retry(attempts=3, backoff=100, jitter=0))
        await interrupted(node, store, 1, clock=clock)
        result = await Flujo(node, state=store, clock=clock).resume_async("r1")
        assert seen == [1, 2, 2, 3]
        assert isinstance(result.error, StepFailed)
        assert result.error.attempt == 3

    async def test_a_resumed_run_waits_only_for_what_is_left(self) -> None:
        clock, store = VirtualClock(held=True), MemoryStore()
        node = self.failing(1, Retry(attempts=2, backoff=50, jitter=0))
        task = asyncio.create_task(Flujo(node, state=store, clock=clock).run_async(1, run_id="r1"))
        await clock.asleep()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        clock.advance(30)
        clock.held = False
        result = await Flujo(node, state=store, clock=clock).resume_async("r1")
        assert result.output == 2
        assert clock.slept == [50, 20]

    def test_settings_that_cannot_work_are_refused(self) -> None:
        for settings in ({"attempts": 0}, {"backoff": -1}, {"jitter": 1.5}, {"factor": -1}):
            with pytest.raises(PipelineError):
                Retry(**settings)  # pyright: ignore[reportArgumentType]


class TestTimeouts:
    async def test_an_attempt_ends_at_its_limit(self) -> None:
        ended: list[str] = []

        @step(timeout=0.01)
        async def slow(x: int) -> int:
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("cleaned up")
            return x

        result = await Flujo(slow).run_async(1)
        assert isinstance(result.error, StepTimedOut)
        assert isinstance(result.error, StepFailed)
        assert "0.01" in str(result.error)
        assert ended == ["cleaned up"]

    async def test_each_attempt_has_its_own(self) -> None:
        @step(timeout=0.01, retry=Retry(attempts=2, backoff=0))
        async def slow_once(x: int, info: StepInfo) -> int:
            if info.attempt == 1:
                await asyncio.sleep(60)
            return x

        result = await Flujo(slow_once).run_async(1)
        assert (result.output, result.steps[0].attempts) == (1, 2)

    async def test_a_timeout_raised_by_the_step_is_a_failure_like_others(self) -> None:
        @step(timeout=10)
        async def own(x: int) -> int:
            raise TimeoutError("the server's")

        result = await Flujo(own).run_async(1)
        assert type(result.error) is StepFailed
        assert "the server's" in str(result.error)

    async def test_a_thread_is_left_to_itself_and_the_journal_says_so(self) -> None:
        go, store = threading.Event(), MemoryStore()

        @step(timeout=0.01)
        def blocks(x: int) -> int:
            go.wait(10)
            return x

        result = await Flujo(blocks, state=store).run_async(1)
        go.set()
        assert isinstance(result.error, StepTimedOut)
        kinds = [event.kind for event in await store.events(result.run_id)]
        assert "step.discarded" in kinds
        assert "step.completed" not in kinds

    def test_a_limit_must_be_positive(self) -> None:
        async def work(x: int) -> int:
            return x

        with pytest.raises(PipelineError, match="timeout"):
            Step(work, timeout=0)


class TestFallbacks:
    async def test_it_runs_on_the_same_input_when_all_attempts_failed(self) -> None:
        seen: Counter[str] = Counter()

        async def main(x: int) -> int:
            seen["main"] += 1
            raise RuntimeError("down")

        async def spare(x: int) -> int:
            seen["spare"] += 1
            return x + 100

        node = Step(main, retry=Retry(attempts=2, backoff=0), fallback=Step(spare))
        result = await Flujo(node).run_async(1)
        assert result.output == 101
        assert seen == {"main": 2, "spare": 1}
        assert [(one.address, one.output) for one in result.steps] == [("main/spare", 101), ("main", 101)]

    async def test_it_does_not_run_when_the_step_succeeds(self) -> None:
        async def main(x: int) -> int:
            return x

        async def spare(x: int) -> int:
            raise AssertionError

        assert (await Flujo(Step(main, fallback=Step(spare))).run_async(1)).output == 1

    async def test_its_failure_says_where(self) -> None:
        async def main(x: int) -> int:
            raise RuntimeError("down")

        async def spare(x: int) -> int:
            raise LookupError("down, too")

        result = await Flujo(Step(main, fallback=Step(spare))).run_async(1)
        assert isinstance(result.error, StepFailed)
        assert result.error.address == "main/spare"

    async def test_it_may_be_a_whole_pipeline_that_waits(self) -> None:
        async def main(x: int) -> int:
            raise RuntimeError("down")

        async def after(x: int) -> int:
            return x + 1

        node = Step(main, fallback=HumanInput("by hand?", schema=int) >> Step(after))
        runner = Flujo(node, state=MemoryStore())
        paused = await runner.run_async(1)
        assert paused.pending[0].address == "main/human_input"
        assert (await runner.resume_async(paused, 9)).output == 10

    async def test_chained_fallbacks(self) -> None:
        async def fails(x: int) -> int:
            raise RuntimeError("down")

        async def last(x: int) -> int:
            return x

        node = Step(fails, name="a", fallback=Step(fails, name="b", fallback=Step(last)))
        result = await Flujo(node).run_async(1)
        assert [one.address for one in result.steps] == ["a/b/last", "a/b", "a"]


class TestValidators:
    async def test_a_rejection_is_attempted_again_with_its_feedback(self) -> None:
        heard: list[tuple[str, ...]] = []

        async def write(x: int, info: StepInfo) -> str:
            heard.append(info.feedback)
            return "word " * info.attempt

        def long_enough(text: str) -> str | None:
            return None if len(text.split()) >= 3 else f"only {len(text.split())} words"

        node = Step(write, retry=Retry(attempts=3, backoff=0), validators=[long_enough])
        result = await Flujo(node).run_async(1)
        assert result.output == "word word word "
        assert heard == [(), ("only 1 words",), ("only 1 words", "only 2 words")]

    async def test_every_attempt_rejected(self) -> None:
        async def write(x: int) -> str:
            return "no"

        def never(text: str) -> bool:
            return False

        result = await Flujo(Step(write, retry=Retry(attempts=2, backoff=0), validators=[never])).run_async(1)
        assert isinstance(result.error, OutputRejected)
        assert result.error.attempt == 2

    @pytest.mark.parametrize(
        ("verdict", "accepted"), [(None, True), (True, True), (False, False), ("because", False)]
    )
    async def test_what_verdicts_mean(self, verdict: Any, accepted: bool) -> None:
        async def write(x: int) -> int:
            return x

        def judge(value: int) -> Any:
            return verdict

        result = await Flujo(Step(write, validators=[judge])).run_async(1)
        assert result.success is accepted
        if verdict == "because":
            assert "because" in str(result.error)

    async def test_a_value_error_rejects_and_others_fail_the_attempt(self) -> None:
        async def write(x: int) -> int:
            return x

        async def refuses(value: int) -> None:
            raise ValueError("odd")

        async def breaks(value: int) -> None:
            raise KeyError("table")

        result = await Flujo(Step(write, validators=[refuses])).run_async(1)
        assert isinstance(result.error, OutputRejected)
        result = await Flujo(Step(write, validators=[breaks])).run_async(1)
        assert type(result.error) is StepFailed

    async def test_rejections_are_retried_whatever_is_worth_retrying(self) -> None:
        async def write(x: int, info: StepInfo) -> int:
            return info.attempt

        def second(value: int) -> bool:
            return value == 2

        node = Step(write, retry=Retry(attempts=2, backoff=0, on=(OSError,)), validators=[second])
        assert (await Flujo(node).run_async(1)).output == 2

    async def test_they_may_ask_for_the_context(self) -> None:
        class Limits(PipelineContext):
            most: int = 5

        async def write(x: int) -> int:
            return x

        def small(value: int, limits: Limits) -> bool:
            return value <= limits.most

        runner = Flujo(Step(write, validators=[small]))
        assert (await runner.run_async(5)).success
        assert not (await runner.run_async(6)).success
        assert (await runner.run_async(6, context=Limits(most=6))).success

    async def test_an_output_of_another_type_than_declared_is_rejected(self) -> None:
        async def write(x: int) -> str:
            return x  # pyright: ignore[reportReturnType]

        result = await Flujo(Step(write)).run_async(1)
        assert isinstance(result.error, OutputRejected)
        assert "int" in str(result.error)
        assert "str" in str(result.error)


class Order(BaseModel):
    number: str
    lines: list[int] = []


class TestCaching:
    @pytest.fixture(params=["no store", "memory", "sqlite"])
    async def store(self, request: pytest.FixtureRequest, tmp_path: Path):
        made: JournalStore | None = None
        if request.param == "memory":
            made = MemoryStore()
        elif request.param == "sqlite":
            made = SQLiteStore(tmp_path / "flujo_ops.db")
        yield made
        if made is not None:
            await made.close()

    async def test_one_input_runs_once(self, store: JournalStore | None) -> None:
        ran: list[str] = []

        async def work(order: Order) -> Order:
            ran.append(order.number)
            return Order(number=order.number + "!", lines=[1])

        runner = Flujo(Step(work, cache=True), state=store)
        first = await runner.run_async(Order(number="a"))
        second = await runner.run_async(Order(number="a"))
        third = await runner.run_async(Order(number="b"))
        assert ran == ["a", "b"]
        assert first.output == second.output == Order(number="a!", lines=[1])
        assert third.output == Order(number="b!", lines=[1])
        assert [result.steps[0].cached for result in (first, second, third)] == [False, True, False]

    async def test_a_key_of_ones_own(self, store: JournalStore | None) -> None:
        ran: list[str] = []

        async def work(order: Order) -> int:
            ran.append(order.number)
            return len(ran)

        def key(order: Order) -> str:
            return order.number.lower()

        runner = Flujo(Step(work, cache=key), state=store)
        outputs = [(await runner.run_async(Order(number=number))).output for number in ("a", "A", "b")]
        assert outputs == [1, 1, 2]

    async def test_failures_are_not_cached(self, store: JournalStore | None) -> None:
        ran: list[int] = []

        async def work(x: int) -> int:
            ran.append(x)
            if len(ran) == 1:
                raise RuntimeError("busy")
            return x

        runner = Flujo(Step(work, cache=True), state=store)
        assert not (await runner.run_async(1)).success
        assert (await runner.run_async(1)).success

    async def test_steps_do_not_share_results(self, store: JournalStore | None) -> None:
        async def one(x: int) -> int:
            return 1

        async def two(x: int) -> int:
            return 2

        node = Step(one, cache=True) >> Step(two, cache=True)
        assert (await Flujo(node, state=store).run_async(1)).output == 2

    async def test_changing_a_result_does_not_change_what_is_cached(self, store: JournalStore | None) -> None:
        async def work(x: int) -> list[int]:
            return [x]

        async def spoil(found: list[int]) -> list[int]:
            found.append(99)
            return found

        runner = Flujo(Step(work, cache=True) >> Step(spoil), state=store)
        for _ in range(3):
            assert (await runner.run_async(1)).output == [1, 99]

    async def test_a_key_that_cannot_be_made_fails_the_step(self, store: JournalStore | None) -> None:
        async def work(x: int) -> int:
            return x

        def key(x: int) -> str:
            raise LookupError("no key")

        result = await Flujo(Step(work, cache=key), state=store).run_async(1)
        assert result.status == "failed"
        assert "work" in str(result.error)
        assert "no key" in str(result.error)


class TestAtMostOnce:
    @staticmethod
    def charging(ran: list[int], *, dies: bool = True) -> Step[int, int]:
        async def charge(x: int) -> int:
            ran.append(x)
            if dies and len(ran) == 1:
                raise Cut
            return x * 2

        return Step(charge, effects="at_most_once")

    async def test_an_unknown_end_waits_in_doubt(self) -> None:
        ran, store = list[int](), MemoryStore()
        node = self.charging(ran)
        await interrupted(node, store, 4)
        runner = Flujo(node, state=store)
        paused = await runner.resume_async("r1")
        (request,) = paused.pending
        assert (paused.status, request.kind, request.address) == ("paused", "in_doubt", "charge")
        assert ran == [4]
        assert (await runner.resume_async("r1")).status == "paused", "looking again settles nothing"
        assert ran == [4]

    async def test_a_person_lets_it_run_again(self) -> None:
        ran, store = list[int](), MemoryStore()
        node = self.charging(ran)
        await interrupted(node, store, 4)
        await Flujo(node, state=store).resume_async("r1")
        result = await Flujo(node, state=store).resume_async("r1", Decision("approve"))
        assert (result.output, ran) == (8, [4, 4])

    async def test_a_person_gives_its_output(self) -> None:
        ran, store = list[int](), MemoryStore()
        node = self.charging(ran)
        await interrupted(node, store, 4)
        await Flujo(node, state=store).resume_async("r1")
        result = await Flujo(node, state=store).resume_async("r1", 8)
        assert (result.output, ran) == (8, [4])

    async def test_a_person_denies(self) -> None:
        ran, store = list[int](), MemoryStore()
        node = self.charging(ran)
        await interrupted(node, store, 4)
        await Flujo(node, state=store).resume_async("r1")
        result = await Flujo(node, state=store).resume_async("r1", Decision("deny", reason="ask the bank"))
        assert (result.status, ran) == ("failed", [4])
        assert "ask the bank" in str(result.error)

    async def test_doubt_returns_when_the_second_start_is_lost_too(self) -> None:
        ran, store = list[int](), MemoryStore()

        async def charge(x: int) -> int:
            ran.append(x)
            if len(ran) < 3:
                raise Cut
            return x

        node = Step(charge, effects="at_most_once")
        await interrupted(node, store, 4)
        await Flujo(node, state=store).resume_async("r1")
        with pytest.raises(Cut):
            await Flujo(node, state=store).resume_async("r1", Decision("approve"))
        paused = await Flujo(node, state=store).resume_async("r1")
        assert (paused.status, len(ran)) == ("paused", 2)
        result = await Flujo(node, state=store).resume_async("r1", Decision("approve"))
        assert (result.output, len(ran)) == (4, 3)

    async def test_an_idempotent_step_runs_again_with_the_same_key(self) -> None:
        keys, store = list[str](), MemoryStore()

        async def charge(x: int, info: StepInfo) -> int:
            keys.append(info.idempotency_key)
            if len(keys) == 1:
                raise Cut
            return x

        node = Step(charge)
        await interrupted(node, store, 4)
        assert (await Flujo(node, state=store).resume_async("r1")).output == 4
        assert len(keys) == 2
        assert len(set(keys)) == 1

    async def test_a_failure_is_no_doubt(self) -> None:
        ran: list[int] = []

        async def charge(x: int, info: StepInfo) -> int:
            ran.append(x)
            if info.attempt == 1:
                raise RuntimeError("refused")
            return x

        node = Step(charge, effects="at_most_once", retry=Retry(attempts=2, backoff=0))
        result = await Flujo(node, state=MemoryStore()).run_async(1)
        assert (result.output, len(ran)) == (1, 2)

    async def test_asking_a_person_is_no_doubt(self) -> None:
        async def charge(x: int, info: StepInfo) -> int:
            return x * await info.ask("how often?", int)

        node = Step(charge, effects="at_most_once")
        runner = Flujo(node, state=MemoryStore())
        paused = await runner.run_async(4)
        result = await runner.resume_async(paused, 3)
        assert (result.status, result.output) == ("completed", 12)


def plain_double(x: int) -> int:
    return 2 * x


class TestRecordedEffects:
    @pytest.fixture(params=[None, MemoryStore], ids=["no store", "memory"])
    def store(self, request: pytest.FixtureRequest) -> JournalStore | None:
        return None if request.param is None else request.param()

    async def test_they_run_once_over_all_attempts(self, store: JournalStore | None) -> None:
        ran: list[str] = []

        async def send(text: str, *, to: str) -> str:
            ran.append(f"{text} {to}")
            return f"receipt {len(ran)}"

        def count(x: int) -> int:
            ran.append(f"count {x}")
            return x + 1

        async def work(x: int, info: StepInfo) -> str:
            receipt = await info.do("send", send, "hello", to="ann")
            second = await info.do("send", send, "bye", to="ann")
            counted = await info.do("count", count, x)
            if info.attempt < 3:
                raise RuntimeError("after the effects")
            return f"{receipt}, {second}, {counted}"

        node = Step(work, retry=Retry(attempts=3, backoff=0))
        result = await Flujo(node, state=store).run_async(1)
        assert result.output == "receipt 1, receipt 2, 2"
        assert ran == ["hello ann", "bye ann", "count 1"]

    async def test_they_are_answered_when_the_run_is_resumed(self) -> None:
        ran, store = Counter[str](), MemoryStore()

        def pay(order: Order) -> Order:
            ran["pay"] += 1
            return Order(number=order.number + " paid")

        async def work(x: int, info: StepInfo) -> Order:
            ran["work"] += 1
            paid = await info.do("pay", pay, Order(number=str(x)))
            if ran["work"] == 1:
                raise Cut
            return paid

        node = Step(work)
        await interrupted(node, store, 7)
        result = await Flujo(node, state=store).resume_async("r1")
        assert result.output == Order(number="7 paid")
        assert ran == {"work": 2, "pay": 1}
        addresses = [event.address for event in await store.events("r1") if event.kind == "effect"]
        assert addresses == ["work#pay"]

    async def test_a_failing_effect_is_not_recorded(self, store: JournalStore | None) -> None:
        ran: list[int] = []

        def pay(x: int) -> int:
            ran.append(x)
            if len(ran) == 1:
                raise ConnectionError("line cut")
            return x

        async def work(x: int, info: StepInfo) -> int:
            return await info.do("pay", pay, x)

        result = await Flujo(Step(work, retry=Retry(attempts=2, backoff=0)), state=store).run_async(1)
        assert (result.output, ran) == (1, [1, 1])

    async def test_the_second_of_a_name_has_its_own_address(self) -> None:
        store = MemoryStore()

        async def work(x: int, info: StepInfo) -> int:
            return await info.do("charge", plain_double, x) + await info.do("charge", plain_double, x)

        result = await Flujo(Step(work), state=store).run_async(1)
        assert result.output == 4
        effects = [event.address for event in await store.events(result.run_id) if event.kind == "effect"]
        assert effects == ["work#charge", "work#charge-2"]

    async def test_another_argument_is_noticed(self, store: JournalStore | None) -> None:
        async def work(x: int, info: StepInfo) -> int:
            got = await info.do("charge", plain_double, info.attempt)
            raise RuntimeError(str(got))

        result = await Flujo(Step(work, retry=Retry(attempts=2, backoff=0)), state=store).run_async(1)
        assert isinstance(result.error, EffectDiverged)
        assert "work#charge" in str(result.error)
        assert "plain_double" in str(result.error)
        assert "'1'" in str(result.error)

    async def test_another_function_is_noticed(self, store: JournalStore | None) -> None:
        def other(x: int) -> int:
            return x

        async def work(x: int, info: StepInfo) -> int:
            got = await info.do("charge", plain_double if info.attempt == 1 else other, x)
            raise RuntimeError(str(got))

        result = await Flujo(Step(work, retry=Retry(attempts=2, backoff=0)), state=store).run_async(1)
        assert isinstance(result.error, EffectDiverged)
        assert "plain_double" in str(result.error)
        assert "other" in str(result.error)

    async def test_a_result_that_cannot_be_recorded_is_named(self) -> None:
        def opens(x: int) -> Any:
            return threading.Lock()

        async def work(x: int, info: StepInfo) -> int:
            await info.do("open", opens, x)
            return x

        result = await Flujo(Step(work), state=MemoryStore()).run_async(1)
        assert isinstance(result.error, RecordError)
        assert "'open'" in str(result.error)
        assert result.error.fix

    async def test_a_blocking_function_does_not_hold_up_the_loop(self) -> None:
        threads: list[str] = []

        def where(x: int) -> int:
            threads.append(threading.current_thread().name)
            return x

        async def work(x: int, info: StepInfo) -> int:
            return await info.do("where", where, x)

        await Flujo(Step(work)).run_async(1)
        assert threads != [threading.main_thread().name]

    async def test_concurrent_effects_of_one_step(self) -> None:
        async def work(x: int, info: StepInfo) -> list[int]:
            return list(
                await asyncio.gather(
                    *(info.do(f"part {number}", plain_double, number) for number in range(5))
                )
            )

        result = await Flujo(Step(work), state=MemoryStore()).run_async(1)
        assert result.output == [0, 2, 4, 6, 8]


async def test_a_cut_store_is_what_these_tests_take_it_for() -> None:
    """The double that cuts a run off must really lose what was not committed."""
    store = CutStore(after=1)

    @step
    async def add(x: int) -> int:
        return x + 1

    with pytest.raises(Cut):
        await Flujo(add >> add.named("again"), state=store).run_async(1, run_id="r1")
    store.after = None
    assert (await Flujo(add >> add.named("again"), state=store).resume_async("r1")).output == 3

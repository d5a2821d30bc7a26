"""What holds wherever a node stands: at the top, in a branch, a loop, a parallel, a map, a sub-pipeline."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from flujo import (
    Add,
    Append,
    Decision,
    Flujo,
    FlujoError,
    From,
    HumanInput,
    MemoryStore,
    Node,
    PauseForHumanInput,
    Pipeline,
    PipelineContext,
    PipelineResult,
    Retry,
    SQLiteStore,
    Step,
    StepInfo,
    StopPipeline,
    Usage,
    WaitForEvent,
    step,
)
from flujo.errors import RequestDenied, StepFailed
from flujo.journal.store import JournalStore
from tests.engine.containers import PLACES, IntNode, Place

MakeStore = Callable[[], JournalStore | None]


class Notes(PipelineContext):
    lines: Annotated[list[str], Append()] = Field(default_factory=list)
    sum: Annotated[int, Add()] = 0
    last: str = ""


@pytest.fixture(params=PLACES, ids=[place.name for place in PLACES])
def place(request: pytest.FixtureRequest) -> Place:
    return request.param


@pytest.fixture(params=["no store", "memory", "sqlite"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    match request.param:
        case "no store":
            return lambda: None
        case "memory":
            return MemoryStore
        case _:
            return lambda: SQLiteStore(tmp_path / "flujo_ops.db")


@dataclass
class Trial:
    """A node in its place, run and resumed as the test wishes."""

    place: Place
    store: JournalStore | None

    def runner(self, node: Node[Any, Any]) -> Flujo[int, int]:
        return Flujo(self.place.holding(node), context_model=Notes, state=self.store)

    async def run(self, node: Node[Any, Any], *, answers: tuple[Any, ...] = ()) -> PipelineResult[int]:
        """Run a node, answering each pause in turn, each time by a new runner."""
        result = await self.runner(node).run_async(1)
        for answer in answers:
            assert result.status == "paused", result.error
            runner = self.runner(node)
            result = await runner.resume_async(result if self.store is None else result.run_id, answer)
        return result

    def at(self, name: str) -> str:
        return self.place.prefix + name


@pytest.fixture
async def trial(place: Place, make_store: MakeStore):
    store = make_store()
    yield Trial(place, store)
    if store is not None:
        await store.close()


class TestFlow:
    async def test_an_output_is_the_input_of_the_next(self, trial: Trial) -> None:
        @step
        async def add(x: int) -> int:
            return x + 4

        @step
        def double(x: int) -> int:
            return 2 * x

        result = await trial.run(add >> double >> add.named("again"))
        assert result.status == "completed"
        assert result.success
        assert result.output == 14
        mine = [one for one in result.steps if one.name in ("add", "double", "again")]
        assert [(one.address, one.output) for one in mine] == [
            (trial.at("add"), 5),
            (trial.at("double"), 10),
            (trial.at("again"), 14),
        ]

    async def test_a_named_input_comes_from_where_it_says(self, trial: Trial) -> None:
        @step
        async def first(x: int) -> int:
            return x + 1

        @step
        async def second(x: int) -> int:
            return x * 10

        @step
        async def third(x: int, early: Annotated[int, From("first")]) -> int:
            return x + early

        def late(x: int, early: int, middle: int) -> int:
            return x * 1000 + early * 100 + middle

        fourth = Step(late, inputs={"early": first.output, "middle": second.output})
        result = await trial.run(first >> second >> third >> fourth)
        assert result.output == 22220

    async def test_a_named_input_outlives_a_pause(self, trial: Trial) -> None:
        @step
        async def first(x: int) -> int:
            return x + 1

        @step
        async def join(x: int, early: Annotated[int, From("first")]) -> int:
            return x + early

        result = await trial.run(first >> HumanInput("a number", schema=int) >> join, answers=(40,))
        assert result.output == 42


class TestFailure:
    async def test_it_stops_what_follows_and_says_why(self, trial: Trial) -> None:
        ran: list[str] = []
        original = LookupError("no such supplier")

        @step
        async def before(x: int) -> int:
            ran.append("before")
            return x

        @step
        async def breaks(x: int) -> int:
            ran.append("breaks")
            raise original

        @step
        async def after(x: int) -> int:
            ran.append("after")
            return x

        result = await trial.run(before >> breaks >> after)
        assert (result.status, result.success, result.output) == ("failed", False, None)
        assert ran == ["before", "breaks"]
        error = result.error
        assert isinstance(error, StepFailed)
        assert (error.step, error.address, error.attempt) == ("breaks", trial.at("breaks"), 1)
        assert error.__cause__ is original
        assert "no such supplier" in str(error)
        assert "LookupError" in str(error)
        with pytest.raises(StepFailed):
            result.unwrap()

    async def test_a_step_in_a_thread_fails_in_the_same_way(self, trial: Trial) -> None:
        original = ZeroDivisionError("by zero")

        @step
        def breaks(x: int) -> int:
            raise original

        result = await trial.run(breaks)
        assert isinstance(result.error, StepFailed)
        assert result.error.address == trial.at("breaks")
        assert result.error.__cause__ is original

    async def test_the_last_attempt_is_named(self, trial: Trial) -> None:
        @step(retry=Retry(attempts=3, backoff=0))
        async def breaks(x: int, info: StepInfo) -> int:
            raise ValueError(f"attempt {info.attempt}")

        result = await trial.run(breaks)
        assert isinstance(result.error, StepFailed)
        assert result.error.attempt == 3
        assert str(result.error.__cause__) == "attempt 3"

    async def test_a_stop_ends_the_run_with_its_reason(self, trial: Trial) -> None:
        ran: list[int] = []

        @step
        async def stops(x: int) -> int:
            raise StopPipeline("enough is known")

        @step
        async def after(x: int) -> int:
            ran.append(x)
            return x

        result = await trial.run(stops >> after)
        assert (result.status, result.success, result.reason) == ("stopped", False, "enough is known")
        assert ran == []
        with pytest.raises(FlujoError, match="enough is known"):
            result.unwrap()


class TestPauses:
    @staticmethod
    def around(asking: IntNode, ran: Counter[str]) -> IntNode:
        @step
        async def before(x: int, notes: Notes) -> int:
            ran["before"] += 1
            notes.lines.append("before")
            notes.sum += x
            return x + 1

        @step
        async def after(x: int, notes: Notes) -> int:
            ran["after"] += 1
            notes.lines.append("after")
            notes.sum += x
            return x * 10

        return before >> asking >> after

    def check(self, result: PipelineResult[int], ran: Counter[str]) -> None:
        assert result.status == "completed", result.error
        assert result.output == 70
        assert ran["before"] == 1
        assert ran["after"] == 1
        assert isinstance(result.context, Notes)
        assert result.context.lines == ["before", "after"]
        assert result.context.sum == 8

    async def test_a_person_is_asked_between_steps(self, trial: Trial) -> None:
        ran: Counter[str] = Counter()
        node = self.around(HumanInput("how many?", schema=int), ran)
        paused = await trial.run(node)
        assert (paused.status, paused.success, paused.output) == ("paused", False, None)
        (request,) = paused.pending
        assert (request.kind, request.prompt, request.subject) == ("input", "how many?", 2)
        assert request.address == trial.at("human_input")
        assert request.schema == {"type": "integer"}
        assert ran == {"before": 1}
        ran.clear()
        self.check(await trial.run(node, answers=(7,)), ran)

    async def test_a_step_asks_by_raising(self, trial: Trial) -> None:
        ran: Counter[str] = Counter()

        @step
        async def asks(x: int) -> int:
            ran["asks"] += 1
            raise PauseForHumanInput("how many?", int, subject={"so far": x})

        node = self.around(asks, ran)
        paused = await trial.run(node)
        (request,) = paused.pending
        assert (request.kind, request.subject, request.address) == (
            "pause",
            {"so far": 2},
            trial.at("asks"),
        )
        ran.clear()
        self.check(await trial.run(node, answers=(7,)), ran)
        assert ran["asks"] == 1, "the answer is the step's output: it does not run again"

    async def test_a_step_asks_and_goes_on(self, trial: Trial) -> None:
        ran: Counter[str] = Counter()

        def look_up(x: int) -> int:
            ran["effect"] += 1
            return x

        @step
        async def asks(x: int, info: StepInfo) -> int:
            known = await info.do("look_up", look_up, x)
            first = await info.ask("how many?", int)
            second = await info.ask("how many more?", int)
            return known + first + second

        node = self.around(asks, ran)
        self.check(await trial.run(node, answers=(2, 3)), ran)
        assert ran["effect"] == 1

    async def test_an_event_is_awaited(self, trial: Trial) -> None:
        ran: Counter[str] = Counter()
        node = self.around(WaitForEvent("paid", schema=int), ran)
        self.check(await trial.run(node, answers=(7,)), ran)

    async def test_pauses_follow_one_another(self, trial: Trial) -> None:
        ran: Counter[str] = Counter()
        asking = (
            HumanInput("one", schema=int, name="one")
            >> HumanInput("two", schema=int, name="two")
            >> HumanInput("three", schema=int, name="three")
        )
        self.check(await trial.run(self.around(asking, ran), answers=(5, 6, 7)), ran)

    async def test_a_denial_fails_the_run(self, trial: Trial) -> None:
        denied = Decision("deny", reason="too dear", actor="ann")
        result = await trial.run(HumanInput("pay?", schema=int), answers=(denied,))
        assert result.status == "failed"
        assert isinstance(result.error, RequestDenied)
        assert "too dear" in str(result.error)
        assert "ann" in str(result.error)

    async def test_what_a_step_wrote_before_asking_counts_once(self, trial: Trial) -> None:
        @step
        async def asks(x: int, notes: Notes, info: StepInfo) -> int:
            notes.lines.append("asking")
            notes.sum += 1
            answer = await info.ask("how many?", int)
            notes.last = "answered"
            return answer

        result = await trial.run(asks, answers=(7,))
        assert isinstance(result.context, Notes)
        assert (result.context.lines, result.context.sum, result.context.last) == (["asking"], 1, "answered")


class TestSums:
    async def test_what_a_failed_attempt_wrote_does_not_count(self, trial: Trial) -> None:
        """Otherwise a run's context would depend on whether its process died between two attempts."""

        @step(retry=Retry(attempts=3, backoff=0))
        async def flaky(x: int, info: StepInfo, notes: Notes) -> int:
            notes.lines.append(f"attempt {info.attempt}")
            notes.scratchpad[str(info.attempt)] = True
            notes.sum += 1
            if info.attempt < 3:
                raise RuntimeError("busy")
            return x

        result = await trial.run(flaky)
        assert isinstance(result.context, Notes)
        assert (result.context.lines, result.context.sum) == (["attempt 3"], 1)
        assert result.context.scratchpad == {"3": True}

    async def test_what_a_failing_step_wrote_does_not_count(self, trial: Trial) -> None:
        @step
        async def fails(x: int, notes: Notes) -> int:
            notes.lines.append("half")
            raise RuntimeError("broken")

        result = await trial.run(fails)
        assert isinstance(result.context, Notes)
        assert result.context.lines == []

    async def test_usage_and_context_add_up_exactly(self, trial: Trial) -> None:
        def spending(name: str, cost: str) -> Step[int, int]:
            async def spend(x: int, info: StepInfo, notes: Notes) -> int:
                info.report(Usage(1, 10 * x, x, Decimal(cost)))
                info.report(Usage(cost=Decimal("0.001")))
                notes.lines.append(name)
                notes.sum += x
                notes.scratchpad[name] = x
                return x + 1

            return Step(spend, name=name)

        node = Pipeline(spending("a", "0.1"), spending("b", "0.2"), spending("c", "0.7"))
        result = await trial.run(node)
        assert result.usage == Usage(3, 60, 6, Decimal("1.003"))
        assert isinstance(result.context, Notes)
        assert result.context.lines == ["a", "b", "c"]
        assert result.context.sum == 6
        assert result.context.scratchpad == {"a": 1, "b": 2, "c": 3}
        assert sum([one.usage for one in result.steps], Usage()) == result.usage

    async def test_failed_attempts_are_paid_for(self, trial: Trial) -> None:
        @step(retry=Retry(attempts=3, backoff=0))
        async def flaky(x: int, info: StepInfo) -> int:
            info.report(Usage(requests=1, cost=Decimal("0.3")))
            if info.attempt < 3:
                raise RuntimeError("busy")
            return x

        result = await trial.run(flaky >> HumanInput("go on?", schema=int), answers=(1,))
        assert result.usage == Usage(requests=3, cost=Decimal("0.9"))

    async def test_a_step_that_fails_for_good_is_paid_for(self, trial: Trial) -> None:
        @step
        async def fails(x: int, info: StepInfo) -> int:
            info.report(Usage(requests=1, cost=Decimal("0.3")))
            raise RuntimeError("busy")

        result = await trial.run(fails)
        assert result.usage == Usage(requests=1, cost=Decimal("0.3"))

    async def test_a_fallback_is_paid_for_once(self, trial: Trial) -> None:
        async def spare(x: int, info: StepInfo, notes: Notes) -> int:
            info.report(Usage(requests=1, cost=Decimal("0.02")))
            notes.lines.append("spare")
            return x + 1

        async def main(x: int, info: StepInfo) -> int:
            info.report(Usage(requests=1, cost=Decimal("0.3")))
            raise RuntimeError("busy")

        node = Step(main, fallback=Step(spare)) >> HumanInput("go on?", schema=int)
        result = await trial.run(node, answers=(5,))
        assert result.output == 5
        assert result.usage == Usage(requests=2, cost=Decimal("0.32"))
        assert isinstance(result.context, Notes)
        assert result.context.lines == ["spare"]

    async def test_the_journal_tells_what_the_run_told(self, trial: Trial) -> None:
        if trial.store is None:
            return

        @step(retry=Retry(attempts=2, backoff=0))
        async def flaky(x: int, info: StepInfo, notes: Notes) -> int:
            info.report(Usage(requests=1))
            if info.attempt == 1:
                raise RuntimeError("busy")
            notes.lines.append("flaky")
            return x

        runner = trial.runner(flaky >> HumanInput("go on?", schema=int))
        paused = await runner.run_async(1)
        told = await runner.result(paused.run_id)
        assert (told.status, told.pending, told.usage) == ("paused", paused.pending, paused.usage)
        result = await runner.resume_async(paused.run_id, 3)
        told = await trial.runner(flaky >> HumanInput("go on?", schema=int)).result(result.run_id)
        assert (told.status, told.output, told.usage) == ("completed", result.output, Usage(requests=2))
        assert told.context == result.context


async def test_nothing_is_cached_unless_asked(trial: Trial) -> None:
    ran: list[int] = []

    @step
    async def add(x: int) -> int:
        ran.append(x)
        return x + 1

    runner = trial.runner(add)
    for _ in range(2):
        result = await runner.run_async(1)
        assert [one.cached for one in result.steps] == [False] * len(result.steps)
    assert ran == [1, 1]


async def test_running_changes_no_definition(trial: Trial) -> None:
    @step
    async def add(x: int, notes: Notes) -> int:
        notes.lines.append("x")
        return x + 1

    node = add >> HumanInput("go on?", schema=int)
    shown, context = repr(node), Notes(lines=["given"])
    runner = trial.runner(node)
    digests = dict(runner.plan.digests)
    for _ in range(2):
        paused = await runner.run_async(1, context=context)
        result = await runner.resume_async(paused if trial.store is None else paused.run_id, 2)
        assert isinstance(result.context, Notes)
        assert result.context.lines == ["given", "x"]
    assert repr(node) == shown
    assert context == Notes(lines=["given"])
    assert dict(runner.plan.digests) == digests

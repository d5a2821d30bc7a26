"""What a run promises, where two things meet: answers and types, pauses and costs, ends and changes."""

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from flujo import (
    Branch,
    Failure,
    Flujo,
    HumanInput,
    Loop,
    MemoryStore,
    Node,
    Parallel,
    PauseForHumanInput,
    PipelineContext,
    PipelineResult,
    SQLiteStore,
    Step,
    StepInfo,
    StopPipeline,
    SubPipeline,
    Usage,
    step,
)
from flujo.errors import (
    AnswerRejected,
    EffectDiverged,
    PipelineError,
    RecordError,
    RunBusy,
    RunCancelled,
    RunError,
    RunTaken,
    StepFailed,
)
from flujo.testing import VirtualClock

SECRET = "born 1 May 1990"  # what a person typed, and nobody else may read
COST = Usage(requests=1, input_tokens=20, output_tokens=3, cost=Decimal("0.01"))


@step
async def double(x: int) -> int:
    return 2 * x


@step
async def breaks(x: int) -> int:
    raise LookupError("no room")


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param else None


def back(runner: Flujo[Any, Any], paused: PipelineResult[Any]) -> str | PipelineResult[Any]:
    """Return what a paused run is resumed by."""
    assert paused.status == "paused", paused.error
    return paused if runner.store is None else paused.run_id


async def kinds(store: MemoryStore, run_id: str) -> list[str]:
    return [event.kind for event in await store.events(run_id)]


class Cash(BaseModel):
    by: Literal["cash"]


class Card(BaseModel):
    by: Literal["card"]


Payment: Any = Annotated[Cash | Card, Field(discriminator="by")]


class TestAnswersOfATypeNotKnownYet:
    """Of a type without a name of its own, only the schema is known until the step asks again."""

    @pytest.mark.parametrize(
        ("schema", "fitting"), [(date | None, None), (set[UUID], [str(UUID(int=7))])], ids=["date", "set"]
    )
    async def test_one_that_does_not_fit_is_asked_for_again(
        self, store: MemoryStore | None, schema: Any, fitting: Any
    ) -> None:
        @step
        async def asks(x: int, info: StepInfo) -> str:
            return repr(await info.ask("which?", schema))

        runner = Flujo(asks, state=store)
        first = await runner.run_async(1)
        again = await runner.resume_async(back(runner, first), SECRET if fitting is None else [SECRET])
        assert again.status == "paused", again.error
        assert again.error is None
        (request,) = again.pending
        assert request.prompt.startswith("which? (the last answer does not fit: ")
        assert SECRET not in repr(again.pending)
        if store is not None:
            told = [event for event in await store.events(again.run_id) if SECRET.encode() in event.body]
            assert [event.kind for event in told] == ["answer"]
        done = await runner.resume_async(back(runner, again), fitting)
        assert done.status == "completed"

    @pytest.mark.parametrize(
        ("schema", "answer"),
        [
            (list[int], SECRET),
            (list[int], [1, SECRET]),
            (Literal["yes", "no"], SECRET),
            (dict[str, int], {SECRET: "many"}),
            (Payment, {"by": SECRET}),
        ],
    )
    async def test_one_that_does_not_fit_the_schema_is_refused(
        self, store: MemoryStore | None, schema: Any, answer: Any
    ) -> None:
        @step
        async def asks(x: int, info: StepInfo) -> str:
            return repr(await info.ask("which?", schema))

        runner = Flujo(asks, state=store)
        first = await runner.run_async(1)
        with pytest.raises(AnswerRejected, match="asks#ask: the answer does not fit what is asked") as caught:
            await runner.resume_async(back(runner, first), answer)
        assert SECRET not in str(caught.value)
        if store is not None:
            assert all(SECRET.encode() not in event.body for event in await store.events(first.run_id))


async def pauses(x: int, info: StepInfo) -> int:
    info.report(COST)
    raise PauseForHumanInput("a number?")


async def asks(x: int, info: StepInfo) -> int:
    info.report(COST)
    return await info.ask("a number?", int)


async def fails_and_pauses(x: int, info: StepInfo) -> int:
    info.report(COST)
    if info.attempt == 1:
        raise ConnectionError
    raise PauseForHumanInput("a number?")


class TestUsage:
    """What was paid for is counted, however the attempt ended."""

    @pytest.mark.parametrize(
        ("agent", "at_first", "in_the_end"),
        [(pauses, COST, COST), (asks, COST, COST + COST), (fails_and_pauses, COST + COST, COST + COST)],
    )
    async def test_of_an_attempt_that_pauses(
        self, store: MemoryStore | None, agent: Callable[..., Any], at_first: Usage, in_the_end: Usage
    ) -> None:
        runner = Flujo(Step(agent, name="work", retry=2) >> double, state=store, clock=VirtualClock())
        paused = await runner.run_async(1)
        assert paused.usage == at_first
        if store is not None:
            assert (await runner.result(paused.run_id)).usage == at_first
        done = await runner.resume_async(back(runner, paused), 4)
        assert (done.output, done.usage) == (8, in_the_end)
        if store is not None:
            assert (await runner.result(paused.run_id)).usage == in_the_end

    async def test_of_an_attempt_that_stops(self, store: MemoryStore | None) -> None:
        @step
        async def stops(x: int, info: StepInfo) -> int:
            info.report(COST)
            raise StopPipeline("enough")

        runner = Flujo(stops, state=store)
        result = await runner.run_async(1)
        assert (result.status, result.usage) == ("stopped", COST)
        if store is not None:
            assert (await runner.result(result.run_id)).usage == COST


class TestCancelling:
    async def test_nothing_follows_a_step_that_swallows_it(self, store: MemoryStore | None) -> None:
        begun, over, ran = asyncio.Event(), asyncio.Event(), list[str]()

        @step
        async def swallows(x: int) -> int:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                over.set()
            return x

        @step
        async def after(x: int) -> int:
            ran.append("after")
            return x

        runner = Flujo(swallows >> after, state=store)
        task = asyncio.create_task(runner.run_async(1, run_id="r1"))
        await begun.wait()
        told = await runner.cancel("r1")
        assert (await task).status == told.status == "cancelled"
        assert over.is_set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert ran == []

    async def test_before_the_first_step(self) -> None:
        begun = asyncio.Event()

        async def on_pipeline_start(initial_input: int, context: PipelineContext) -> None:
            begun.set()
            await asyncio.sleep(60)

        runner = Flujo(double, state=MemoryStore(), on_pipeline_start=on_pipeline_start)
        task = asyncio.create_task(runner.run_async(1, run_id="r1"))
        await begun.wait()
        assert (await runner.cancel("r1", "why")).status == "cancelled"
        assert (await task).status == "cancelled"
        known = await runner.result("r1")
        assert (known.status, known.reason, len(known.steps)) == ("cancelled", "why", 0)


@pytest.mark.parametrize(
    ("kind", "runners"), [("no store", 1), ("memory", 1), ("memory", 2), ("sqlite", 1), ("sqlite", 2)]
)
async def test_one_new_name_started_twice_at_once(kind: str, runners: int, tmp_path: Path) -> None:
    state = {"memory": MemoryStore, "sqlite": lambda: SQLiteStore(tmp_path / "ops.db")}.get(kind)
    ran: list[int] = []

    @step
    async def counts(x: int) -> int:
        ran.append(x)
        await asyncio.sleep(0)
        return x

    shared = None if state is None else state()
    made = [Flujo(counts >> double, state=shared) for _ in range(runners)]
    both = await asyncio.gather(
        *(runner.run_async(1, run_id="r1") for runner in (made[0], made[-1])), return_exceptions=True
    )
    ended = [one for one in both if isinstance(one, PipelineResult)]
    refused = [one for one in both if isinstance(one, RunBusy | RunTaken)]
    assert (len(ended), len(refused)) == (1, 1), both
    assert ended[0].output == 2
    assert ran == [1]
    await made[0].close()


class TestEffects:
    @pytest.mark.parametrize("name", ["a/b", "a[0]", "a#b", "a\nb", "card-2", ""])
    async def test_names_that_addresses_are_made_with_are_refused(
        self, store: MemoryStore | None, name: str
    ) -> None:
        ran: list[int] = []

        @step
        async def acts(x: int, info: StepInfo) -> int:
            await info.do(name, ran.append, 1)
            return x

        result = await Flujo(acts, state=store).run_async(1)
        assert isinstance(result.error, StepFailed)
        assert isinstance(result.error.__cause__, PipelineError | RunError)
        assert ran == []

    async def test_of_one_name_are_numbered(self) -> None:
        store = MemoryStore()

        async def number(n: int) -> int:
            return n

        @step
        async def acts(x: int, info: StepInfo) -> list[int]:
            return [await info.do("card", number, n) for n in (1, 2)]

        result = await Flujo(acts, state=store).run_async(1)
        assert result.output == [1, 2]
        effects = [event.address for event in await store.events(result.run_id) if event.kind == "effect"]
        assert effects == ["acts#card", "acts#card-2"]

    async def test_one_that_diverged_is_no_failure_to_collect(self, store: MemoryStore | None) -> None:
        given = iter((1, 2))

        async def number(n: int) -> int:
            return n

        @step
        async def drifts(x: int, info: StepInfo) -> int:
            await info.do("card", number, next(given))
            await info.ask("go on?")
            return x

        node: Node[int, tuple[int | Failure, ...]] = Parallel(drifts, double, on_failure="collect")
        runner = Flujo(node, state=store)
        result = await runner.resume_async(back(runner, await runner.run_async(1)), "yes")
        assert result.status == "failed"
        assert isinstance(result.error, EffectDiverged)

    def test_arguments_are_the_same_in_every_process(self, tmp_path: Path) -> None:
        """Whatever order a process gives to the members of a set."""
        code = """
            import asyncio, sys
            from flujo import Flujo, Step, StepInfo

            async def take(names: set[str], by_name: dict[str, int], raw: bytes) -> int:
                return len(names)

            async def acts(x: int, info: StepInfo) -> int:
                names = {"ann", "bob", "cid", "dee", "eve"}
                await info.do("take", take, names, {name: 1 for name in names}, raw=b"\\xff\\x00")
                await info.ask("go on?")
                return x

            runner = Flujo(Step(acts), state="ops.db")
            if sys.argv[1] == "run":
                print(runner.run(1, run_id="r1").status)
            else:
                result = runner.resume("r1", "yes")
                print(result.status, result.error or "")
        """
        (tmp_path / "drift.py").write_text(textwrap.dedent(code))
        for seed, verb, told in (("1", "run", "paused"), ("2", "resume", "completed")):
            done = subprocess.run(
                [sys.executable, "drift.py", verb],
                cwd=tmp_path,
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.stdout.strip(), done.stderr) == (told, "")


class TestAskingFromATaskGroup:
    async def test_it_pauses_the_run(self, store: MemoryStore | None) -> None:
        @step
        async def asks(x: int, info: StepInfo) -> int:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(info.ask("a number?", int))
            return await task

        runner = Flujo(asks, state=store)
        paused = await runner.run_async(1)
        assert (await runner.resume_async(back(runner, paused), 4)).output == 4

    async def test_two_at_once_are_two_requests(self, store: MemoryStore | None) -> None:
        @step
        async def asks(x: int, info: StepInfo) -> list[int]:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(info.ask(prompt, int)) for prompt in ("one?", "two?")]
            return [await task for task in tasks]

        runner = Flujo(asks, state=store)
        paused = await runner.run_async(1)
        assert [one.prompt for one in paused.pending] == ["one?", "two?"]
        two, one = paused.pending[1].address, paused.pending[0].address
        paused = await runner.resume_async(back(runner, paused), 2, request=two)
        assert [request.address for request in paused.pending] == [one]
        assert (await runner.resume_async(back(runner, paused), 1)).output == [1, 2]


class TestUndo:
    async def test_nobody_is_asked(self, store: MemoryStore | None) -> None:
        async def cancel_booking(output: int, info: StepInfo) -> None:
            await info.ask("really?")

        async def book(x: int) -> int:
            return x

        result = await Flujo(Step(book, undo=cancel_booking) >> breaks, state=store).run_async(1)
        assert (result.status, result.pending) == ("failed", ())
        assert isinstance(result.error, StepFailed)
        assert any("book" in note and "asked" in note for note in result.error.__notes__)

    @pytest.mark.parametrize(
        "durable",
        [
            pytest.param(
                False,
            ),
            True,
        ],
        ids=["no store", "memory"],
    )
    async def test_what_came_from_the_cache_was_not_done_and_is_not_undone(self, durable: bool) -> None:
        undone: list[int] = []

        async def book(x: int) -> int:
            return x

        node = Step(book, cache=True, undo=undone.append) >> breaks
        runner = Flujo(node, state=MemoryStore() if durable else None)
        assert (await runner.run_async(1)).status == "failed"
        assert undone == [1]
        again = await runner.run_async(1)
        assert (again.status, again.steps["book"].cached) == ("failed", True)
        assert undone == [1]


def spoil(context: PipelineContext) -> None:
    context.scratchpad["handle"] = object()


def until(x: int, context: PipelineContext) -> bool:
    spoil(context)
    return True


def on(x: int, context: PipelineContext) -> str:
    spoil(context)
    return "a"


def spoiled(x: int, context: PipelineContext) -> int:
    spoil(context)
    return x


def cancel_double(output: int, context: PipelineContext) -> None:
    spoil(context)


async def book(x: int) -> int:
    return x


OUTPUT: Any = spoiled
SPOILING: dict[str, Node[Any, Any]] = {
    "until": Loop(double, until=until, max_turns=2),
    "on": Branch(on=on, cases={"a": double}),
    "output": SubPipeline(double, output=OUTPUT),
    "undo": Step(book, undo=cancel_double) >> breaks,
}


@pytest.mark.parametrize(
    "place",
    [
        "until",
        "on",
        "output",
        pytest.param(
            "undo",
        ),
    ],
)
async def test_a_change_that_cannot_be_recorded_fails_the_run(place: str) -> None:
    store = MemoryStore()
    runner = Flujo(SPOILING[place], state=store)
    result = await runner.run_async(1)
    assert result.status == "failed"
    if place != "undo":
        assert isinstance(result.error, RecordError)
        assert "scratchpad" in str(result.error)
    record = await store.run(result.run_id)
    assert record is not None
    assert record.status == "failed"
    assert (await runner.result(result.run_id)).status == "failed"
    assert (await kinds(store, result.run_id))[-1] == "run.ended"


@pytest.mark.parametrize("name", ["it's", 'say "it"', "back\\slash"])
async def test_a_name_with_quotes_inside_a_sub_pipeline_is_found_from_outside(name: str) -> None:
    inner = double.named(name)

    async def join(x: int, earlier: int) -> list[int]:
        return [x, earlier]

    node = (
        SubPipeline(inner >> double, name="sub")
        >> HumanInput("?", schema=int)
        >> Step(join, inputs={"earlier": inner.output})
    )
    store = MemoryStore()
    paused = await Flujo(node, state=store).run_async(3)
    assert paused.status == "paused", paused.error
    result = await Flujo(node, state=store).resume_async(paused.run_id, 1)
    assert result.output == [1, 6]


async def test_a_paused_result_resumed_twice_gives_the_same_twice() -> None:
    """Also when later steps change what earlier ones gave."""

    @step
    async def lists(x: int) -> list[int]:
        return [x]

    async def grow(x: int, items: list[int]) -> list[int]:
        items.append(x)
        return items

    node = lists >> HumanInput("?", schema=int) >> Step(grow, inputs={"items": lists.output})
    runner = Flujo(node)
    paused = await runner.run_async(1)
    results = [await runner.resume_async(paused, 2) for _ in range(2)]
    assert [one.output for one in results] == [[1, 2], [1, 2]]
    assert paused.steps["lists"].output == [1]


async def test_what_a_sub_pipelines_output_changed_is_kept_over_a_pause() -> None:
    class Notes(PipelineContext):
        total: int = 0

    def note(x: int, notes: Notes) -> int:
        notes.total += x
        return x

    output: Any = note
    node = SubPipeline(double, output=output, name="sub") >> HumanInput("?", schema=int) >> double
    store = MemoryStore()
    paused = await Flujo(node, state=store, context_model=Notes).run_async(3)
    result = await Flujo(node, state=store, context_model=Notes).resume_async(paused.run_id, 1)
    for one in (paused, result):
        assert isinstance(one.context, Notes)
        assert one.context.total == 6


async def test_unwrapping_what_has_no_output_yet() -> None:
    @step
    async def stops(x: int) -> int:
        raise StopPipeline("enough")

    for node in (HumanInput("?", schema=int), stops):
        result = await Flujo(node).run_async(1)
        with pytest.raises(RunError, match=result.status) as caught:
            result.unwrap()
        assert not isinstance(caught.value, RunCancelled)


class TestExits:
    """A step does not end the process."""

    @pytest.mark.parametrize("retry", [1, 2])
    @pytest.mark.parametrize("kind", ["async", "sync"])
    async def test_sys_exit_fails_the_run(self, store: MemoryStore | None, kind: str, retry: int) -> None:
        async def leaves(x: int) -> int:
            sys.exit(3)

        def leaves_too(x: int) -> int:
            sys.exit(3)

        agent: Callable[[int], Any] = leaves if kind == "async" else leaves_too
        node = Step(agent, name="leaves", retry=retry)
        result = await Flujo(node, state=store, clock=VirtualClock()).run_async(1)
        assert isinstance(result.error, StepFailed)
        assert "sys.exit(3)" in str(result.error)
        assert result.error.attempt == retry

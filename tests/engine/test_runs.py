"""Runs as wholes: their names, inputs, contexts, results, and what is kept of them."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from pydantic_core import from_json

from flujo import (
    Branch,
    Flujo,
    HumanInput,
    Loop,
    Map,
    MemoryStore,
    Parallel,
    Pipeline,
    PipelineContext,
    Replace,
    SQLiteStore,
    Step,
    StepHistory,
    StepInfo,
    SubPipeline,
    step,
)
from flujo.errors import (
    ConfigError,
    FlujoError,
    InputError,
    LoopExhausted,
    RunConflict,
    RunError,
    StepFailed,
)
from flujo.journal.store import JournalStore, RunQuery
from tests.engine.stores import Cut, CutStore


@step
async def add(x: int) -> int:
    return x + 1


@step
async def double(x: int) -> int:
    return 2 * x


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param else None


class TestNames:
    async def test_a_run_without_a_name_gets_one_that_sorts_by_time(self) -> None:
        runner = Flujo(add)
        ids = [(await runner.run_async(1)).run_id for _ in range(3)]
        assert [UUID(one).version for one in ids] == [7, 7, 7]
        assert len(set(ids)) == 3
        await asyncio.sleep(0.002)
        assert (await runner.run_async(1)).run_id > max(ids)

    async def test_the_same_name_is_the_same_run(self) -> None:
        ran: list[int] = []

        @step
        async def counts(x: int) -> int:
            ran.append(x)
            return x

        runner = Flujo(counts, state=MemoryStore())
        first = await runner.run_async(1, run_id="order-7")
        second = await runner.run_async(1, run_id="order-7")
        assert (first.output, second.output, second.status, ran) == (1, 1, "completed", [1])
        assert second.run_id == "order-7"

    async def test_the_same_name_with_another_input_is_refused(self) -> None:
        runner = Flujo(add, state=MemoryStore())
        await runner.run_async(1, run_id="order-7")
        with pytest.raises(RunConflict, match="order-7") as caught:
            await runner.run_async(2, run_id="order-7")
        assert caught.value.fix

    async def test_a_paused_run_of_that_name_is_looked_at(self) -> None:
        runner = Flujo(add >> HumanInput("?", schema=int), state=MemoryStore())
        first = await runner.run_async(1, run_id="order-7")
        again = await runner.run_async(1, run_id="order-7")
        assert (again.status, again.pending) == ("paused", first.pending)

    async def test_the_name_of_a_failed_run(self) -> None:
        ran: list[int] = []

        @step
        async def breaks(x: int) -> int:
            ran.append(x)
            raise LookupError("no")

        runner = Flujo(breaks, state=MemoryStore())
        first = await runner.run_async(1, run_id="r1")
        second = await runner.run_async(1, run_id="r1")
        assert (second.status, str(second.error), ran) == ("failed", str(first.error), [1])
        assert isinstance(second.error, StepFailed)
        assert (second.error.address, second.error.attempt) == ("breaks", 1)

    async def test_an_input_that_a_hook_replaced(self) -> None:
        def ten(initial_input: int, context: PipelineContext) -> Replace:
            return Replace(initial_input * 10)

        runner = Flujo(add, on_pipeline_start=ten, state=MemoryStore())
        assert (await runner.run_async(1, run_id="r1")).output == 11
        assert (await runner.run_async(1, run_id="r1")).output == 11

    async def test_large_inputs_are_compared_too(self) -> None:
        @step
        async def length(text: str) -> int:
            return len(text)

        runner = Flujo(length, state=MemoryStore())
        await runner.run_async("x" * 100_000, run_id="r1")
        assert (await runner.run_async("x" * 100_000, run_id="r1")).output == 100_000
        with pytest.raises(RunConflict):
            await runner.run_async("y" * 100_000, run_id="r1")


class TestInputs:
    async def test_what_does_not_fit_is_refused_before_anything_runs(
        self, store: JournalStore | None
    ) -> None:
        runner = Flujo(add, state=store)
        with pytest.raises(InputError, match="str") as caught:
            await runner.run_async("text")  # pyright: ignore[reportArgumentType]
        assert caught.value.fix
        if store is not None:
            assert (await store.runs(RunQuery())).runs == ()

    async def test_what_cannot_be_recorded_is_refused(self) -> None:
        @step
        async def takes(x: Any) -> int:
            return 1

        with pytest.raises(InputError):
            await Flujo(takes, state=MemoryStore()).run_async(object())
        assert (await Flujo(takes).run_async(object())).output == 1

    async def test_a_context_of_another_class_is_refused(self, store: JournalStore | None) -> None:
        class Mine(PipelineContext):
            name: str

        async def uses(x: int, mine: Mine) -> str:
            return mine.name

        runner = Flujo(Step(uses), state=store)
        with pytest.raises(InputError, match="Mine"):
            await runner.run_async(1, context=PipelineContext())
        with pytest.raises(InputError, match="name"):
            await runner.run_async(1)
        assert (await runner.run_async(1, context=Mine(name="ann"))).output == "ann"

    async def test_a_context_that_cannot_be_recorded_is_refused(self) -> None:
        with pytest.raises(InputError, match="scratchpad"):
            await Flujo(add, state=MemoryStore()).run_async(
                1, context=PipelineContext(scratchpad={"lock": object()})
            )

    async def test_the_given_context_is_copied(self, store: JournalStore | None) -> None:
        async def write(x: int, context: PipelineContext) -> int:
            context.scratchpad["list"].append(x)
            return x

        mine = PipelineContext(scratchpad={"list": []})
        result = await Flujo(Step(write), state=store).run_async(1, context=mine)
        assert mine.scratchpad == {"list": []}
        assert result.context.scratchpad == {"list": [1]}


class TestFacade:
    def test_without_async(self, tmp_path: Path) -> None:
        runner = Flujo(add >> HumanInput("?", schema=int) >> double, state=tmp_path / "flujo_ops.db")
        paused = runner.run(1)
        assert paused.status == "paused"
        assert runner.resume(paused, 4).output == 8
        assert runner.resume(paused.run_id).output == 8
        assert Flujo(add).run(1).unwrap() == 2

    async def test_within_a_loop_it_says_what_to_await(self) -> None:
        with pytest.raises(ConfigError, match="run_async"):
            Flujo(add).run(1)
        with pytest.raises(ConfigError, match="resume_async"):
            Flujo(add).resume("r1")

    async def test_an_unknown_durability_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="sync"):
            Flujo(add, durability="maybe")  # pyright: ignore[reportArgumentType]

    async def test_closing_through_a_with_block(self, tmp_path: Path) -> None:
        async with Flujo(add, state=tmp_path / "a.db") as runner:
            assert (await runner.run_async(1)).output == 2

    async def test_runs_side_by_side(self, store: JournalStore | None) -> None:
        runner = Flujo(add >> double, state=store)
        results = await asyncio.gather(*(runner.run_async(x) for x in range(100)))
        assert [one.output for one in results] == [2 * (x + 1) for x in range(100)]


class TestResults:
    async def test_status_and_success_agree(self) -> None:
        async def breaks(x: int) -> int:
            raise LookupError

        for node, status in (
            (add, "completed"),
            (Step(breaks), "failed"),
            (HumanInput("?", schema=int), "paused"),
        ):
            result = await Flujo(node).run_async(1)
            assert result.status == status
            assert result.success is (status == "completed")
            assert (result.error is not None) is (status == "failed")
            assert bool(result.pending) is (status == "paused")
            if not result.success:
                assert result.output is None
                with pytest.raises(FlujoError):
                    result.unwrap()

    async def test_steps_by_place_address_and_name(self) -> None:
        result = await Flujo(add >> Parallel(a=add, b=double) >> Step(total)).run_async(1)
        history = result.steps
        assert isinstance(history, StepHistory)
        assert history[0].address == "add"
        assert history["parallel/b/double"].output == 4
        assert history["total"].output == 8
        assert len(history[1:3]) == 2
        assert [one.name for one in history][-1] == "total"
        with pytest.raises(KeyError):
            history["nowhere"]

    async def test_the_last_of_a_name_is_found(self) -> None:
        result = await Flujo(Loop(add, until=lambda x: x > 3, max_turns=5)).run_async(1)
        assert [one.address for one in result.steps] == ["loop[1]/add", "loop[2]/add", "loop[3]/add"]
        assert result.steps["add"].output == 4

    async def test_what_came_from_the_journal_is_marked(self) -> None:
        runner = Flujo(add >> HumanInput("?", schema=int) >> double, state=MemoryStore())
        paused = await runner.run_async(1)
        result = await runner.resume_async(paused, 5)
        assert [(one.name, one.reused) for one in result.steps] == [("add", True), ("double", False)]

    async def test_the_journal_alone_tells_the_result(self) -> None:
        class Notes(PipelineContext):
            lines: list[str] = Field(default_factory=list[str])

        async def note(x: int, notes: Notes) -> int:
            notes.lines.append(str(x))
            return x

        store = MemoryStore()
        node = Step(note) >> Loop(add >> Step(note, name="inner"), until=lambda x: x > 3, max_turns=5)
        ran = await Flujo(node, state=store).run_async(1, run_id="r1")
        told = await Flujo(node, state=store).result("r1")
        assert (told.status, told.output, told.context, told.usage) == (
            ran.status,
            ran.output,
            ran.context,
            ran.usage,
        )
        assert isinstance(told.context, Notes)
        assert told.context.lines == ["1", "2", "3", "4"]

    async def test_a_run_whose_process_died(self) -> None:
        @step
        async def dies(x: int) -> int:
            raise Cut

        runner = Flujo(add >> dies, state=MemoryStore())
        with pytest.raises(Cut):
            await runner.run_async(1, run_id="r1")
        told = await runner.result("r1")
        assert (told.status, told.pending, told.output) == ("paused", (), None)
        assert [one.address for one in told.steps] == ["add"]


async def total(both: dict[str, int]) -> int:
    return sum(both.values()) + 1


class TestFlow:
    async def test_a_loop_that_is_used_up(self, store: JournalStore | None) -> None:
        never = Loop(add, until=lambda x: False, max_turns=3, name="again")
        result = await Flujo(never, state=store).run_async(1)
        assert isinstance(result.error, LoopExhausted)
        assert "again" in str(result.error)
        assert "3" in str(result.error)
        lenient = Loop(add, until=lambda x: False, max_turns=3, on_exhausted="return")
        assert (await Flujo(lenient, state=store).run_async(1)).output == 4

    async def test_a_key_without_a_case(self, store: JournalStore | None) -> None:
        def key(x: int) -> str:
            return "other"

        result = await Flujo(Branch(on=key, cases={"a": add}, name="route"), state=store).run_async(1)
        assert isinstance(result.error, RunError)
        assert "route" in str(result.error)
        assert "'other'" in str(result.error)

    async def test_keys_may_be_bools_and_numbers(self, store: JournalStore | None) -> None:
        def even(x: int) -> bool:
            return x % 2 == 0

        node = Branch(on=even, cases={True: add, False: double}, name="route")
        result = await Flujo(node, state=store).run_async(3)
        assert (result.output, result.steps[0].address) == (6, "route/false/double")

        def rest(x: int) -> int:
            return x % 3

        node = Branch(on=rest, cases={0: add, 1: double}, default=add, name="route")
        result = await Flujo(node, state=store).run_async(5)
        assert result.steps[0].address == "route/default/add"

    @pytest.mark.parametrize("role", ["on", "until", "over", "input", "output", "prompt", "subject"])
    async def test_what_a_function_beside_a_node_raises_fails_the_run_with_its_place(
        self, role: str, store: JournalStore | None
    ) -> None:
        def breaks(x: Any) -> Any:
            raise LookupError("not there")

        node: Any = {
            "on": lambda: Branch(on=breaks, cases={"a": add}, name="here"),
            "until": lambda: Loop(add, until=breaks, max_turns=2, name="here"),
            "over": lambda: Map(add, over=breaks, name="here"),
            "input": lambda: SubPipeline(add, input=breaks, name="here"),
            "output": lambda: SubPipeline(add, output=breaks, name="here"),
            "prompt": lambda: HumanInput(breaks, name="here"),
            "subject": lambda: HumanInput("?", subject=breaks, name="here"),
        }[role]()
        result = await Flujo(node, state=store).run_async(1)
        assert result.status == "failed"
        assert isinstance(result.error, RunError)
        assert "here" in str(result.error)
        assert "not there" in str(result.error)
        assert isinstance(result.error.__cause__, LookupError)

    async def test_functions_beside_nodes_may_be_async_and_ask_for_the_context(
        self, store: JournalStore | None
    ) -> None:
        class Limit(PipelineContext):
            most: int = 3

        async def enough(x: int, limit: Limit) -> bool:
            return x >= limit.most

        again: Any = Loop(add, until=enough, max_turns=9)  # pyright: ignore[reportArgumentType]
        runner = Flujo(again, state=store)
        assert (await runner.run_async(0)).output == 3
        assert (await runner.run_async(0, context=Limit(most=5))).output == 5

    async def test_agents_with_run(self, store: JournalStore | None) -> None:
        class Adder:
            def __init__(self, by: int) -> None:
                self.by = by

            async def run(self, x: int, info: StepInfo) -> int:
                assert info.address == "Adder"
                return x + self.by

        adder: Any = Adder(5)
        assert (await Flujo(Step(adder), state=store).run_async(1)).output == 6

    async def test_a_step_that_takes_no_input(self, store: JournalStore | None) -> None:
        @step
        async def today() -> str:
            return "Monday"

        assert (await Flujo(add >> today, state=store).run_async(1)).output == "Monday"

    async def test_an_output_may_be_none(self, store: JournalStore | None) -> None:
        @step
        async def nothing(x: int) -> None:
            return None

        @step
        async def after(x: None) -> str:
            return f"{x}"

        result = await Flujo(nothing >> after, state=store).run_async(1)
        assert result.output == "None"

    async def test_a_deep_pipeline(self, store: JournalStore | None) -> None:
        node: Any = add
        for _ in range(60):
            node = SubPipeline(node, name="in")
        result = await Flujo(node, state=store).run_async(1)
        assert result.output == 2
        assert result.steps[0].address == "in/" * 60 + "add"

    async def test_a_long_pipeline(self, store: JournalStore | None) -> None:
        node = Pipeline(*(Step(add.agent, name=f"s{number}") for number in range(300)))
        assert (await Flujo(node, state=store).run_async(0)).output == 300

    async def test_an_int_may_be_given_for_a_float(self, store: JournalStore | None) -> None:
        @step
        async def ratio(x: int) -> float:
            return x

        @step
        async def half(x: float) -> float:
            return x / 2

        assert (await Flujo(ratio >> half, state=store).run_async(3)).output == 1.5


class Item(BaseModel):
    text: str


@dataclass
class Pair:
    left: int
    right: Item


class TestWhatIsKept:
    @pytest.fixture(params=["memory", "sqlite"])
    async def kept_in(self, request: pytest.FixtureRequest, tmp_path: Path):
        made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")
        yield made
        await made.close()

    async def test_typed_values_come_back_as_they_were(self, kept_in: JournalStore) -> None:
        @step
        async def pair(x: int) -> Pair:
            return Pair(x, Item(text="ä"))

        @step
        async def both(pair: Pair, answer: int) -> str:
            return ""

        async def show(answer: int, pair: Pair) -> str:
            return f"{type(pair).__name__} {pair.right.text} {answer}"

        node = pair >> HumanInput("?", schema=int) >> Step(show, inputs={"pair": pair.output})
        paused = await Flujo(node, state=kept_in).run_async(1)
        assert (await Flujo(node, state=kept_in).resume_async(paused.run_id, 5)).output == "Pair ä 5"

    async def test_large_values_are_kept_once_by_reference(self, kept_in: JournalStore) -> None:
        big = "x" * 200_000

        @step
        async def make(x: int) -> str:
            return big

        @step
        async def same(text: str) -> str:
            return text

        node = (
            make
            >> same
            >> SubPipeline(same.named("inner"))
            >> Loop(same.named("again"), until=lambda text: True, max_turns=1)
        )
        runner = Flujo(node >> HumanInput("?", subject=len), state=kept_in)
        paused = await runner.run_async(1)
        events = await kept_in.events(paused.run_id)
        assert sum(len(event.body) for event in events) < 20_000
        refs = {
            from_json(event.body)["output_ref"]
            for event in events
            if event.kind in ("step.completed", "node.completed", "turn")
        }
        assert len(refs) == 1
        assert await kept_in.payload(bytes.fromhex(refs.pop())) == b'"' + big.encode() + b'"'
        result = await Flujo(node >> HumanInput("?", subject=len), state=kept_in).resume_async(
            paused.run_id, "done"
        )
        assert result.steps["make"].output == big

    async def test_a_context_is_recorded_by_its_changes(self, kept_in: JournalStore) -> None:
        class Heavy(PipelineContext):
            document: str = ""
            count: int = 0

        async def count(x: int, heavy: Heavy) -> int:
            heavy.count += 1
            return len(heavy.document)

        node = Pipeline(*(Step(count, name=f"s{number}") for number in range(50)))
        result = await Flujo(node, state=kept_in).run_async(1, context=Heavy(document="x" * 100_000))
        assert isinstance(result.context, Heavy)
        assert result.context.count == 50
        sizes = [len(event.body) for event in await kept_in.events(result.run_id)]
        assert sum(sizes) < 250_000

    async def test_one_event_a_step(self, kept_in: JournalStore) -> None:
        node = Pipeline(*(Step(add.agent, name=f"s{number}") for number in range(10)))
        result = await Flujo(node, state=kept_in).run_async(1)
        kinds = [event.kind for event in await kept_in.events(result.run_id)]
        assert kinds == ["run.started", *["step.completed"] * 10, "run.ended"]

    async def test_labels_are_kept_with_each_run(self, kept_in: JournalStore) -> None:
        result = await Flujo(add, state=kept_in).run_async(1, labels={"team": "accounts"})
        started = from_json((await kept_in.events(result.run_id))[0].body)
        assert started["labels"] == {"team": "accounts"}

    async def test_committing_in_the_background(self, kept_in: JournalStore) -> None:
        node = Pipeline(*(Step(add.agent, name=f"s{number}") for number in range(10)))
        runner = Flujo(node >> HumanInput("?", schema=int) >> double, state=kept_in, durability="async")
        paused = await runner.run_async(1)
        assert paused.status == "paused"
        assert len(await kept_in.events(paused.run_id)) == 12
        assert (await runner.resume_async(paused.run_id, 4)).output == 8
        assert (await runner.result(paused.run_id)).output == 8


class TestALostCommit:
    @pytest.mark.parametrize("after", range(7))
    async def test_what_was_not_committed_runs_again_and_nothing_else(self, after: int) -> None:
        store, ran = CutStore(after), list[str]()

        def counting(name: str) -> Step[int, int]:
            async def count(x: int) -> int:
                ran.append(name)
                return x + 1

            return Step(count, name=name)

        node = Pipeline(*(counting(f"s{number}") for number in range(6)))
        try:
            result = await Flujo(node, state=store).run_async(0, run_id="r1")
        except Cut:
            store.after = None
            result = await Flujo(node, state=store).run_async(0, run_id="r1")
        assert result.output == 6
        counts = [ran.count(f"s{number}") for number in range(6)]
        assert sum(counts) in (6, 7)

"""Side by side: nothing depends on who is done first."""

import asyncio
from itertools import permutations
from typing import Annotated, Any

import pytest
from pydantic import Field

from flujo import (
    Add,
    Append,
    Failure,
    Flujo,
    HumanInput,
    Last,
    Map,
    Max,
    MemoryStore,
    Merge,
    Min,
    Parallel,
    PipelineContext,
    Retry,
    Step,
    StepInfo,
    StopPipeline,
    Usage,
    step,
)
from flujo.errors import ContextConflict, PlanError, RunError, StepFailed
from flujo.journal.store import JournalStore
from flujo.testing import VirtualClock


class Shared(PipelineContext):
    plain: str = ""
    lines: Annotated[list[str], Append()] = Field(default_factory=list[str])
    sum: Annotated[int, Add()] = 100
    most: Annotated[int, Max()] = 0
    least: Annotated[int, Min()] = 50
    last: Annotated[str, Last()] = ""
    known: Annotated[dict[str, int], Merge()] = Field(default_factory=dict[str, int])


class Turnstile:
    """Lets steps end in the order that a test wants."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self._order = list(order)
        self._changed = asyncio.Condition()

    async def pass_through(self, number: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._order[0] == number)
            self._order.pop(0)
            self._changed.notify_all()


ORDERS = list(permutations(range(3)))


@pytest.fixture(params=ORDERS, ids=["".join(map(str, order)) for order in ORDERS])
def order(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return request.param


@pytest.fixture(params=[False, True], ids=["no store", "memory"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param else None


class TestOrder:
    async def test_outputs_and_context_stand_in_declared_order(
        self, order: tuple[int, ...], store: JournalStore | None
    ) -> None:
        gate = Turnstile(order)

        def branch(number: int) -> Step[int, str]:
            async def work(x: int, shared: Shared) -> str:
                shared.lines.append(f"{number} begins")
                await gate.pass_through(number)
                shared.lines.append(f"{number} ends")
                shared.sum += number + 1
                shared.most = max(shared.most, number)
                shared.least = min(shared.least, number)
                shared.last = str(number)
                shared.known["same"] = number
                shared.known[f"own {number}"] = number
                return str(number)

            return Step(work, name=f"step{number}")

        result = await Flujo(Parallel(*map(branch, range(3))), state=store).run_async(1)
        assert result.output == ("0", "1", "2")
        shared = result.context
        assert isinstance(shared, Shared)
        assert shared.lines == ["0 begins", "0 ends", "1 begins", "1 ends", "2 begins", "2 ends"]
        assert (shared.sum, shared.most, shared.least, shared.last) == (106, 2, 0, "2")
        assert shared.known == {"same": 2, "own 0": 0, "own 1": 1, "own 2": 2}
        assert list(shared.known) == ["same", "own 0", "own 1", "own 2"]

    async def test_a_conflict_is_the_same_whoever_ends_first(
        self, order: tuple[int, ...], store: JournalStore | None
    ) -> None:
        gate = Turnstile(order)

        def branch(number: int) -> Step[int, int]:
            async def work(x: int, shared: Shared) -> int:
                await gate.pass_through(number)
                if number:
                    shared.plain = str(number)
                return number

            return Step(work, name=f"step{number}")

        result = await Flujo(
            Parallel(a=branch(0), b=branch(1), c=branch(2), name="both"), state=store
        ).run_async(1)
        assert result.status == "failed"
        assert isinstance(result.error, ContextConflict)
        assert str(result.error).startswith(
            "the parallel branches 'both/b' and 'both/c' wrote field 'plain' of the context differently"
        )
        assert result.error.fix
        assert isinstance(result.context, Shared)
        assert result.context.plain == ""

    async def test_items_of_a_map(self, order: tuple[int, ...], store: JournalStore | None) -> None:
        gate = Turnstile(order)

        @step
        async def work(number: int, shared: Shared) -> int:
            await gate.pass_through(number)
            shared.lines.append(str(number))
            return number * 10

        result = await Flujo(Map(work), state=store).run_async([0, 1, 2])
        assert result.output == [0, 10, 20]
        assert isinstance(result.context, Shared)
        assert result.context.lines == ["0", "1", "2"]

    async def test_collected_failures(self, order: tuple[int, ...], store: JournalStore | None) -> None:
        gate = Turnstile(order)

        @step
        async def work(number: int, shared: Shared) -> int:
            shared.lines.append(f"{number} began")
            await gate.pass_through(number)
            if number == 1:
                raise LookupError("odd")
            return number

        result = await Flujo(Map(work, on_failure="collect", name="each"), state=store).run_async([0, 1, 2])
        assert result.success
        assert result.output == [0, Failure("each[1]/work", "StepFailed", AnyText("LookupError: odd")), 2]
        assert isinstance(result.context, Shared)
        assert result.context.lines == ["0 began", "2 began"], "a failed branch leaves nothing behind"


class AnyText(str):
    """Equals any text that holds it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(self) in other

    __hash__ = str.__hash__


class TestViews:
    async def test_branches_do_not_see_each_other(self, store: JournalStore | None) -> None:
        seen: dict[str, list[str]] = {}

        def branch(name: str) -> Step[int, int]:
            async def write(x: int, shared: Shared) -> int:
                shared.lines.append(name)
                await asyncio.sleep(0)
                seen[name] = list(shared.lines)
                return x

            return Step(write, name=name)

        async def before(x: int, shared: Shared) -> int:
            shared.lines.append("before")
            return x

        await Flujo(Step(before) >> Parallel(branch("a"), branch("b")), state=store).run_async(1)
        assert seen == {"a": ["before", "a"], "b": ["before", "b"]}

    async def test_writing_the_same_is_no_conflict(self, store: JournalStore | None) -> None:
        async def write(x: int, shared: Shared) -> int:
            shared.plain = "same"
            return x

        result = await Flujo(Parallel(Step(write, name="a"), Step(write, name="b")), state=store).run_async(1)
        assert isinstance(result.context, Shared)
        assert result.context.plain == "same"

    async def test_keys_of_the_scratchpad_are_merged_one_by_one(self, store: JournalStore | None) -> None:
        def branch(key: str, value: str) -> Step[int, int]:
            async def write(x: int, shared: Shared) -> int:
                shared.scratchpad[key] = value
                return x

            return Step(write, name=f"{key}{value}")

        fine = Parallel(branch("a", "1"), branch("b", "2"))
        result = await Flujo(fine, state=store).run_async(1)
        assert result.context.scratchpad == {"a": "1", "b": "2"}
        torn = Parallel(branch("a", "1"), branch("a", "2"))
        result = await Flujo(torn, state=store).run_async(1)
        assert isinstance(result.error, ContextConflict)
        assert "'a'" in str(result.error)

    async def test_a_reducer_that_cannot_combine_says_so(self, store: JournalStore | None) -> None:
        async def clear(x: int, shared: Shared) -> int:
            shared.lines.clear()
            return x

        result = await Flujo(Parallel(Step(clear, name="a"), Step(clear, name="b")), state=store).run_async(
            1, context=Shared(lines=["kept"])
        )
        assert isinstance(result.error, ContextConflict)
        assert "lines" in str(result.error)


class TestFailing:
    async def test_a_failing_branch_cancels_its_siblings(self, store: JournalStore | None) -> None:
        ended: list[str] = []

        @step
        async def waits(x: int) -> int:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            return x

        @step
        async def breaks(x: int) -> int:
            await asyncio.sleep(0)
            raise LookupError("no")

        result = await Flujo(Parallel(waits, breaks, name="both"), state=store).run_async(1)
        assert isinstance(result.error, StepFailed)
        assert result.error.address == "both/1/breaks"
        assert isinstance(result.error.__cause__, LookupError)
        assert ended == ["cancelled"]

    async def test_of_two_that_fail_in_one_moment_the_first_declared_is_told(
        self, store: JournalStore | None
    ) -> None:
        def branch(name: str) -> Step[int, int]:
            async def breaks(x: int) -> int:
                raise LookupError(name)

            return Step(breaks, name=name)

        for _ in range(5):
            result = await Flujo(Parallel(branch("one"), branch("two")), state=store).run_async(1)
            assert isinstance(result.error, StepFailed)
            assert result.error.step == "one"

    async def test_a_stop_in_a_branch_stops_the_run_also_where_failures_are_collected(
        self, store: JournalStore | None
    ) -> None:
        @step
        async def stops(x: int) -> int:
            raise StopPipeline("enough")

        @step
        async def fine(x: int) -> int:
            return x

        result = await Flujo(Parallel(stops, fine, on_failure="collect"), state=store).run_async(1)
        assert (result.status, result.reason) == ("stopped", "enough")

    async def test_attempts_of_a_cancelled_sibling_are_paid_for(self) -> None:
        failed = asyncio.Event()

        @step(retry=Retry(attempts=2, backoff=3600))
        async def flaky(x: int, info: StepInfo) -> int:
            info.report(Usage(requests=1))
            failed.set()
            raise RuntimeError("busy")

        @step
        async def breaks(x: int, info: StepInfo) -> int:
            await failed.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            info.report(Usage(requests=1))
            raise LookupError("no")

        runner = Flujo(Parallel(flaky, breaks), state=MemoryStore(), clock=VirtualClock(held=True))
        result = await runner.run_async(1)
        assert result.status == "failed"
        assert (await runner.result(result.run_id)).usage == Usage(requests=2)
        assert result.usage == Usage(requests=2)

    async def test_collected_in_a_mapping_and_a_tuple(self, store: JournalStore | None) -> None:
        @step
        async def breaks(x: int) -> int:
            raise LookupError("no")

        @step
        async def fine(x: int) -> int:
            return x

        both = await Flujo(Parallel(a=breaks, b=fine, on_failure="collect"), state=store).run_async(1)
        assert both.output is not None
        assert both.output["b"] == 1
        failure = both.output["a"]
        assert isinstance(failure, Failure)
        assert (failure.address, failure.error) == ("parallel/a/breaks", "StepFailed")
        pair = await Flujo(Parallel(breaks, fine, on_failure="collect"), state=store).run_async(1)
        assert pair.output is not None
        assert pair.output[1] == 1

    def test_failures_beside_an_undeclared_type_are_refused(self) -> None:
        async def undeclared(x):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
            raise LookupError("no")

        agent: Any = undeclared  # pyright: ignore[reportUnknownVariableType]
        unknown: Any = Step(agent)
        with pytest.raises(PlanError, match="nothing declares what it gives"):
            Flujo(Parallel(unknown, on_failure="collect"), state=MemoryStore())
        assert Flujo(Parallel(unknown, on_failure="collect")).run(1).success

    async def test_what_over_raises_fails_the_run_with_its_place(self, store: JournalStore | None) -> None:
        @step
        async def fine(x: int) -> int:
            return x

        def over(x: int) -> list[int]:
            raise LookupError("no items")

        result = await Flujo(Map(fine, over=over, name="each"), state=store).run_async(1)
        assert isinstance(result.error, RunError)
        assert "each" in str(result.error)
        assert "no items" in str(result.error)


class TestMaps:
    async def test_no_more_than_the_limit_at_once(self) -> None:
        now, most = [0], [0]

        @step
        async def work(x: int) -> int:
            now[0] += 1
            most[0] = max(most[0], now[0])
            await asyncio.sleep(0)
            now[0] -= 1
            return x

        result = await Flujo(Map(work, concurrency=3)).run_async(range(20))
        assert result.output == list(range(20))
        assert most == [3]

    async def test_no_items(self, store: JournalStore | None) -> None:
        @step
        async def work(x: int) -> int:
            return x

        assert (await Flujo(Map(work), state=store).run_async([])).output == []

    async def test_items_are_chosen_once(self) -> None:
        asked: list[Any] = []

        def over(x: int) -> list[int]:
            asked.append(x)
            return list(range(len(asked) + 1))

        runner = Flujo(Map(HumanInput("?", schema=int), over=over), state=MemoryStore())
        result = await runner.run_async(1)
        for _ in range(2):
            result = await runner.resume_async(result.run_id, 5, request=result.pending[0].address)
        assert (result.output, asked) == ([5, 5], [1])

    async def test_over_may_ask_for_the_context(self, store: JournalStore | None) -> None:
        @step
        async def work(x: str) -> str:
            return x.upper()

        def over(x: int, shared: Shared) -> list[str]:
            return shared.lines

        result = await Flujo(Map(work, over=over), state=store).run_async(1, context=Shared(lines=["a", "b"]))
        assert result.output == ["A", "B"]

    async def test_many_items(self, store: JournalStore | None) -> None:
        @step
        async def work(x: int) -> int:
            return x + 1

        result = await Flujo(Map(work), state=store).run_async(list(range(2000)))
        assert result.output == list(range(1, 2001))
        assert len(result.steps) == 2000

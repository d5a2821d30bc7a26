"""Cached steps: everything that the output depends on is in the key."""

import functools
import math
from typing import Annotated, Any

import pytest

from flujo import Flujo, From, MemoryStore, PipelineContext, Step, step
from flujo.errors import PlanError


@step
async def score(x: int) -> int:
    return x


@step
async def fixed(x: int) -> str:
    return "same"


async def test_named_inputs_are_part_of_the_key() -> None:
    ran: list[int] = []

    async def judge(text: str, points: Annotated[int, From("score")]) -> int:
        ran.append(points)
        return points

    runner = Flujo(score >> fixed >> Step(judge, cache=True), state=MemoryStore())
    assert [(await runner.run_async(x)).output for x in (1, 2, 1)] == [1, 2, 1]
    assert ran == [1, 2]


async def test_a_named_input_that_is_no_json_is_told() -> None:
    async def opaque(x: int) -> object:
        return object()

    async def judge(x: object, points: Annotated[object, From("opaque")]) -> int:
        return 1

    async def plain(x: object) -> int:
        return 1

    node = Step(opaque) >> Step(plain) >> Step(judge, cache=True)
    result = await Flujo(node, state=None).run_async(1)
    assert result.status == "failed"
    assert "no cache key" in str(result.error)


async def test_a_key_of_ones_own_is_the_key_itself() -> None:
    async def judge(text: str, points: Annotated[int, From("score")]) -> int:
        return points

    def key(text: str) -> str:
        return text

    runner = Flujo(score >> fixed >> Step(judge, cache=key), state=MemoryStore())
    assert [(await runner.run_async(x)).output for x in (1, 2)] == [1, 1]


def test_a_cached_step_may_not_ask_for_the_context() -> None:
    async def work(x: int, context: PipelineContext) -> int:
        return x

    with pytest.raises(PlanError) as caught:
        Flujo(Step(work, cache=True))
    assert "context" in str(caught.value)
    assert "cache=" in str(caught.value)

    def key(x: int) -> str:
        return str(x)

    assert Flujo(Step(work, cache=key)).run(1).output == 1


def plus(x: int, b: int = 0) -> int:
    return x + b


class Adds:
    def __init__(self, b: int) -> None:
        self.b = b

    def __call__(self, x: int) -> int:
        return x + self.b


class TestAgentsThatAreNoFunctions:
    async def test_what_a_partial_holds_is_part_of_the_key(self) -> None:
        store = MemoryStore()

        async def of(b: int) -> Any:
            node = Step(functools.partial(plus, b=b), name="plus", cache=True)
            result = await Flujo(node, state=store).run_async(1)
            return result.output, result.steps[0].cached

        assert [await of(1), await of(2), await of(1)] == [(2, False), (3, False), (2, True)]

    async def test_a_partial_that_holds_no_json_is_told(self) -> None:
        node = Step(functools.partial(plus, b=object()), name="plus", cache=True)  # pyright: ignore[reportArgumentType]
        result = await Flujo(node, state=None).run_async(1)
        assert result.status == "failed"
        assert "no cache key" in str(result.error)

    @pytest.mark.parametrize("agent", [Adds(1), len, str.upper])
    async def test_others_can_be_cached(self, agent: Any) -> None:
        value: Any = 1 if isinstance(agent, Adds) else "ab"
        runner = Flujo(Step(agent, name="work", cache=True), state=None)
        outputs = [(await runner.run_async(value)).unwrap() for _ in range(2)]
        assert outputs == [agent(value)] * 2


async def test_what_is_no_number_is_not_nothing() -> None:
    async def work(x: float | None) -> str:
        return str(x)

    runner = Flujo(Step(work, cache=True), state=None)
    assert [(await runner.run_async(x)).output for x in (None, math.nan)] == ["None", "nan"]

"""Cached steps: everything that the output depends on is in the key."""

import functools
import math
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretStr

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


class Cat(BaseModel):
    age: int


class Dog(BaseModel):
    age: int


@dataclass(frozen=True)
class Bird:
    age: int


class Hidden(BaseModel):
    age: int = Field(exclude=True)


class Locked(BaseModel):
    key: SecretStr


class Hue(Enum):
    RED = "red"


APART = {
    "models": [Cat(age=1), Dog(age=1), Bird(1), {"age": 1}],
    "models within": [[Cat(age=1)], [Dog(age=1)], (Cat(age=1),)],
    "texts": ["1", Decimal(1), b"1", Path("1")],
    "digits": [Decimal("1.0"), Decimal("1.00"), 1.0, 1, True],
    "lists": [[1], (1,), {1}, frozenset({1}), deque([1])],
    "times": [datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01T00:00:00Z"],
    "enums": [Hue.RED, "red", "RED"],
    "left out of its JSON": [Hidden(age=1), Hidden(age=2)],
    "secrets": [Locked(key=SecretStr("a")), Locked(key=SecretStr("b"))],
    "keys": [{1: "a"}, {"1": "a"}],
}


@pytest.mark.parametrize("values", APART.values(), ids=APART)
async def test_inputs_whose_json_is_the_same_are_told_apart(values: list[Any]) -> None:
    ran: list[int] = []

    async def work(value: object) -> int:
        ran.append(len(ran))
        return len(ran) - 1

    runner = Flujo(Step(work, cache=True), state=None)
    for _ in range(2):
        assert [(await runner.run_async(value)).output for value in values] == list(range(len(values)))


def test_a_set_has_one_key_in_every_process() -> None:
    code = (
        "from flujo.engine.caching import told_apart; from pydantic_core import to_json;"
        "print(to_json(told_apart([{'a', 'b', 'c', 'd'}, {'x': frozenset('efgh')}])))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(said) == 1


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["no store", "memory"])
async def test_what_ran_in_its_place_is_not_remembered(store: MemoryStore | None) -> None:
    down = [True]

    async def ask(question: str) -> str:
        if down.pop(0):
            raise ConnectionError("the model is down")
        return "42"

    @step
    async def sorry(question: str) -> str:
        return "I do not know"

    runner = Flujo(Step(ask, cache=True, fallback=sorry), state=store)
    assert (await runner.run_async("?")).output == "I do not know"
    down.append(False)
    assert [(await runner.run_async("?")).output for _ in range(2)] == ["42", "42"]

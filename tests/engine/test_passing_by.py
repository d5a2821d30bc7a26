"""Recorded steps that a resumed run passes by: what is read of them, and when."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from flujo import Flujo, HumanInput, MemoryStore, PipelineContext, Step, StepInfo, Usage
from flujo.errors import PlanChanged
from flujo.plan.codec import Codec


class Notes(PipelineContext):
    seen: int = 0


async def add(x: int) -> int:
    return x + 1


async def count(x: int, context: Notes) -> int:
    context.seen += 1
    return x + 1


async def spend(x: int, info: StepInfo) -> int:
    info.report(Usage(requests=1))
    return x + 1


async def large(x: int) -> str:
    return "x" * 10_000 + str(x)


async def small(text: str) -> int:
    return len(text)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every recorded output that is read, as it is written."""
    found: list[object] = []

    def read_output(codec: Codec, written: object, address: str) -> Any:
        found.append(written)
        return codec.load_parsed(written)

    monkeypatch.setattr("flujo.engine.gate.read_output", read_output)
    return found


async def test_only_what_is_needed_is_read_until_somebody_looks(decoded: list[object]) -> None:
    steps = [Step(add, name=f"add_{at}") for at in range(5)]
    runner = Flujo(
        steps[0] >> steps[1] >> steps[2] >> steps[3] >> steps[4] >> HumanInput("go on?", schema=int),
        state=MemoryStore(),
    )
    paused = await runner.run_async(0)
    done = await runner.resume_async(paused.run_id, 7)
    assert done.output == 7
    assert decoded == [5]  # the question is put to what the last of them gave
    assert done.steps["add_1"].output == 2
    assert decoded == [5, 2]
    assert [step.output for step in done.steps] == [1, 2, 3, 4, 5]
    assert sorted(map(str, decoded)) == ["1", "2", "3", "4", "5"]  # each once
    assert all(step.reused for step in done.steps)


async def test_what_was_used_changed_or_stored_apart_is_not_passed_by() -> None:
    runner = Flujo(
        Step(add, name="first")
        >> Step(count, name="counted")
        >> Step(spend, name="spent")
        >> Step(large, name="apart")
        >> Step(small, name="measured")
        >> HumanInput("go on?", schema=int),
        context_model=Notes,
        state=MemoryStore(),
    )
    paused = await runner.run_async(0)
    done = await runner.resume_async(paused.run_id, 1)
    assert isinstance(done.context, Notes)
    assert done.context.seen == 1
    assert done.usage == paused.usage == Usage(requests=1)
    facts = [(step.name, step.output, step.usage, step.attempts) for step in done.steps]
    assert facts == [(step.name, step.output, step.usage, step.attempts) for step in paused.steps]


def of_another_shape(*fields: str) -> Callable[..., Any]:
    """Return a step whose output is a model `Out` with these fields."""
    out = type("Out", (BaseModel,), {"__annotations__": dict.fromkeys(fields, int)})

    async def make(x: int) -> Any:
        return out(**dict.fromkeys(fields, x))

    make.__annotations__["return"] = out
    return make


async def test_a_recorded_output_that_fits_no_more_is_refused_by_name() -> None:
    store = MemoryStore()

    def runner(*fields: str) -> Flujo[Any, Any]:
        return Flujo(Step(of_another_shape(*fields), name="make") >> HumanInput("?", schema=int), state=store)

    paused = await runner("a").run_async(4)
    with pytest.raises(PlanChanged, match="what 'make' gave was recorded as another Out") as caught:
        await runner("a", "b").resume_async(paused.run_id, 1)
    assert caught.value.addresses == ("make",)
    assert "4" not in str(caught.value)
    assert (await runner("a").resume_async(paused.run_id, 1)).output == 1


async def test_resumed_runs_of_many_steps_at_once_are_told_apart() -> None:
    steps = [Step(add, name=f"add_{at}") for at in range(3)]
    runner = Flujo(steps[0] >> steps[1] >> steps[2] >> HumanInput("?", schema=int), state=MemoryStore())
    paused = await asyncio.gather(*(runner.run_async(number * 10) for number in range(20)))
    done = await asyncio.gather(*(runner.resume_async(run.run_id, at) for at, run in enumerate(paused)))
    for number, result in enumerate(done):
        assert result.output == number
        assert [step.output for step in result.steps] == [number * 10 + more for more in (1, 2, 3)]

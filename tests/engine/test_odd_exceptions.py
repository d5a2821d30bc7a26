"""What users' code raises and gives may itself be odd: its text cannot be made, or it has no truth value."""

from collections.abc import Sequence
from typing import Annotated, Any

import pytest

from flujo import (
    Branch,
    Flujo,
    Hook,
    HumanInput,
    Loop,
    MemoryStore,
    Node,
    Parallel,
    PipelineContext,
    Retry,
    Step,
    step,
)
from flujo.errors import FlujoError, StepFailed
from flujo.testing import VirtualClock


class Mute(Exception):
    """Raises wherever anybody asks what it says."""

    def __str__(self) -> str:
        raise KeyError("no text")

    def __repr__(self) -> str:
        raise KeyError("no text")


class Undecided:
    """Has no truth value and no text, like some arrays."""

    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")

    def __str__(self) -> str:
        raise ValueError("no text")

    def __repr__(self) -> str:
        raise ValueError("no repr")


@step
async def work(x: int) -> int:
    return x


async def raises_nothing(x: int) -> int:
    return x


def mute(x: int) -> Any:
    raise Mute


def undecided(x: int) -> Any:
    return Undecided()


def mute_validator(output: int) -> bool:
    raise Mute


def undecided_validator(output: int) -> Any:
    return Undecided()


class MuteReducer:
    def combine(self, base: Any, branches: Sequence[Any], /) -> Any:
        raise Mute


class Notes(PipelineContext):
    lines: Annotated[int, MuteReducer()] = 0


async def writes(x: int, notes: Notes) -> int:
    notes.lines += x
    return x


FAILING: dict[str, Node[int, Any]] = {
    "step": Step(mute, name="work"),
    "step, tried again": Step(mute, name="work", retry=Retry(2)),
    "validator": Step(work.agent, name="work", validators=[mute_validator]),
    "validator's verdict": Step(work.agent, name="work", validators=[undecided_validator]),
    "cache key": Step(work.agent, name="work", cache=mute),
    "branch": Branch(on=mute, cases={"a": work}),
    "branch's key": Branch(on=undecided, cases={"a": work}),
    "until": Loop(work, until=mute, max_turns=2),
    "until's verdict": Loop(work, until=undecided, max_turns=2),
    "prompt": HumanInput(mute),
    "prompt's text": HumanInput(undecided),
    "reducer": Parallel(a=Step(writes), b=Step(writes)),
}


@pytest.mark.parametrize("node", FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("stored", [False, True])
async def test_it_fails_the_run_and_is_told_safely(node: Node[int, Any], stored: bool) -> None:
    runner = Flujo(node, state=MemoryStore() if stored else None, clock=VirtualClock())
    result = await runner.run_async(1)
    assert result.status == "failed"
    assert isinstance(result.error, FlujoError)
    assert result.error.message
    if stored:
        again = await runner.result(result.run_id)
        assert str(again.error) == str(result.error)


async def test_a_step_says_what_kind_of_exception_it_was() -> None:
    result = await Flujo(Step(mute, name="work"), state=MemoryStore()).run_async(1)
    assert isinstance(result.error, StepFailed)
    assert result.error.message == "step 'work' (attempt 1): Mute: (its text cannot be made: KeyError)"
    assert isinstance(result.error.__cause__, Mute)


async def test_an_undo_that_raises_one_is_noted() -> None:
    undone: Step[int, int] = Step(raises_nothing, name="work", undo=mute)
    result = await Flujo(undone >> Step(mute, name="fails"), state=MemoryStore()).run_async(1)
    assert result.error is not None
    assert result.error.__notes__ == ["undoing 'work' failed: Mute: (its text cannot be made: KeyError)"]


async def test_a_hook_that_raises_one_is_named() -> None:
    class Looks(Hook):
        def pre_step_execution(self, step_name: str, step_input: Any, context: PipelineContext) -> Any:
            raise Mute

    result = await Flujo(work, hooks=[Looks()]).run_async(1)
    assert "raised Mute: (its text cannot be made: KeyError)" in str(result.error)

"""Scripted agents: answer in order, and fail clearly when asked otherwise."""

import doctest
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from flujo import Flujo, Loop, MemoryStore, Retry, Step, StepInfo
from flujo.testing import After, Scripted, ScriptError, VirtualClock
from flujo.testing import scripted as scripted_module


class Letter(BaseModel):
    to: str


async def test_it_answers_in_order_and_remembers_what_it_was_asked() -> None:
    model = Scripted("a", "b")
    pipeline = Step(model, name="first") >> Step(model, name="second")
    assert (await Flujo(pipeline).run_async("go")).output == "b"
    assert [(call.address, call.input) for call in model.calls] == [("first", "go"), ("second", "a")]
    assert model.inputs == ["go", "a"]
    model.check()


async def test_it_raises_what_it_is_given_and_hears_the_feedback() -> None:
    model, clock = Scripted(ConnectionError("gone"), "short", "long enough"), VirtualClock()

    def long_enough(text: str) -> str | None:
        return None if len(text) > 5 else "too short"

    step = Step(model, name="draft", retry=Retry(3, backoff=60, jitter=0), validators=[long_enough])
    assert (await Flujo(step, clock=clock).run_async("x")).output == "long enough"
    assert model.calls[2].feedback == ("too short",)
    assert clock.slept == [60, 60]


async def test_a_delay_passes_on_its_clock() -> None:
    clock = VirtualClock()
    model = Scripted(After(3600, "late"), After(5, ValueError("never")), clock=clock)
    assert await model.run("x") == "late"
    with pytest.raises(ValueError, match="never"):
        await model.run("x")
    assert clock.slept == [3600, 5]


async def test_asked_more_often_it_says_where() -> None:
    model = Scripted("a")
    result = await Flujo(Step(model, name="first") >> Step(model, name="second")).run_async("go")
    assert str(result.error) == snapshot(
        "step 'second' (attempt 1): ScriptError: a scripted agent with 1 answers was asked for one more at "
        "'second', with 'a': give it another answer, or find who asks"
    )
    with pytest.raises(ScriptError) as caught:
        model.check()
    assert str(caught.value) == snapshot(
        "a scripted agent has 1 answers and was asked 2 times; last with 'a'"
    )


def test_asked_less_often_it_says_so() -> None:
    with pytest.raises(ScriptError) as caught:
        Scripted("a", "b").check()
    assert str(caught.value) == snapshot("a scripted agent has 2 answers and was asked 0 times")


@pytest.mark.parametrize(
    ("model", "kind"),
    list[tuple[Scripted[Any], Any]](
        [
            (Scripted("a", ConnectionError()), str),
            (Scripted(After(1, Letter(to="Ada"))), Letter),
            (Scripted(1, "a"), Any),
            (Scripted(1, "a", gives=int | str), int | str),
            (Scripted(), Any),
        ]
    ),
)
def test_it_is_recorded_as_what_it_gives(model: Scripted[Any], kind: Any) -> None:
    assert Flujo(Step(model, name="s")).plan.root.output_type == kind


async def test_what_it_gives_comes_back_from_a_journal() -> None:
    store, model = MemoryStore(), Scripted(Letter(to="Ada"))
    runner = Flujo(Step(model, name="write"), state=store)
    await runner.run_async("x", run_id="r")
    assert (await runner.run_async("x", run_id="r")).output == Letter(to="Ada")
    model.check()


async def test_an_attempt_that_runs_again_gets_the_same_answers_again() -> None:
    model = Scripted("a", "b")

    async def twice(text: str, info: StepInfo) -> str:
        return await model.run(text, info) + await model.run(text, info)

    for store in (MemoryStore(), MemoryStore()):  # the second knows nothing of the first
        assert (await Flujo(Step(twice, name="twice"), state=store).run_async("x", run_id="r")).output == "ab"
    model.check()
    assert len(model.calls) == 4


async def test_each_turn_of_a_loop_is_asked_anew() -> None:
    model = Scripted(1, 2, 3)
    loop = Loop(Step(model, name="ask"), until=lambda number: number == 3, max_turns=5)
    assert (await Flujo(loop).run_async(0)).output == 3
    model.check()


def test_its_example() -> None:
    assert doctest.testmod(scripted_module).attempted
    assert doctest.testmod(scripted_module).failed == 0

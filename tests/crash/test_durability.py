"""What "committed" promises: nothing is told, and no effect begins, before the store has what came before."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from flujo import Flujo, MemoryStore, Step, StepInfo
from flujo.engine.result import Finished, StepCompleted
from flujo.journal.store import Batch, Committed
from tests.crash.harness import Mortal, carry, judge, undisturbed
from tests.crash.of_steps import charge, noted
from tests.crash.scenario import RUN, Notes, a_clock
from tests.crash.scenarios import SCENARIOS
from tests.crash.witness import WITNESS, acts


class Slow(Mortal):
    """A store that takes its time: a batch is there, and acknowledged, only a while later."""

    def __init__(self, kept: MemoryStore | None = None) -> None:
        super().__init__(kept or MemoryStore())

    def submit(self, batch: Batch) -> Committed:
        loop = asyncio.get_running_loop()
        told: Committed = loop.create_future()

        life = WITNESS.deeds

        def commit() -> None:
            if WITNESS.dead or WITNESS.deeds is not life:
                return  # the process died before
            done = self._inner.submit(batch)
            error = done.exception()
            if told.cancelled():
                return
            if error is None:
                told.set_result(done.result())
            else:
                told.set_exception(error)

        loop.call_later(0.002, commit)
        return told


async def test_steps_begin_when_those_before_are_committed() -> None:
    store = Slow()

    async def looks(number: int, info: StepInfo) -> int:
        known = [event.address for event in await store.events(RUN) if event.kind == "step.completed"]
        assert known == [f"s{place}" for place in range(number)]
        return number + 1

    pipeline: Any = Step(looks, name="s0")
    for place in range(1, 6):
        pipeline = pipeline >> Step(looks, name=f"s{place}")
    assert (await Flujo(pipeline, state=store).run_async(0, run_id=RUN)).unwrap() == 6


@pytest.mark.parametrize("name", ["chain", "parallel", "loop", "map", "everything", "branch", "fallback"])
async def test_what_is_told_as_completed_is_committed(name: str) -> None:
    scenario, store, clock = SCENARIOS[name], Slow(), a_clock()
    WITNESS.reset()
    told = 0
    async for event in scenario.runner(store, clock).stream_async(
        scenario.input, run_id=RUN, context=Notes()
    ):
        journal = await store.events(RUN)
        if isinstance(event, StepCompleted):
            told += 1
            place = event.result.address
            assert any(one.address == place and one.kind.endswith(".completed") for one in journal), place
        elif isinstance(event, Finished):
            record = await store.run(RUN)
            assert record is not None
            assert record.status == event.result.status
    assert told


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_an_at_most_once_step_begins_when_its_start_is_committed(durability: str) -> None:
    """Also where commits are made in the background: else a crash runs it a second time."""
    store = Slow()
    seen: list[list[str]] = []

    async def looks(number: int, info: StepInfo) -> int:
        seen.append([event.address for event in await store.events(RUN) if event.kind == "step.started"])
        return number

    step = Step(looks, name="looks", effects="at_most_once")
    runner: Flujo[int, int] = Flujo(
        noted >> step,
        context_model=Notes,
        state=store,
        durability="async" if durability == "async" else "sync",
    )
    WITNESS.reset()
    assert (await runner.run_async(1, run_id=RUN)).success
    assert seen == [["looks"]]


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_result_is_told_when_it_is_committed(durability: str) -> None:
    for name in ("chain", "approve", "failed", "stopped"):
        store, scenario = Slow(), SCENARIOS[name]
        WITNESS.reset()
        runner = scenario.runner(store, a_clock(), durability)
        result = await runner.run_async(scenario.input, run_id=RUN, context=Notes())
        record = await store.run(RUN)
        assert record is not None
        assert record.status == result.status


async def test_an_effect_inside_a_step_is_committed_before_the_step_goes_on() -> None:
    store = Slow()

    async def pays(number: int, info: StepInfo) -> str:
        acts(info)
        paid = await info.do("charge", charge, 1, "visa")
        assert [event.address for event in await store.events(RUN) if event.kind == "effect"] == [
            "pay#charge"
        ]
        return paid

    WITNESS.reset()
    assert (await Flujo(Step(pays, name="pay"), state=store).run_async(1, run_id=RUN)).unwrap()


ASYNC = [
    "chain",
    "retry",
    "loop",
    "parallel",
    "map",
    "effects",
    "approve",
    "doubt_settled",
    "everything",
    "undo",
]


@pytest.mark.parametrize("name", ASYNC)
async def test_deaths_while_commits_are_made_in_the_background(name: str) -> None:
    """More may run again than one step, but all that was recorded holds."""
    scenario = SCENARIOS[name]
    whole = await undisturbed(scenario)
    anything = replace(scenario, width=99)
    for at in range(2, whole.commits + 1):
        kept = MemoryStore()
        lives = [Mortal(Slow(kept), at, "before"), Mortal(kept)]
        broken = await carry(anything, lives, durability="async")
        judge(anything, whole, broken)

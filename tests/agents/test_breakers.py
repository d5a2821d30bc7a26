"""Breakers: when a provider is left alone, and what else there is between an agent and its model."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from typing_extensions import override

from flujo import Flujo, MemoryStore, PipelineContext, Step, StepInfo
from flujo.agents import ModelAgent
from flujo.agents.requests import Breaker, Patient, breakers
from flujo.errors import EffectDiverged, ProviderUnavailable
from flujo.pipeline.step import Retry
from flujo.testing import After, ScriptedModel, Status, UseTool, VirtualClock


class Reached(ScriptedModel):
    """A scripted model that is reached somewhere."""

    where: str = "https://one.test"

    @property
    @override
    def base_url(self) -> str:
        return self.where


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of breakers, which a test may change."""
    now = [1000.0]
    breakers.clear()
    monkeypatch.setattr("flujo.agents.requests.Breaker", lambda: Breaker(after=3, now=lambda: now[0]))
    return now


async def ask(*models: Model, **settings: Any) -> Any:
    agent = ModelAgent(models[0], fallbacks=models[1:]).replace(requests=Retry(1), **settings)
    return await Flujo(Step(agent, name="ask"), clock=VirtualClock()).run_async("x")


async def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while(time: list[float]) -> None:
    model = Reached(*[Status(500)] * 4, "well again")
    for _ in range(3):
        assert (await ask(model)).status == "failed"
    refused = await ask(model)
    assert isinstance(refused.error.__cause__, ProviderUnavailable)
    assert len(model.asked) == 3  # nothing was sent
    time[0] += 30
    assert (await ask(model)).status == "failed"  # one request tries, and fails
    assert isinstance((await ask(model)).error.__cause__, ProviderUnavailable)
    assert len(model.asked) == 4
    time[0] += 30
    assert (await ask(model)).unwrap() == "well again"


async def test_another_model_takes_over_while_a_provider_is_left_alone() -> None:
    model, other = Reached(*[Status(500)] * 3), Reached(*["from the other"] * 4)
    other.where = "https://other.test"
    for _ in range(4):
        assert (await ask(model, other)).unwrap() == "from the other"
    assert (len(model.asked), len(other.asked)) == (3, 4)


@pytest.mark.parametrize("layer", [Agent, ModelAgent])
async def test_so_it_does_in_a_chain_of_the_users_own_making(layer: Callable[[Model], Any]) -> None:
    model, other = Reached(*[Status(500)] * 3), Reached(*["from the other"] * 2)
    other.where = "https://other.test"
    step = Step(layer(FallbackModel(model, other)), name="ask")
    for _ in range(2):
        assert (await Flujo(step, clock=VirtualClock()).run_async("x")).unwrap() == "from the other"
    assert (len(model.asked), len(other.asked)) == (3, 2)


async def test_each_model_of_such_a_chain_is_asked_as_often_as_its_agent_says() -> None:
    first, second, last = (
        ScriptedModel(*[Status(503)] * 3),
        ScriptedModel(*[Status(500)] * 3),
        "from the last",
    )
    agent = ModelAgent(
        FallbackModel(first, second), fallbacks=[ScriptedModel(last)], requests=Retry(3), name="ask"
    )
    assert (await Flujo(Step(agent), clock=VirtualClock()).run_async("x")).unwrap() == last
    assert (len(first.asked), len(second.asked)) == (3, 3)


@pytest.mark.parametrize("failure", [Status(429), Status(400), Status(401)], ids=str)
async def test_a_provider_that_answers_is_well(failure: Status) -> None:
    model = Reached(*[failure] * 5, "well")
    for _ in range(5):
        assert (await ask(model)).status == "failed"
    assert (await ask(model)).unwrap() == "well"


async def test_providers_are_told_apart_by_where_they_are_reached() -> None:
    model, other = Reached(*[Status(500)] * 3), Reached("well")
    other.where = "https://other.test"
    for _ in range(3):
        await ask(model)
    assert (await ask(other)).unwrap() == "well"


async def test_a_request_that_is_given_up_says_nothing_of_the_provider() -> None:
    model = Reached(Status(500), Status(500), *[After(60, "late")] * 2, Status(500), "never")
    for _ in range(2):
        await ask(model)
    for asked in (3, 4):
        going = asyncio.create_task(ask(model))
        while len(model.asked) < asked:
            await asyncio.sleep(0)
        going.cancel()
        await asyncio.wait({going})
        assert going.cancelled()
    await ask(model)
    assert isinstance((await ask(model)).error.__cause__, ProviderUnavailable)


async def test_a_model_that_is_reached_over_no_wire_is_never_left_alone() -> None:
    model = ScriptedModel(*[Status(500)] * 9, "well")
    for _ in range(9):
        await ask(model)
    assert (await ask(model)).unwrap() == "well"
    assert breakers == {}


async def test_outside_of_a_run_the_waits_are_real() -> None:
    model = ScriptedModel(Status(500), "done")
    agent = Agent(Patient(model, Retry(2, backoff=0.01, jitter=0)))
    assert (await agent.run("x")).output == "done"


async def test_a_model_that_a_test_puts_in_the_place_of_another_is_recorded_too() -> None:
    agent, store = Agent(ScriptedModel("real")), MemoryStore()
    runner = Flujo(Step(agent, name="ask"), state=store)
    with agent.override(model=ScriptedModel("another")):
        assert (await runner.run_async("x", run_id="one")).unwrap() == "another"
    assert (await runner.run_async("x", run_id="two")).unwrap() == "real"
    for run in ("one", "two"):
        addresses = [event.address for event in await store.events(run) if event.kind == "effect"]
        assert addresses == ["ask#model"]


async def test_without_a_store_an_attempt_that_asks_for_something_else_is_told_so() -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        raise ConnectionError(city)

    attempts: list[int] = []

    async def input_of(text: str, info: StepInfo) -> str:
        attempts.append(info.attempt)
        agent = ModelAgent(ScriptedModel(UseTool("weather", {"city": "Rome"})), tools=[weather])
        return await agent.run(f"{text} {info.attempt}", info, PipelineContext())

    with pytest.raises(EffectDiverged, match="ask#model"):
        (await Flujo(Step(input_of, name="ask", retry=2)).run_async("x")).unwrap()
    assert attempts == [1, 2]

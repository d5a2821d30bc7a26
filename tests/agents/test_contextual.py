"""Agents that are made from the context: by whom it is for, and the same again when the run is resumed."""

from typing import Any

import httpx2
import pytest
from pydantic import Field
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from flujo import Flujo, MayMutate, MemoryStore, Node, PipelineContext, Reconfigure, Step, step
from flujo.agents import AgentChoice, ClassifierAgent, ContextualAgentFactory, ModelAgent
from flujo.errors import PipelineError, PlanError, StepFailed
from flujo.plan.compile import compile_plan
from flujo.testing import Died, Lives, Mortal, ScriptedModel, UseTool


class Desk(PipelineContext):
    tenant: str = "small"
    language: str = "en"
    role: str = "clerk"
    notes: list[str] = Field(default_factory=list[str])


PROMPTS = {"en": "Be brief.", "de": "Fasse dich kurz."}


def look(number: str) -> str:
    """Look up."""
    return f"looked at {number}"


def refund(number: str) -> str:
    """Give back."""
    return f"gave {number} back"


async def choose(context: Desk) -> AgentChoice:
    return AgentChoice(
        model="large" if context.tenant == "big" else None,
        system_prompt=PROMPTS[context.language],
        tools=("look", "refund") if context.role == "chief" else ("look",),
        settings={"temperature": 0.5},
    )


class Looking(FunctionModel):
    """Looks something up once, and is done; remembers what it was told to be."""

    def __init__(self) -> None:
        self.told: list[str | None] = []
        super().__init__(self._answer)

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.told.append(info.instructions)
        if len(messages) > 1:
            return ModelResponse([TextPart("done")])
        return ModelResponse([ToolCallPart("look", {"number": "1"})])


def desk(small: Model, large: Model, choice: Any = choose) -> Node[Any, str]:
    agent = ModelAgent(small, "Wait.", tools=[look], settings={"max_tokens": 9}, name="desk")
    return Step(ContextualAgentFactory(agent, choice, models={"large": large}, tools=[refund]))


async def test_model_prompt_and_tools_follow_the_context() -> None:
    small, large = ScriptedModel("small"), ScriptedModel("large")
    runner = Flujo(desk(small, large), state=MemoryStore())
    one = await runner.run_async("?", context=Desk())
    two = await runner.run_async("?", context=Desk(tenant="big", language="de", role="chief"))
    assert (one.unwrap(), two.unwrap()) == ("small", "large")
    assert small.asked[0].instructions == "Be brief."
    assert large.asked[0].instructions == "Fasse dich kurz."
    assert small.asked[0].tools == ("look",)
    assert large.asked[0].tools == ("look", "refund")
    settings = large.asked[0].settings or {}
    assert (settings.get("max_tokens"), settings.get("temperature")) == (9, 0.5)


async def test_a_resumed_run_makes_the_same_agent() -> None:
    """What was chosen is recorded whole: neither the choice nor the code's own prompt counts any more."""
    store, chosen = MemoryStore(), list[str]()

    def once(prompt: str) -> Any:
        def choice(context: Desk) -> AgentChoice:
            chosen.append(prompt)
            return AgentChoice(system_prompt=prompt)

        return choice

    small = Looking()
    mortal = Mortal(store, at=5)
    with pytest.raises(Died):
        await Flujo(desk(small, small, once("first")), state=mortal).run_async("?", run_id="one")
    assert "desk#agent" in [event.address for event in await store.events("one")]
    result = await Flujo(desk(small, small, once("second")), state=store).resume_async("one")
    assert result.unwrap() == "done"
    assert chosen == ["first"]
    assert len(small.told) == 3  # the second turn twice: nobody knew how it ended
    assert set(small.told) == {"first"}


async def test_what_may_hold_a_key_is_not_recorded() -> None:
    """It stays as the agent has it, and so do settings that cannot be recorded."""
    store, model = MemoryStore(), ScriptedModel("done")
    limit = httpx2.Timeout(3)
    settings = {"extra_headers": {"X-Key": "top secret"}, "timeout": limit, "max_tokens": 9}
    agent = ModelAgent(model, settings=settings, name="desk")
    await Flujo(Step(ContextualAgentFactory(agent, choose_nothing)), state=store).run_async("?", run_id="one")
    assert not [event for event in await store.events("one") if b"top secret" in event.body]
    told = model.asked[0].settings or {}
    assert (told.get("extra_headers"), told.get("timeout")) == ({"X-Key": "top secret"}, limit)
    assert told.get("max_tokens") == 9


def test_an_earlier_step_may_ask_for_a_model_by_its_name() -> None:
    permitted = MayMutate("reconfigure", parameters=["desk.model", "desk.temperature"])

    @step(may_mutate=permitted)
    async def triage(text: str) -> Reconfigure[str]:
        return Reconfigure(text, step="desk", model="large", temperature=0)

    small, large = ScriptedModel("small"), ScriptedModel("large")
    result = Flujo(triage >> desk(small, large, choose_nothing), state=MemoryStore()).run("?")
    assert result.unwrap() == "large"
    assert (large.asked[0].settings or {}).get("temperature") == 0


def choose_nothing(context: Desk) -> AgentChoice:
    return AgentChoice()


def test_wherever_it_dies() -> None:
    lives = Lives()
    lives.everywhere(
        lambda: lives.run(
            lambda: desk(Looking(), Looking()), "?", context=Desk(), context_model=Desk
        ).unwrap()
    )


def test_the_choice_may_see_the_input_too() -> None:
    def by_length(text: str, context: Desk) -> AgentChoice:
        return AgentChoice(model="large" if len(text) > 3 else None)

    small, large = ScriptedModel("small"), ScriptedModel("large")
    node = desk(small, large, by_length)
    assert Flujo(node).run("long text").unwrap() == "large"

    @step
    async def number(text: str) -> int:
        return len(text)

    with pytest.raises(PlanError, match="takes str, but is given int"):
        compile_plan(number >> node)


def test_the_context_that_it_asks_for_is_the_run_s() -> None:
    assert compile_plan(desk(ScriptedModel(), ScriptedModel())).context_model is Desk


def test_what_it_does_to_the_context_is_forgotten() -> None:
    def noted(context: Desk) -> AgentChoice:
        context.notes.append("chosen")
        context.language = "de"
        return AgentChoice()

    result = Flujo(desk(ScriptedModel("x"), ScriptedModel(), noted), context_model=Desk).run("?")
    assert result.context == Desk()


def test_a_role_may_be_made_too() -> None:
    def german(context: Desk) -> AgentChoice:
        return AgentChoice(system_prompt="Sortiere.")

    model = ScriptedModel(UseTool("final_result", {"response": "a"}))
    factory = ContextualAgentFactory(ClassifierAgent(["a", "b"], model=model), german)
    assert Flujo(Step(factory)).run("x").unwrap() == "a"
    assert model.asked[0].instructions == "Sortiere."
    assert model.asked[0].said.startswith("<document-")
    assert factory.part_of_plan.startswith("contextual classifier/1/")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (AgentChoice(tools=("refnd",)), "did you mean 'refund'?"),
        (AgentChoice(model="lrge"), "did you mean 'large'?"),
        (AgentChoice(fallbacks=("none",)), "known here: large"),
        (AgentChoice(retries=-1), "retries=-1"),
        (AgentChoice(settings={"extra_headers": {"X-Key": "k"}}), "choices are recorded"),
        ("large", "'large' was chosen"),
    ],
)
def test_a_choice_that_cannot_be_made(choice: Any, said: str) -> None:
    def choose(context: Desk) -> Any:
        return choice

    result = Flujo(desk(ScriptedModel("x"), ScriptedModel("x"), choose), state=MemoryStore()).run("?")
    assert isinstance(result.error, StepFailed)
    assert said in str(result.error) + str(result.error.__cause__)


def test_what_cannot_work_is_refused_at_once() -> None:
    agent = ModelAgent("openai:gpt-5", tools=[look], name="desk")

    def asks_too_much(text: str, more: str) -> AgentChoice:
        return AgentChoice()

    with pytest.raises(PipelineError, match="'more' has no source"):
        ContextualAgentFactory(agent, asks_too_much)
    with pytest.raises(PipelineError, match="two tools are called 'look'"):
        ContextualAgentFactory(agent, choose, tools=[look])
    nothing: Any = None
    with pytest.raises(PipelineError, match="pass a ModelAgent"):
        ContextualAgentFactory(nothing, choose)
    with pytest.raises(PipelineError, match="choose=None"):
        ContextualAgentFactory(agent, nothing)

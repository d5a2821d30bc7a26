"""Agents in runs: each request and each call is recorded, paid once, and never made twice."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel
from pydantic_ai import Agent, FunctionToolset, ModelRetry, RunContext, Tool
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from flujo import (
    Decision,
    Flujo,
    FlujoTool,
    MayMutate,
    MemoryStore,
    PipelineContext,
    PipelineResult,
    Quota,
    Reconfigure,
    Retry,
    Step,
    StepInfo,
    StreamingStep,
)
from flujo.agents import AgentBuilder, ModelAgent, make_agent_async
from flujo.engine import Chunk, Finished, ToolCalled
from flujo.errors import (
    AnswerRejected,
    ConfigError,
    OutputRejected,
    PipelineError,
    QuotaExceeded,
    RecordError,
    StepFailed,
)
from flujo.journal.store import Batch, Committed
from flujo.pipeline.waits import PauseForHumanInput
from flujo.testing import Died, Lives, Mortal, Reply, ScriptedModel, Status, UseTool, VirtualClock


class Forecast(BaseModel):
    city: str
    degrees: int


class Level(Enum):
    HIGH = "high"


class Desk:
    """Tools that remember who called them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def weather(self, city: str) -> dict[str, Any]:
        """Tell the weather of a city."""
        self.calls.append(("weather", city))
        return {"city": city, "degrees": len(city)}

    def pay(self, amount: int, info: StepInfo) -> str:
        """Pay an amount in euros."""
        self.calls.append(("pay", amount))
        return f"paid {amount} as {info.idempotency_key}"


def clerk(model: Any, desk: Desk, **settings: Any) -> ModelAgent[Any]:
    tools = [FlujoTool(desk.weather), FlujoTool(desk.pay, needs_approval=True)]
    return ModelAgent(model, "Be brief.", tools=tools, name="clerk").replace(**settings)


def use_weather(city: str) -> UseTool:
    return UseTool("weather", {"city": city})


def use_pay(amount: int) -> UseTool:
    return UseTool("pay", {"amount": amount})


TALK = (
    [
        use_weather("Rome"),
        use_weather("Oslo"),
        use_pay(5),
    ],
    use_weather("Bern"),
    "It is done.",
)


async def kinds(store: MemoryStore, run_id: str) -> list[tuple[str, str]]:
    return [(event.kind, event.address) for event in await store.events(run_id)]


async def test_each_request_and_each_call_is_an_effect_with_an_address() -> None:
    desk, store = Desk(), MemoryStore()
    runner = Flujo(Step(clerk(ScriptedModel(*TALK), desk)), state=store)
    paused = await runner.run_async("go", run_id="one")
    (request,) = paused.pending
    assert (request.address, request.kind) == ("clerk#approval-3", "tool")
    assert request.subject == {"tool": "pay", "arguments": {"amount": 5}}
    assert desk.calls == [("weather", "Rome"), ("weather", "Oslo")]  # the rest of the turn went on
    result = await runner.resume_async("one", Decision("approve", actor="ada"))
    assert result.unwrap() == "It is done."
    assert desk.calls[2:] == [("pay", 5), ("weather", "Bern")]
    effects = [address for kind, address in await kinds(store, "one") if kind == "effect"]
    assert effects == [
        "clerk#model",
        "clerk#tool",
        "clerk#tool-2",
        "clerk#tool-3",
        "clerk#model-2",
        "clerk#tool-4",
        "clerk#model-3",
    ]
    assert (result.usage.requests, result.usage.tool_calls) == (3, 4)


async def test_a_tool_is_given_a_key_of_its_own_call() -> None:
    desk, model = Desk(), ScriptedModel(use_pay(1), "done")
    agent = ModelAgent(model, tools=[desk.pay], name="clerk")
    await Flujo(Step(agent), state=MemoryStore()).run_async("go", run_id="one")
    assert "paid 1 as one:clerk#tool" in model.asked[1].said


@pytest.mark.parametrize(
    ("decision", "paid", "told"),
    [
        (Decision("approve"), [5], "paid 5"),
        (Decision("edit", {"amount": 7}), [7], "paid 7"),
        (Decision("edit", {"tool": "pay", "arguments": {"amount": 8}}), [8], "paid 8"),
        (Decision("deny", reason="too much"), [], "denied this call: too much"),
    ],
)
async def test_a_person_decides_about_a_call(decision: Decision, paid: list[int], told: str) -> None:
    desk, model = Desk(), ScriptedModel(use_pay(5), "done")
    runner = Flujo(Step(clerk(model, desk)), state=MemoryStore())
    await runner.run_async("go", run_id="one")
    assert (await runner.resume_async("one", decision)).unwrap() == "done"
    assert [amount for _, amount in desk.calls] == paid
    assert told in model.asked[1].conversation


async def test_what_a_tool_yields_is_given_as_it_is_recorded() -> None:
    def count(to: int) -> Iterator[int]:
        """Count."""
        yield from range(to)

    model = ScriptedModel(UseTool("count", {"to": 3}), "done")
    runner = Flujo(Step(ModelAgent(model, tools=[count], name="clerk")), state=MemoryStore())
    assert (await runner.run_async("go", run_id="one")).status == "completed"
    assert model.asked[1].said == "[0,1,2]"
    assert not (await runner.replay("one")).differences


async def test_an_edit_that_does_not_fit_is_refused_at_once() -> None:
    desk, model = Desk(), ScriptedModel(use_pay(5), "done")
    runner = Flujo(Step(clerk(model, desk)), state=MemoryStore())
    await runner.run_async("go", run_id="one")
    for edited in ({"amount": "much"}, {"tool": "pay", "arguments": {"amount": "much"}}):
        with pytest.raises(AnswerRejected, match="amount: Input should be a valid integer"):
            await runner.resume_async("one", Decision("edit", edited))
    assert (await runner.resume_async("one", Decision("edit", {"amount": 2}))).status == "completed"
    assert desk.calls == [("pay", 2)]


async def test_an_edit_whose_tool_knows_more_than_its_schema_tells_is_asked_about_again() -> None:
    def even(amount: int) -> int:
        assert amount % 2 == 0
        return amount

    def pay(amount: Annotated[int, AfterValidator(even)]) -> str:
        """Pay."""
        return f"paid {amount}"

    agent = ModelAgent(
        ScriptedModel(use_pay(4), "done"), tools=[FlujoTool(pay, needs_approval=True)], name="clerk"
    )
    runner = Flujo(Step(agent), state=MemoryStore())
    await runner.run_async("go", run_id="one")
    again = await runner.resume_async("one", Decision("edit", {"amount": 3}))
    assert again.status == "paused"
    assert "does not fit: amount: Assertion failed" in again.pending[0].prompt


async def test_what_a_person_answers_in_the_place_of_a_tool_fits_what_it_asked_for() -> None:
    def count(what: str) -> str:
        """Count."""
        raise PauseForHumanInput("how many?", schema=int)

    model = ScriptedModel(UseTool("count", {"what": "apples"}), "done")
    runner = Flujo(Step(ModelAgent(model, tools=[count], name="clerk")), state=MemoryStore())
    await runner.run_async("go", run_id="one")
    for odd in (Decision("edit", "lots"), Decision("edit", [1]), Decision("approve")):
        with pytest.raises(AnswerRejected, match="clerk#answer: the answer does not fit"):
            await runner.resume_async("one", odd)
    assert (await runner.resume_async("one", 7)).unwrap() == "done"


async def test_calls_of_one_turn_are_approved_one_by_one() -> None:
    desk = Desk()
    model = ScriptedModel([use_pay(1), use_pay(2)], "done")
    runner = Flujo(Step(clerk(model, desk)), state=MemoryStore())
    first = await runner.run_async("go", run_id="one")
    assert [request.address for request in first.pending] == ["clerk#approval", "clerk#approval-2"]
    second = await runner.resume_async("one", Decision("approve"), request="clerk#approval-2")
    assert [request.address for request in second.pending] == ["clerk#approval"]
    assert (await runner.resume_async("one", Decision("deny"))).unwrap() == "done"
    assert desk.calls == [("pay", 2)]


async def test_approval_by_the_arguments() -> None:
    desk, model = (
        Desk(),
        ScriptedModel([use_pay(1), use_pay(50)], "done"),
    )

    def large(arguments: Mapping[str, Any]) -> bool:
        return arguments["amount"] > 10

    agent = ModelAgent(model, tools=[FlujoTool(desk.pay, needs_approval=large)], name="clerk")
    paused = await Flujo(Step(agent), state=MemoryStore()).run_async("go")
    assert [request.subject["arguments"] for request in paused.pending] == [{"amount": 50}]
    assert desk.calls == [("pay", 1)]


def test_nothing_is_lost_or_done_twice_wherever_the_process_dies() -> None:
    lives = Lives()

    def passage() -> None:
        desk, asked = Desk(), list[int]()

        def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            """Answer by what was said, as a model does, not by how often it was asked."""
            turn = sum(isinstance(message, ModelResponse) for message in messages)
            asked.append(turn)
            calls: list[list[tuple[str, dict[str, Any]]]] = [
                [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"}), ("pay", {"amount": 5})],
                [("weather", {"city": "Bern"})],
            ]
            if turn == len(calls):
                return ModelResponse([TextPart("It is done.")])
            uses = enumerate(calls[turn])
            return ModelResponse([ToolCallPart(name, given, f"{turn}-{at}") for at, (name, given) in uses])

        model = FunctionModel(answer)
        result = lives.run(
            Step(clerk(model, desk)), "go", answers={"clerk#approval-3": Decision("approve")}, run_id="one"
        )
        assert result.output == "It is done."
        assert (result.usage.requests, result.usage.tool_calls) == (3, 4)
        # What was done but not recorded is done again: at most the two that ran side by side.
        assert len(desk.calls) <= 4 + 2
        assert len(asked) <= 4

    lives.everywhere(passage)


@pytest.mark.parametrize(
    "given",
    [
        Decimal("1.10"),
        date(2026, 1, 2),
        Level.HIGH,
        Forecast(city="Oslo", degrees=4),
        {"b": b"x"},
        float("nan"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_a_tool_gives_is_told_the_same_wherever_the_process_dies(given: Any) -> None:
    """It is read from the journal as JSON: a model that was told of a date would be told of a text then."""
    lives = Lives()

    def look() -> Any:
        """Look."""
        return given

    def passage() -> None:
        model = ScriptedModel(UseTool("look", {}), UseTool("look", {}), "It is done.")
        assert lives.run(Step(ModelAgent(model, tools=[look])), "go", run_id="one").output == "It is done."

    lives.everywhere(passage)


async def test_what_cannot_be_recorded_of_a_tool_is_said_with_what_to_do() -> None:
    def look() -> Any:
        """Look."""
        return "\ud800"

    agent = ModelAgent(ScriptedModel(UseTool("look", {}), "done"), tools=[look])
    result = await Flujo(Step(agent), state=MemoryStore()).run_async("go")
    assert isinstance(result.error, RecordError)
    assert "a tool gave str, which cannot be written as JSON" in str(result.error)


async def test_an_attempt_that_failed_is_gone_on_from_where_it_failed() -> None:
    desk = Desk()
    model = ScriptedModel(use_weather("Rome"), RuntimeError("boom"), "done")
    runner = Flujo(Step(clerk(model, desk), retry=2), state=MemoryStore(), clock=VirtualClock())
    result = await runner.run_async("go")
    assert result.unwrap() == "done"
    assert desk.calls == [("weather", "Rome")]
    assert (result.usage.requests, result.usage.tool_calls) == (2, 1)


async def test_what_a_validator_rejects_goes_back_to_the_model_in_the_same_conversation() -> None:
    model = ScriptedModel("too long an answer", "short")

    def brief(output: str) -> str | None:
        return "at most one word, please" if " " in output else None

    result = await Flujo(
        Step(ModelAgent(model, name="clerk"), validators=[brief], retry=2), clock=VirtualClock()
    ).run_async("go")
    assert result.unwrap() == "short"
    assert "at most one word, please" in model.asked[1].said
    assert "too long an answer" in model.asked[1].conversation


async def test_a_validator_that_is_never_content_ends_the_step() -> None:
    model = ScriptedModel("a b", "c d")

    def never(output: str) -> bool:
        return False

    runner = Flujo(
        Step(ModelAgent(model, name="clerk"), validators=[never], retry=2),
        clock=VirtualClock(),
    )
    assert isinstance((await runner.run_async("go")).error, OutputRejected)


async def test_a_tool_that_asks_a_person_is_not_called_again_for_the_answer() -> None:
    calls: list[str] = []

    async def consult(question: str) -> str:
        """Consult somebody."""
        calls.append(question)
        raise PauseForHumanInput(f"What of {question}?", subject="nothing known", schema=str)

    model = ScriptedModel(UseTool("consult", {"question": "Rome"}), "done")
    runner = Flujo(Step(ModelAgent(model, tools=[consult], name="clerk")), state=MemoryStore())
    paused = await runner.run_async("go", run_id="one")
    assert paused.pending[0].prompt == "What of Rome?"
    assert (await runner.resume_async("one", "built in a day")).unwrap() == "done"
    assert "built in a day" in model.asked[1].said
    assert calls == ["Rome"]


async def test_a_tool_may_ask_from_inside_while_others_of_its_turn_go_on() -> None:
    desk = Desk()

    async def sign(info: StepInfo) -> str:
        """Have it signed."""
        return "signed by " + await info.ask("Who signs?")

    model = ScriptedModel([UseTool("sign", {}), use_weather("Rome")], "done")
    agent = ModelAgent(model, tools=[sign, desk.weather], name="clerk")
    runner = Flujo(Step(agent), state=MemoryStore())
    await runner.run_async("go", run_id="one")
    assert desk.calls == [("weather", "Rome")]
    assert (await runner.resume_async("one", "Ada")).unwrap() == "done"
    assert "signed by Ada" in model.asked[1].conversation
    assert desk.calls == [("weather", "Rome")]


class Behind(MemoryStore):
    """A store that says late what it has committed."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0

    def submit(self, batch: Batch) -> Committed:
        committed, told = super().submit(batch), asyncio.get_running_loop().create_future()
        self.open += 1
        asyncio.get_running_loop().call_later(0.002, self._tell, committed, told)
        return told

    def _tell(self, committed: Committed, told: Committed) -> None:
        self.open -= 1
        if not told.done():
            told.set_result(committed.result())


async def test_nothing_is_asked_or_called_before_the_store_has_what_was_given_before() -> None:
    store, begun = Behind(), list[tuple[str, int]]()

    class Watched(ScriptedModel):
        async def request(self, *given: Any, **more: Any) -> ModelResponse:
            begun.append(("model", store.open))
            return await super().request(*given, **more)

    async def look() -> str:
        """Look."""
        begun.append(("tool", store.open))
        return "seen"

    agent = ModelAgent(Watched(UseTool("look", {}), UseTool("look", {}), "done"), tools=[look], name="clerk")
    result = await Flujo(Step(agent), state=store).run_async("go")
    assert result.unwrap() == "done"
    assert begun == [("model", 0), ("tool", 0), ("model", 0), ("tool", 0), ("model", 0)]
    assert store.open == 0


async def test_an_at_most_once_tool_is_never_called_twice() -> None:
    """The process dies in the call: a person says what became of it."""
    desk, inner = Desk(), MemoryStore()
    model = ScriptedModel(use_pay(5), "done")

    async def dying(amount: int) -> str:
        """Pay."""
        desk.calls.append(("pay", amount))
        raise Died

    fatal = ModelAgent(model, tools=[FlujoTool(dying, name="pay", effects="at_most_once")], name="clerk")
    with pytest.raises(Died):
        await Flujo(Step(fatal), state=Mortal(inner)).run_async("go", run_id="one")
    runner = Flujo(Step(fatal), state=inner)
    paused = await runner.resume_async("one", take_over=True)
    assert [(request.kind, request.address) for request in paused.pending] == [("in_doubt", "clerk#tool")]
    result = await runner.resume_async("one", Decision("edit", {"kind": "value", "given": "paid 5"}))
    assert result.unwrap() == "done"
    assert desk.calls == [("pay", 5)]
    assert "paid 5" in model.asked[1].said


async def test_the_journal_grows_with_new_words_only() -> None:
    turns = 200
    model = ScriptedModel(*[use_weather("Rome")] * turns, "done")
    store = MemoryStore()
    agent = ModelAgent(model, "x" * 20_000, tools=[Desk().weather], name="clerk", max_turns=None)
    await Flujo(Step(agent), state=store).run_async("go", run_id="one")
    requests = [event for event in await store.events("one") if event.address.startswith("clerk#model")]
    sizes = [len(event.body) for event in requests]
    assert len(sizes) == turns + 1
    early, late = sum(sizes[10:60]), sum(sizes[-60:-10])
    assert late < early * 1.05
    assert max(sizes) < 4000


class Tenant(PipelineContext):
    name: str = "acme"


@pytest.mark.parametrize("durable", [False, True])
async def test_a_conversation_leaves_nothing_to_the_garbage_collector(durable: bool) -> None:
    """What holds on to itself stays until it is looked for, and looking costs a good part of a turn."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        call = ToolCallPart("weather", {"city": "Rome"})
        return ModelResponse([call if len(messages) == 1 else TextPart("done")])

    agent = ModelAgent(FunctionModel(answer), tools=[Desk().weather], name="clerk")
    runner = Flujo(Step(agent), state=MemoryStore() if durable else None)

    async def talk() -> None:
        assert (await runner.run_async("go")).unwrap() == "done"

    await talk()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await talk()
        await asyncio.sleep(0.01)
        gc.collect()
        left = {type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith("flujo.")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left & {"Run", "Turns", "Note", "Conversation", "StepInfo"}


async def test_an_agent_of_pydantic_ai_as_it_is() -> None:
    model = ScriptedModel(UseTool("whose", {}), Forecast(city="Rome", degrees=21))
    agent = Agent(model, output_type=Forecast, deps_type=Tenant, name="forecaster")

    @agent.tool
    def whose(ctx: RunContext[Tenant]) -> str:
        return ctx.deps.name

    runner = Flujo(Step(agent), state=MemoryStore(), context_model=Tenant)
    assert runner.plan.root.output_type is Forecast
    result = await runner.run_async("go", run_id="one")
    assert result.unwrap() == Forecast(city="Rome", degrees=21)
    assert "acme" in model.asked[1].said
    assert result.steps[0].name == "forecaster"
    again = await runner.result("one")
    assert again.output == Forecast(city="Rome", degrees=21)


async def test_a_tool_of_pydantic_ai_is_asked_about_and_called_as_any() -> None:
    asked: list[str] = []

    def whose(ctx: RunContext[Any], city: str) -> str:
        """Say whose city it is."""
        asked.append(ctx.tool_name or "")
        return f"{city} is nobody's"

    model = ScriptedModel(UseTool("whose", {"city": "Rome"}), "done")
    agent = ModelAgent(model, tools=[Tool(whose, requires_approval=True)], name="clerk")
    runner = Flujo(Step(agent), state=MemoryStore())
    paused = await runner.run_async("go", run_id="one")
    assert paused.pending[0].subject == {"tool": "whose", "arguments": {"city": "Rome"}}
    assert (await runner.resume_async("one", Decision("approve"))).unwrap() == "done"
    assert asked == ["whose"]
    assert "Rome is nobody's" in model.asked[1].said


async def test_a_call_that_its_own_toolset_asks_about_counts_once() -> None:
    paid: list[int] = []

    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    agent = Agent(
        ScriptedModel([use_pay(1), use_pay(2)], "It is done."),
        name="clerk",
        toolsets=[FunctionToolset([pay]).approval_required()],
    )
    runner = Flujo(Step(agent), state=MemoryStore(), quota=Quota(tool_calls=2))
    paused = await runner.run_async("go", run_id="one")
    assert [request.subject["arguments"]["amount"] for request in paused.pending] == [1, 2]
    await runner.resume_async("one", Decision("deny"), request=paused.pending[0].id)
    result = await runner.resume_async("one", Decision("approve"))
    assert (result.unwrap(), paid, result.usage.tool_calls) == ("It is done.", [2], 1)


async def test_dependencies_that_a_run_does_not_have_are_refused_at_once() -> None:
    with pytest.raises(PipelineError, match="which a run does not have"):
        Step(Agent(ScriptedModel("x"), deps_type=Desk, name="odd"))


async def test_a_tool_that_has_the_model_mend_its_call() -> None:
    async def weather(city: str) -> str:
        """Tell the weather."""
        if city == "Atlantis":
            raise ModelRetry("no such city")
        return "sun"

    model = ScriptedModel(
        use_weather("Atlantis"),
        UseTool("weather", {"town": 1}),
        use_weather("Rome"),
        "done",
    )
    lives = Lives()
    result = await lives.run_async(Step(ModelAgent(model, tools=[weather], retries=3, name="clerk")), "go")
    assert result.output == "done"
    assert "no such city" in model.asked[1].said


async def test_what_a_request_may_cost_is_set_aside_before_it_is_sent() -> None:
    model = ScriptedModel("one", "two", name="gpt-4o", provider="openai")
    agent = ModelAgent(model, name="clerk", settings={"max_tokens": 100})
    poor = Flujo(Step(agent), quota=Quota(usd="0.0001"))
    result = await poor.run_async("go")
    assert isinstance(result.error, QuotaExceeded)
    assert model.asked == []
    rich = Flujo(Step(agent), quota=Quota(usd="1"))
    assert (await rich.run_async("go")).unwrap() == "one"
    silent = Flujo(Step(agent.replace(settings={})), quota=Quota(usd="1"))
    error = (await silent.run_async("go")).error
    assert isinstance(error, StepFailed)
    assert "max_tokens" in str(error)


@pytest.mark.parametrize("more", [{"of": "tenant"}, {"of": "pipeline"}, {"per": "day"}])
async def test_what_a_request_may_cost_is_set_aside_on_accounts_of_many_runs(more: Any) -> None:
    model = ScriptedModel("one", "two", name="gpt-4o", provider="openai", input_tokens=100, output_tokens=80)
    agent = ModelAgent(model, name="clerk", settings={"max_tokens": 100})
    runner = Flujo(Step(agent), state=MemoryStore(), quota=Quota(usd=1, output_tokens=150, **more))
    assert (await runner.run_async("go", tenant="acme")).unwrap() == "one"
    refused = (await runner.run_async("go", tenant="acme")).error
    assert isinstance(refused, QuotaExceeded)
    assert (refused.meter, refused.spent, refused.asked) == ("output_tokens", 80, 100)
    assert len(model.asked) == 1
    silent = Flujo(Step(agent.replace(settings={})), state=MemoryStore(), quota=Quota(usd=1, **more))
    assert "max_tokens" in str((await silent.run_async("go", tenant="acme")).error)


@pytest.mark.parametrize("more", [{}, {"of": "tenant"}])
async def test_requests_that_are_sent_again_are_requests(more: Any) -> None:
    """Also those that no model of a chain answered."""
    down = Retry(3, 0.0)

    async def sent(most: int) -> tuple[PipelineResult[Any, Any], int]:
        models = ScriptedModel(Status(503), Status(503), Status(503)), ScriptedModel(Status(503), "done")
        agent = ModelAgent(models[0], fallbacks=[models[1]], requests=down, name="clerk")
        runner = Flujo(Step(agent), state=MemoryStore(), quota=Quota(requests=most, **more))
        return await runner.run_async("go"), sum(len(model.asked) for model in models)

    result, asked = await sent(5)
    assert (result.unwrap(), result.usage.requests, asked) == ("done", 5, 5)
    for most in (4, 3, 2, 1):
        result, asked = await sent(most)
        assert isinstance(result.error, QuotaExceeded)
        assert (result.usage.requests, asked) == (most, most)


async def test_what_the_dearest_of_several_models_may_cost_is_set_aside() -> None:
    cheap = ScriptedModel("one", name="gpt-4o-mini", provider="openai")
    dear = ScriptedModel("two", name="gpt-4o", provider="openai")

    async def asked(*models: ScriptedModel) -> Any:
        first, *others = models
        agent = ModelAgent(first, fallbacks=others, name="clerk", settings={"max_tokens": 1000})
        error = (await Flujo(Step(agent), quota=Quota(usd="0.000001")).run_async("go")).error
        assert isinstance(error, QuotaExceeded)
        return error.asked

    alone = [await asked(model) for model in (cheap, dear)]
    assert alone[0] < alone[1]
    assert await asked(cheap, dear) == alone[1]
    assert await asked(dear, cheap) == alone[1]


async def test_cached_tokens_are_priced_as_such() -> None:
    plain = ScriptedModel(Reply("x", input_tokens=10_000, output_tokens=10), name="gpt-4o", provider="openai")
    cached = ScriptedModel(
        Reply("x", input_tokens=10_000, output_tokens=10, cached_tokens=9_000),
        name="gpt-4o",
        provider="openai",
    )
    costs = [(await Flujo(Step(ModelAgent(model))).run_async("go")).usage.cost for model in (plain, cached)]
    assert 0 < costs[1] < costs[0]


def test_a_builder_is_immutable_at_every_link() -> None:
    begun = AgentBuilder().with_model("test").with_tools(Desk().weather)
    one = begun.with_prompt("A").with_output(Forecast).build()
    other = (
        begun.with_prompt("B").with_settings(temperature=0).with_settings(max_tokens=5).with_name("b").build()
    )
    assert (one.system_prompt, one.output_type, one.name) == ("A", Forecast, "agent")
    assert (other.system_prompt, other.output_type, dict(other.settings)) == (
        "B",
        str,
        {"temperature": 0, "max_tokens": 5},
    )
    assert [tool.name for tool in begun.build().tools if isinstance(tool, FlujoTool)] == ["weather"]
    with pytest.raises(PipelineError, match="no model"):
        AgentBuilder().build()
    with pytest.raises(PipelineError, match="no setting colour"):
        one.replace(colour="red")


@pytest.mark.parametrize("model", ["nobody:gpt", "gpt", "openai:gpt-4o"])
async def test_a_model_that_cannot_be_used(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"is not known|there is no key"):
        await make_agent_async(model, "x")


def test_a_tool_that_cannot_be_told() -> None:
    odd: Any = eval("lambda city: city")  # a function that tells nothing

    with pytest.raises(PipelineError, match="what 'city' takes"):
        ModelAgent("test", tools=[FlujoTool(odd, name="odd")])
    with pytest.raises(PipelineError, match="two tools are named"):
        ModelAgent("test", tools=[Desk().weather, Desk().weather])
    with pytest.raises(PipelineError, match="cannot name a tool"):
        FlujoTool(lambda: None)


async def test_what_an_agent_says_and_calls_is_streamed_as_it_comes() -> None:
    desk, model = Desk(), ScriptedModel(use_weather("Rome"), Reply("It is ", "sunny."))
    agent = ModelAgent(model, tools=[desk.weather], name="clerk")
    runner = Flujo(Step(agent), state=MemoryStore())
    events = [event async for event in runner.stream_async("go", run_id="one")]
    shown = [event for event in events if isinstance(event, Chunk | ToolCalled)]
    assert [(one.tool, one.arguments) for one in shown if isinstance(one, ToolCalled)] == [
        ("weather", {"city": "Rome"})
    ]
    said = [one.value for one in shown if isinstance(one, Chunk)]
    assert len(said) > 1
    assert "".join(said) == "It is sunny."
    assert all(asked.streamed for asked in model.asked)
    result = await runner.result("one")
    assert result.output == "It is sunny."
    assert (result.usage.requests, result.usage.tool_calls) == (2, 1)


async def test_an_answer_that_breaks_off_is_no_success() -> None:
    model, store = ScriptedModel(Reply("It is", ConnectionError("cut"))), MemoryStore()
    runner = Flujo(Step(ModelAgent(model, name="clerk")), state=store)
    *_, finished = [event async for event in runner.stream_async("go", run_id="one")]
    assert isinstance(finished, Finished)
    assert finished.result.status == "failed"
    assert [event.kind for event in await store.events("one")].count("effect") == 0


async def test_a_request_that_fails_in_passing_is_sent_again_also_where_it_is_streamed() -> None:
    clock = VirtualClock()
    model = ScriptedModel(Status(429, retry_after=3), "done")
    runner = Flujo(Step(ModelAgent(model, name="clerk")), clock=clock)
    *_, finished = [event async for event in runner.stream_async("go")]
    assert isinstance(finished, Finished)
    assert finished.result.unwrap() == "done"
    assert sum(clock.slept) >= 3


async def test_agents_stream_to_one_another() -> None:
    writer = ModelAgent(ScriptedModel(Reply("A red ", "fox.")), "Write.", name="writer")

    async def shout(words: AsyncIterator[str]) -> AsyncIterator[str]:
        async for word in words:
            yield word.upper()

    pipeline = StreamingStep(writer) >> StreamingStep(shout)
    events = [event async for event in Flujo(pipeline, state=MemoryStore()).stream_async("go", run_id="one")]
    said = [one.value for one in events if isinstance(one, Chunk) and one.address == "shout"]
    assert len(said) > 1
    assert "".join(said) == "A RED FOX."
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.result.unwrap() == "A RED FOX."
    assert finished.result.usage.requests == 1


async def test_a_model_that_fails_in_the_middle_of_a_stream_fails_the_run() -> None:
    writer = ModelAgent(
        ScriptedModel(Reply("A red ", ConnectionError("cut"))), name="writer", requests=Retry(1)
    )
    result = await Flujo(StreamingStep(writer)).run_async("go")
    assert result.status == "failed"


def test_a_streaming_agent_survives_any_death() -> None:
    lives = Lives()

    def passage() -> None:
        model = FunctionModel(
            lambda messages, info: ModelResponse([TextPart("A red fox.")]), stream_function=_told
        )
        result = lives.run(StreamingStep(ModelAgent(model, name="writer")), "go")
        assert result.output == "A red fox."
        assert result.usage.requests == 1

    lives.everywhere(passage)


async def _told(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    for word in ("A ", "red ", "fox."):
        yield word


def test_an_agent_that_gives_no_text_cannot_stream() -> None:
    with pytest.raises(PipelineError, match="cannot stream"):
        StreamingStep(ModelAgent(ScriptedModel("x"), output_type=Forecast))


async def test_an_earlier_step_sets_what_a_later_agent_is_told() -> None:
    model = ScriptedModel("done")
    agent = ModelAgent(model, "Be brief.", name="draft", settings={"max_tokens": 50})

    async def plan(topic: str) -> str | Reconfigure[str]:
        return Reconfigure(topic, step="draft", system_prompt="Be long.", temperature=0.2)

    allowed = MayMutate("reconfigure", parameters=["draft.*"])
    pipeline = Step(plan, may_mutate=allowed) >> Step(agent)
    assert (await Flujo(pipeline, state=MemoryStore()).run_async("foxes")).unwrap() == "done"
    assert model.asked[0].instructions == "Be long."
    settings = model.asked[0].settings or {}
    assert (settings.get("max_tokens"), settings.get("temperature")) == (50, 0.2)
    with pytest.raises(PipelineError, match="no parameter colour"):
        agent.reconfigured({"colour": "red"})

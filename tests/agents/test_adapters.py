"""Agents of other frameworks in steps."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from agents.models.interface import Model
from agents.usage import Usage
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from pydantic import BaseModel
from typing_extensions import override

from agents import Agent, FunctionTool, ModelResponse, ModelSettings, function_tool
from flujo import (
    Decision,
    Flujo,
    FlujoTool,
    MemoryStore,
    Quota,
    Step,
    StepInfo,
)
from flujo import Usage as Used
from flujo.agents import ModelAgent
from flujo.agents.calls import at_work, schema_of
from flujo.agents.langchain import structured_tool_of
from flujo.agents.openai_sdk import function_tool_of
from flujo.agents.tools import for_model
from flujo.errors import PipelineError, PolicyDenied, QuotaExceeded, StoreError
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision
from flujo.testing import Died, Lives, Mortal, ScriptedModel, UseTool


class Said(Model):
    """A model of the SDK that answers from a list, by what was said before."""

    def __init__(self, *turns: list[Any]) -> None:
        self.turns = turns
        self.asked: list[Any] = []

    async def get_response(self, *given: Any, **more: Any) -> ModelResponse:
        said = given[1] if len(given) > 1 else more["input"]
        self.asked.append(said)
        turn = (
            0 if isinstance(said, str) else sum(item.get("type") == "function_call_output" for item in said)
        )
        return ModelResponse(self.turns[turn], Usage(requests=1, input_tokens=10, output_tokens=5), None)

    def stream_response(self, *given: Any, **more: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


def text(said: str) -> list[Any]:
    part = ResponseOutputText(annotations=[], text=said, type="output_text")
    return [
        ResponseOutputMessage(id="m", content=[part], role="assistant", status="completed", type="message")
    ]


def call(name: str, arguments: str, number: str = "") -> list[Any]:
    called = f"c-{name}{number}"
    return [ResponseFunctionToolCall(arguments=arguments, call_id=called, name=name, type="function_call")]


class Till:
    def __init__(self) -> None:
        self.paid: list[int] = []

    def tool(self, **settings: Any) -> FunctionTool:
        def pay(amount: int) -> str:
            """Pay an amount."""
            self.paid.append(amount)
            return f"paid {amount}"

        return function_tool(pay, **settings)


async def test_an_agent_of_the_openai_sdk_is_durable_turn_by_turn() -> None:
    till, model, store = Till(), Said(call("pay", '{"amount": 5}'), text("It is paid.")), MemoryStore()
    agent = Agent(name="clerk", model=model, tools=[till.tool()])
    result = await Flujo(Step(agent), state=store).run_async("go", run_id="one")
    assert result.unwrap() == "It is paid."
    assert till.paid == [5]
    assert (result.usage.requests, result.usage.input_tokens, result.usage.tool_calls) == (2, 20, 1)
    effects = [event.address for event in await store.events("one") if event.kind == "effect"]
    assert effects == ["clerk#model", "clerk#tool", "clerk#model-2"]


def test_an_agent_of_the_openai_sdk_survives_any_death() -> None:
    lives = Lives()

    def passage() -> None:
        till, model = Till(), Said(call("pay", '{"amount": 5}'), text("It is paid."))
        agent = Agent(name="clerk", model=model, tools=[till.tool()])
        assert lives.run(Step(agent), "go").output == "It is paid."
        assert len(till.paid) <= 2
        assert len(model.asked) <= 3

    lives.everywhere(passage)


@pytest.mark.parametrize(
    "given", [Decimal("1.10"), Used(1), {"at": {3}}], ids=lambda given: type(given).__name__
)
@pytest.mark.parametrize("ours", [True, False])
def test_what_a_tool_gives_is_told_to_the_openai_sdk_the_same_wherever_the_process_dies(
    ours: bool, given: Any
) -> None:
    lives = Lives()

    def look(at: int) -> Any:
        """Look."""
        return given

    def passage() -> None:
        model = Said(call("look", '{"at": 1}'), text("It is done."))
        tools: list[Any] = [function_tool_of(FlujoTool(look)) if ours else function_tool(look)]
        result = lives.run(Step(Agent(name="clerk", model=model, tools=tools)), "go", run_id="one")
        assert result.output == "It is done."

    lives.everywhere(passage)


@pytest.mark.parametrize(
    ("decision", "paid"),
    [(Decision("approve"), [5]), (Decision("edit", {"amount": 7}), [7]), (Decision("deny"), [])],
)
async def test_a_person_decides_about_a_call_of_the_openai_sdk(decision: Decision, paid: list[int]) -> None:
    till, model = Till(), Said(call("pay", '{"amount": 5}'), text("It is done."))
    agent = Agent(name="clerk", model=model, tools=[till.tool(needs_approval=True)])
    runner = Flujo(Step(agent), state=MemoryStore())
    paused = await runner.run_async("go", run_id="one")
    assert paused.pending[0].subject == {"tool": "pay", "arguments": {"amount": 5}}
    assert (await runner.resume_async("one", decision)).unwrap() == "It is done."
    assert till.paid == paid


class Bill(BaseModel):
    total: int


def test_what_an_agent_of_the_openai_sdk_gives_is_known_to_the_plan() -> None:
    assert Flujo(Step(Agent(name="clerk", output_type=Bill))).plan.root.output_type is Bill


def test_what_nothing_would_record_is_refused() -> None:
    with pytest.raises(PipelineError, match="MCP servers"):
        Step(Agent(name="clerk", mcp_servers=[object()]))  # type: ignore[list-item]  # never asked


async def test_a_runnable_of_langchain() -> None:
    answer = AIMessage(
        "Paris",
        usage_metadata={"input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
        response_metadata={"model_name": "gpt-4o"},
    )
    model = GenericFakeChatModel(messages=iter([answer]))
    chain = PromptTemplate.from_template("The capital of {country}?") | model
    result = await Flujo(Step(chain, name="capital"), state=MemoryStore()).run_async({"country": "France"})
    assert result.unwrap() == "Paris"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (7, 2)
    assert result.usage.cost > 0


async def test_a_lambda_of_langchain_keeps_its_type() -> None:
    def double(number: int) -> int:
        return 2 * number

    runner = Flujo(Step(RunnableLambda(double)))
    assert (await runner.run_async(4)).unwrap() == 8


class Bank:
    """One tool, described once, for every agent layer."""

    def __init__(self) -> None:
        self.paid: list[tuple[int, str]] = []

    async def pay(self, amount: int, info: StepInfo, currency: str = "EUR") -> str:
        """Pay an amount."""
        self.paid.append((amount, info.address))
        return f"paid {amount} {currency}"

    def tool(self) -> FlujoTool:
        return FlujoTool(self.pay, needs_approval=lambda arguments: arguments["amount"] > 10)


async def test_a_tool_of_ours_in_an_agent_of_the_openai_sdk() -> None:
    bank, model = Bank(), Said(call("pay", '{"amount": 50}'), text("It is paid."))
    agent = Agent(name="clerk", model=model, tools=[function_tool_of(bank.tool())])
    runner = Flujo(Step(agent), state=MemoryStore())
    paused = await runner.run_async("go", run_id="one")
    assert paused.pending[0].subject == {"tool": "pay", "arguments": {"amount": 50}}
    assert (await runner.resume_async("one", Decision("edit", {"amount": 7}))).unwrap() == "It is paid."
    assert [amount for amount, _ in bank.paid] == [7]


async def test_a_tool_of_ours_in_a_runnable_of_langchain() -> None:
    bank, store = Bank(), MemoryStore()
    tool = structured_tool_of(bank.tool())

    async def agent(amount: Any) -> str:
        return str(await tool.ainvoke({"amount": amount}))

    runner = Flujo(Step(RunnableLambda(agent), name="clerk"), state=store)
    assert (await runner.run_async(5, run_id="small")).unwrap() == "paid 5 EUR"
    paused = await runner.run_async(50, run_id="large")
    assert [request.address for request in paused.pending] == ["clerk#approval"]
    assert (await runner.resume_async("large", Decision("approve"))).unwrap() == "paid 50 EUR"
    assert bank.paid == [(5, "clerk#tool"), (50, "clerk#tool")]
    wrong = await runner.run_async("much", run_id="wrong")
    assert "amount: Input should be a valid integer" in wrong.unwrap()


@pytest.mark.parametrize("first", [Decision("approve"), Decision("edit", {"amount": 60}), Decision("deny")])
async def test_what_a_person_decided_about_one_call_holds_for_no_other(first: Decision) -> None:
    """What a runnable's own models say is not recorded: they may say something else when it runs again."""
    bank, amounts = Bank(), iter([50, 5000, 5000])
    tool = structured_tool_of(bank.tool())

    async def agent(_: str) -> str:
        return str(await tool.ainvoke({"amount": next(amounts)}))

    runner = Flujo(Step(RunnableLambda(agent), name="clerk"), state=MemoryStore())
    await runner.run_async("go", run_id="one")
    asked = await runner.resume_async("one", first)
    assert asked.pending[0].subject == {"tool": "pay", "arguments": {"amount": 5000}}
    assert bank.paid == []
    assert (await runner.resume_async("one", Decision("approve"))).unwrap() == "paid 5000 EUR"
    assert bank.paid == [(5000, "clerk#tool")]


def test_a_tool_is_told_the_same_way_to_every_layer() -> None:
    tool = Bank().tool()
    told = schema_of(tool)
    assert (set(told["properties"]), told["required"]) == ({"amount", "currency"}, ["amount"])
    assert for_model(tool).function_schema.json_schema["properties"].keys() == told["properties"].keys()
    assert function_tool_of(tool).params_json_schema == told


async def test_a_quota_holds_for_an_agent_of_the_openai_sdk_before_anything_is_sent() -> None:
    model = Said(text("It is done."))
    agent = Agent(name="clerk", model=model, model_settings=ModelSettings(max_tokens=100))
    for quota in (Quota(output_tokens=99), Quota(output_tokens=99, per="day")):
        refused = await Flujo(Step(agent), state=MemoryStore(), quota=quota).run_async("go")
        assert isinstance(refused.error, QuotaExceeded)
    assert model.asked == []
    allowed = await Flujo(Step(agent), quota=Quota(output_tokens=100)).run_async("go")
    assert (allowed.unwrap(), allowed.usage.output_tokens) == ("It is done.", 5)


async def test_what_is_sent_counts_with_the_tools_and_the_schema() -> None:
    async def least(**more: Any) -> int:
        agent = Agent(
            name="clerk", model=Said(text("{}")), model_settings=ModelSettings(max_tokens=1), **more
        )
        refused = await Flujo(Step(agent), quota=Quota(input_tokens=1)).run_async("go")
        assert isinstance(refused.error, QuotaExceeded)
        assert refused.error.meter == "input_tokens"
        return int(refused.error.asked)

    bare = await least()
    assert bare < await least(tools=[Till().tool()])
    assert bare < await least(output_type=Bill)
    assert bare < await least(handoffs=[Agent(name="other")])


async def test_an_answer_of_unknown_length_is_not_asked_for_under_a_quota_of_tokens() -> None:
    agent = Agent(name="clerk", model=Said(text("It is done.")))
    refused = await Flujo(Step(agent), quota=Quota(output_tokens=999)).run_async("go")
    assert "how long an answer of Said may be" in str(refused.error)
    for quota in (Quota(requests=9), Quota(input_tokens=999), Quota(tool_calls=9), Quota(seconds=9)):
        assert (await Flujo(Step(agent), quota=quota).run_async("go")).unwrap() == "It is done."


def once_of_the_sdk(tool: FlujoTool) -> Any:
    return Agent(
        name="clerk", model=Said(call("send", "{}"), text("It is sent.")), tools=[function_tool_of(tool)]
    )


def once_of_langchain(tool: FlujoTool) -> Any:
    made = structured_tool_of(tool)

    async def clerk(value: str) -> str:
        await made.ainvoke({})
        return "It is sent."

    return RunnableLambda(clerk)


LAYERS = pytest.mark.parametrize("layer", [once_of_the_sdk, once_of_langchain])


@LAYERS
async def test_a_tool_that_may_run_once_is_in_doubt_in_every_layer(
    layer: Callable[[FlujoTool], Any],
) -> None:
    """The process dies in the call: a person says what became of it."""
    inner, sent = MemoryStore(), list[int]()

    async def send() -> None:
        """Send it."""
        sent.append(1)
        raise Died

    clerk = Step(layer(FlujoTool(send, effects="at_most_once")), name="clerk")
    with pytest.raises(Died):
        await Flujo(clerk, state=Mortal(inner)).run_async("go", run_id="one")
    runner = Flujo(clerk, state=inner)
    paused = await runner.resume_async("one", take_over=True)
    assert [(request.kind, request.address) for request in paused.pending] == [("in_doubt", "clerk#tool")]
    result = await runner.resume_async("one", Decision("edit", "it was sent"))
    assert result.unwrap() == "It is sent."
    assert sent == [1]


@LAYERS
def test_a_tool_that_may_run_once_runs_once_in_every_layer(layer: Callable[[FlujoTool], Any]) -> None:
    lives = Lives()

    def passage() -> None:
        sent: list[int] = []

        def send() -> str:
            """Send it."""
            sent.append(1)
            return "sent"

        tool = FlujoTool(send, effects="at_most_once")
        result = lives.run(lambda: Step(layer(tool), name="clerk"), "go")
        assert result.unwrap() == "It is sent."
        assert len(sent) <= 1

    lives.everywhere(passage)


@LAYERS
async def test_policies_see_the_labels_of_a_tool_in_every_layer(layer: Callable[[FlujoTool], Any]) -> None:
    seen: list[Any] = []

    class Look(GovernancePolicy):
        def check_tool(self, tool_name: str, arguments: Any, context: PolicyContext) -> PolicyDecision:
            seen.append((tool_name, context.facts.get("labels")))
            return PolicyDecision.ALLOW

    tool = FlujoTool(lambda: "sent", "send", "Send it.", labels=frozenset({"egress"}))
    result = await Flujo(Step(layer(tool), name="clerk"), policies=[Look()]).run_async("go")
    assert result.unwrap() == "It is sent."
    assert seen == [("send", ["egress"])]


@LAYERS
async def test_a_slow_tool_is_given_up_in_every_layer(
    layer: Callable[[FlujoTool], Any],
) -> None:
    ended: list[str] = []

    async def send() -> None:
        """Send it."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("given up")

    result = await Flujo(Step(layer(FlujoTool(send, timeout=0.01)), name="clerk")).run_async("go")
    assert result.unwrap() == "It is sent."
    assert ended == ["given up"]


@LAYERS
@pytest.mark.parametrize("quota", [Quota(usd=1), Quota(usd=1, per="day")])
async def test_a_quota_counts_calls_in_every_layer(layer: Callable[[FlujoTool], Any], quota: Quota) -> None:
    sent: list[int] = []
    tool = FlujoTool(lambda: sent.append(1), "send", "Send it.", bound=Used(cost=Decimal(2)))
    runner = Flujo(Step(layer(tool), name="clerk"), state=MemoryStore(), quota=quota)
    result = await runner.run_async("go")
    assert result.status == "failed"
    assert sent == []


def calls_at_once(tool: FlujoTool) -> Any:
    calls = [*call("send", '{"number": 1}', "1"), *call("send", '{"number": 2}', "2")]
    model = Said(calls, [], text("They are sent."))  # it looks how many calls were answered
    return Agent(name="clerk", model=model, tools=[function_tool_of(tool)])


def calls_at_once_of_a_model(tool: FlujoTool) -> Any:
    calls = [UseTool("send", {"number": 1}), UseTool("send", {"number": 2})]
    return ModelAgent(ScriptedModel(calls, "They are sent."), tools=[tool], name="clerk")


@pytest.mark.parametrize("agent", [calls_at_once, calls_at_once_of_a_model])
@pytest.mark.parametrize("more", [{}, {"per": "day"}])
async def test_calls_at_once_are_counted_once_each(agent: Callable[[FlujoTool], Any], more: Any) -> None:
    """Also those that report what they used, and those that are broken off."""
    bound = Used(tool_calls=1)
    quota = Quota(tool_calls=4, **more)

    async def send(number: int, info: StepInfo) -> str:
        info.report(bound)
        await asyncio.sleep(0.01 if quick else 30)
        return "sent"

    for quick, status in ((True, "completed"), (False, "failed")):
        clerk = Step(agent(FlujoTool(send, bound=bound)), name="clerk", timeout=None if quick else 0.2)
        result = await Flujo(clerk, state=MemoryStore(), quota=quota).run_async("go")
        assert (result.status, result.usage.tool_calls) == (status, 4)


async def test_outside_of_a_run_nobody_agrees_to_a_call() -> None:
    paid: list[int] = []
    pay = FlujoTool(paid.append, "pay", needs_approval=True, parameters={"type": "object"})
    tool = structured_tool_of(pay)
    with pytest.raises(PipelineError, match="outside of a run nobody is asked"):
        await tool.ainvoke({})
    assert paid == []


async def test_outside_of_a_run_a_tool_raises_what_it_raises() -> None:
    def look() -> str:
        """Look into a store."""
        raise StoreError("it is broken")

    with pytest.raises(StoreError, match="it is broken"):
        await structured_tool_of(FlujoTool(look)).ainvoke({})


async def test_after_an_agent_its_step_is_not_at_work_any_more() -> None:
    agent = Agent(name="clerk", model=Said(text("It is done.")))

    async def later(value: str) -> bool:
        return at_work.get() is None

    assert (await Flujo(Step(agent) >> Step(later)).run_async("go")).unwrap() is True


async def test_requests_inside_a_runnable_are_counted_one_by_one() -> None:
    said = AIMessage(
        "Paris",
        usage_metadata={"input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
        response_metadata={"model_name": "gpt-4o"},
    )
    model = GenericFakeChatModel(messages=iter([said, said]))

    async def twice(value: str) -> str:
        await model.ainvoke(value)
        return str((await model.ainvoke(value)).text)

    usage = (await Flujo(Step(RunnableLambda(twice), name="twice")).run_async("go")).usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (2, 14, 4)


ROBOT = """\
class Robot:
    pass

class Adapted:
    async def run(self, text: str) -> str:
        return f"beep: {text}"

def adapt(robot):
    return Adapted()
"""


@pytest.mark.parametrize(
    ("named", "said"),
    [("robotlib:adapt", ""), ("robotlib:adpt", "has no attribute 'adpt'"), ("robotlb:adapt", "No module")],
)
def test_another_package_brings_its_own_adapter(
    named: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "robotlib.py").write_text(ROBOT)
    facts = tmp_path / "robotlib-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: robotlib\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[flujo.agents]\nrobotlib = {named}\n")
    code = (
        "from flujo import Flujo, Step; import robotlib\nprint(Flujo(Step(robotlib.Robot())).run('x').output)"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if said:
        assert (
            f"ConfigError: the adapter {named!r} for agents of 'robotlib' cannot be loaded: " in told.stderr
        )
        assert said in told.stderr
    else:
        assert told.stdout == "beep: x\n", told.stderr


class Denies(GovernancePolicy):
    """Denies the calls of a tool, or what comes of them."""

    def __init__(self, point: str) -> None:
        self._point = point

    @override
    def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        return self._decided(context)

    @override
    def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        return self._decided(context)

    def _decided(self, context: PolicyContext) -> PolicyDecision:
        return PolicyDecision.deny("not here") if context.point == self._point else PolicyDecision.ALLOW


def sdk_agent(till: Till) -> Any:
    turns = Said(call("pay", '{"amount": 5}'), text("paid"))
    return Agent(name="clerk", instructions="", model=turns, tools=[till.tool()])


def sdk_agent_with_ours(till: Till) -> Any:
    async def pay(amount: int) -> str:
        """Pay an amount."""
        till.paid.append(amount)
        return "paid"

    turns = Said(call("pay", '{"amount": 5}'), text("paid"))
    return Agent(name="clerk", instructions="", model=turns, tools=[function_tool_of(FlujoTool(pay))])


def langchain_agent(till: Till) -> Any:
    async def pay(amount: int) -> str:
        """Pay an amount."""
        till.paid.append(amount)
        return "paid"

    tool = structured_tool_of(FlujoTool(pay))
    tool.handle_tool_error = True

    async def work(said: str) -> str:
        return str(await tool.ainvoke({"amount": 5}))

    async def instead(said: str) -> str:
        return "something else"

    return RunnableLambda(work).with_retry().with_fallbacks([RunnableLambda(instead)])


@pytest.mark.parametrize("agent", [sdk_agent, sdk_agent_with_ours, langchain_agent])
@pytest.mark.parametrize("point", ["before_tool", "after_tool"])
async def test_no_agent_layer_goes_on_after_a_denial(agent: Callable[[Till], Any], point: str) -> None:
    async def tell() -> str:
        return "ask a person"

    async def another(said: str) -> str:
        return "another way"

    till = Till()
    guarded = Step(agent(till), retry=3, name="clerk", fallback=Step(another), on_denied=Step(tell))
    result = await Flujo(guarded, policies=[Denies(point)]).run_async("pay 5")
    assert result.output == "ask a person", result.error
    assert till.paid == ([] if point == "before_tool" else [5])
    alone = Step(agent(till), retry=3, name="clerk")
    error = (await Flujo(alone, policies=[Denies(point)]).run_async("pay 5")).error
    assert isinstance(error, PolicyDenied)
    assert (error.point, error.tool, error.__cause__) == (point, "pay", None)


@pytest.mark.parametrize("agent", [sdk_agent, sdk_agent_with_ours, langchain_agent])
async def test_no_agent_layer_goes_on_over_a_quota(agent: Callable[[Till], Any]) -> None:
    till = Till()
    node = Step(agent(till), name="clerk", bound=Used(requests=9, input_tokens=9000, output_tokens=9000))
    result = await Flujo(node, quota=Quota(tool_calls=0)).run_async("pay 5")
    assert isinstance(result.error, QuotaExceeded)
    assert till.paid == []

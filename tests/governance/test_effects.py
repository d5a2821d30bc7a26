"""Effects at the gate: calls of tools and requests to models are judged before they begin, and after."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from typing_extensions import override

from flujo import Decision, Flujo, FlujoTool, MemoryStore, Step, StepInfo
from flujo.agents import ModelAgent
from flujo.errors import PolicyDenied
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision, Verdict
from flujo.testing import ScriptedModel, UseTool
from tests.governance.test_gate import verdicts

calls: list[object] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


class Order(BaseModel):
    item: str
    amount: int = 1


async def charge(order: Order, note: str = "") -> str:
    """Charge a card."""
    calls.append((order, note))
    return f"charged {order.amount}"


async def buy(item: str, info: StepInfo) -> str:
    return await info.do("charge", charge, Order(item=item), note="now")


class Tools(GovernancePolicy):
    """Gives one answer about calls and one about what they gave, and keeps what it was shown."""

    def __init__(self, before: Any = Verdict.ALLOW, after: Any = Verdict.ALLOW) -> None:
        self.before = before
        self.after = after
        self.shown: list[tuple[str, str, Any]] = []

    @override
    async def check_tool(self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext) -> Any:
        self.shown.append((context.point, tool_name, dict(arguments)))
        return self.before

    @override
    async def check_output(self, context: PolicyContext, output: Any) -> Any:
        if context.point != "after_tool":
            return Verdict.ALLOW
        self.shown.append((context.point, context.tool, output))
        return self.after


@pytest.fixture(params=["live", "durable"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param == "durable" else None


async def test_an_effect_is_judged_before_and_after(store: MemoryStore | None) -> None:
    policy = Tools()
    result = await Flujo(Step(buy), state=store, policies=[policy]).run_async("tea")
    assert result.output == "charged 1"
    assert policy.shown == [
        ("before_tool", "charge", {"order": Order(item="tea"), "note": "now"}),
        ("after_tool", "charge", "charged 1"),
    ]


async def test_a_denied_effect_does_not_happen(store: MemoryStore | None) -> None:
    policy = Tools(PolicyDecision.deny("not here", rule="r1"))
    result = await Flujo(Step(buy, retry=3), state=store, policies=[policy]).run_async("tea")
    assert calls == []
    assert isinstance(result.error, PolicyDenied)
    assert (result.error.tool, result.error.rule, result.error.point) == ("charge", "r1", "before_tool")
    assert result.error.address == "buy"
    assert len(policy.shown) == 1


async def test_arguments_are_redacted_by_name(store: MemoryStore | None) -> None:
    policy = Tools(PolicyDecision.redact({"order": Order(item="tea", amount=2), "note": "[GONE]"}))
    result = await Flujo(Step(buy), state=store, policies=[policy]).run_async("tea")
    assert calls == [(Order(item="tea", amount=2), "[GONE]")]
    assert result.output == "charged 2"


@pytest.mark.parametrize("data", ["none", {"order": Order(item="x"), "more": 1}])
async def test_a_redaction_that_is_no_set_of_arguments_denies(data: Any) -> None:
    result = await Flujo(Step(buy), policies=[Tools(PolicyDecision.redact(data))]).run_async("tea")
    assert isinstance(result.error, PolicyDenied)
    assert calls == []


async def test_what_an_effect_gave_is_redacted_before_it_is_recorded() -> None:
    store, policy = MemoryStore(), Tools(after=PolicyDecision.redact("[SUM]"))
    result = await Flujo(Step(buy), state=store, policies=[policy]).run_async("tea", run_id="one")
    assert result.output == "[SUM]"
    assert not any(b"charged" in event.body for event in await store.events("one"))


async def test_what_was_denied_after_it_was_done_is_not_done_again() -> None:
    async def forgiving(item: str, info: StepInfo) -> str:
        try:
            await info.do("charge", charge, Order(item=item))
        except PolicyDenied as denied:
            answer = await info.ask(f"it was denied: {denied.reason}")
            return f"{answer}, after all"
        return "charged"

    store = MemoryStore()
    runner = Flujo(Step(forgiving), state=store, policies=[Tools(after=PolicyDecision.deny("secret"))])
    paused = await runner.run_async("tea", run_id="one")
    assert paused.pending[0].prompt == "it was denied: secret"
    assert not any(b"charged" in event.body for event in await store.events("one"))
    result = await runner.resume_async("one", "well")
    assert result.output == "well, after all"
    assert len(calls) == 1


async def test_several_effects_at_once_are_denied_as_one() -> None:
    async def both(item: str, info: StepInfo) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(info.do("charge", charge, Order(item=item)))
            group.create_task(info.do("charge", charge, Order(item=item)))
        return "done"

    result = await Flujo(Step(both, retry=3), policies=[Tools(Verdict.DENY)]).run_async("tea")
    assert isinstance(result.error, PolicyDenied)
    assert calls == []


async def test_undoing_is_judged_too() -> None:
    async def undo(output: str, info: StepInfo) -> None:
        await info.do("charge", charge, Order(item="back"))

    async def done(item: str) -> str:
        return item

    async def fails(item: str) -> str:
        raise ValueError("no")

    step = Step(done, undo=undo) >> Step(fails)
    result = await Flujo(step, state=MemoryStore(), policies=[Tools(Verdict.DENY)]).run_async("tea")
    assert result.status == "failed"
    assert calls == []


def agent(model: ScriptedModel) -> ModelAgent[Any]:
    async def pay(amount: int) -> str:
        """Pay an amount."""
        calls.append(amount)
        return f"paid {amount}"

    return ModelAgent(model, tools=[FlujoTool(pay)], name="clerk")


async def test_the_tools_of_a_model_pass_the_gate() -> None:
    policy = Tools(PolicyDecision.redact({"amount": 2}), PolicyDecision.redact("paid something"))
    model = ScriptedModel(UseTool("pay", {"amount": 500}), "done")
    store = MemoryStore()
    result = await Flujo(Step(agent(model)), state=store, policies=[policy]).run_async("go", run_id="one")
    assert result.output == "done"
    assert calls == [2]
    assert "paid something" in model.asked[1].said
    assert policy.shown[0] == ("before_tool", "pay", {"amount": 500})


async def test_a_denied_tool_of_a_model_ends_the_step() -> None:
    model = ScriptedModel(UseTool("pay", {"amount": 500}), "done")
    policy = Tools(PolicyDecision.deny("no money moves"))
    result = await Flujo(Step(agent(model)), state=MemoryStore(), policies=[policy]).run_async("go")
    assert isinstance(result.error, PolicyDenied), result.error
    assert result.error.tool == "pay"
    assert calls == []
    assert len(model.asked) == 1


async def test_requests_to_models_are_judged_and_redacted() -> None:
    class Names(GovernancePolicy):
        @override
        def check_input(self, context: PolicyContext, input_data: Any) -> Any:
            if context.point != "before_model":
                return Verdict.ALLOW
            assert context.facts["model"]
            return PolicyDecision.redact(swapped(input_data, "Ada", "[NAME]"))

        @override
        def check_output(self, context: PolicyContext, output: Any) -> Any:
            if context.point != "after_model":
                return Verdict.ALLOW
            return PolicyDecision.redact(swapped(output, "London", "[PLACE]"))

    model, store = ScriptedModel("She lives in London."), MemoryStore()
    runner = Flujo(Step(ModelAgent(model, name="teller")), state=store, policies=[Names()])
    result = await runner.run_async("Where does Ada live?", run_id="one")
    assert result.output == "She lives in [PLACE]."
    assert "Ada" not in model.asked[0].said
    assert "[NAME]" in model.asked[0].said
    assert not any(b"London" in event.body for event in await store.events("one"))


async def test_a_denied_request_is_not_sent() -> None:
    class NoModels(GovernancePolicy):
        @override
        def check_input(self, context: PolicyContext, input_data: Any) -> Any:
            return Verdict.DENY if context.point == "before_model" else Verdict.ALLOW

    model = ScriptedModel("never")
    runner = Flujo(Step(ModelAgent(model, name="teller")), policies=[NoModels()])
    result = await runner.run_async("hello")
    assert isinstance(result.error, PolicyDenied)
    assert model.asked == []


def swapped(value: Any, old: str, new: str) -> Any:
    return from_json(to_json(value).decode().replace(old, new))


async def test_an_escalated_call_waits_for_a_person_and_for_exactly_that_call() -> None:
    store, policy = MemoryStore(), Tools(PolicyDecision.escalate("much money", rule="r9"))
    runner = Flujo(Step(buy), state=store, policies=[policy])
    paused = await runner.run_async("tea", run_id="one")
    assert paused.status == "paused"
    (request,) = paused.pending
    assert request.kind == "policy"
    assert request.subject == {"order": {"item": "tea", "amount": 1}, "note": "now"}
    assert "much money" in request.prompt
    assert calls == []
    result = await runner.resume_async("one", Decision("approve", actor="ada"))
    assert result.output == "charged 1"
    assert len(policy.shown) == 2  # the recorded verdict was not asked for again
    assert [one["verdict"] for one in await verdicts(store, "one")] == ["escalate", "allow", "allow"]


async def test_an_edited_call_is_judged_again() -> None:
    class Small(Tools):
        @override
        async def check_tool(
            self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
        ) -> Any:
            self.shown.append((context.point, tool_name, dict(arguments)))
            amount = arguments["order"].amount
            if amount > 100:
                return PolicyDecision.deny("too much")
            return Verdict.ALLOW if amount == 5 else PolicyDecision.escalate("look at it")

    for amount, status in ((5, "completed"), (7, "paused"), (500, "failed")):
        runner = Flujo(Step(buy), state=MemoryStore(), policies=[Small()])
        await runner.run_async("tea", run_id="one")
        edited = {"order": {"item": "tea", "amount": amount}, "note": "edited"}
        result = await runner.resume_async("one", Decision("edit", edited))
        assert result.status == status
        assert calls == ([(Order(item="tea", amount=5), "edited")] if amount == 5 else [])
        if amount == 7:
            assert result.pending[0].subject == edited
            assert (await runner.resume_async("one", Decision("approve"))).output == "charged 7"
        calls.clear()


async def test_a_person_may_deny() -> None:
    runner = Flujo(Step(buy), state=MemoryStore(), policies=[Tools(Verdict.ESCALATE)])
    await runner.run_async("tea", run_id="one")
    result = await runner.resume_async("one", Decision("deny", reason="not today", actor="ada"))
    assert isinstance(result.error, PolicyDenied)
    assert "ada" in result.error.message
    assert "not today" in result.error.message
    assert calls == []


async def test_what_was_done_waits_for_approval_and_is_not_done_again() -> None:
    runner = Flujo(Step(buy), state=MemoryStore(), policies=[Tools(after=Verdict.ESCALATE)])
    paused = await runner.run_async("tea", run_id="one")
    assert paused.pending[0].subject == "charged 1"
    result = await runner.resume_async("one", Decision("approve"))
    assert result.output == "charged 1"
    assert len(calls) == 1

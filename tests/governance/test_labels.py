"""Labels of data: carried on through every node, declared and taken away, and what policies do with them."""

from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from pydantic_core import from_json

from flujo import Decision, Flujo, FlujoTool, From, HumanInput, MemoryStore, Step, StepInfo
from flujo.agents import ModelAgent
from flujo.errors import PolicyDenied
from flujo.governance import (
    Declassify,
    GovernancePolicy,
    NoEgressAfter,
    PolicyContext,
    PolicyDecision,
    Principal,
)
from flujo.journal import Event
from flujo.testing import ScriptedModel, UseTool


@pytest.fixture(params=["live", "durable"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param == "durable" else None


class Seen(GovernancePolicy):
    """Notes what it is told of labels, and allows everything."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str], Sequence[str]] = {}

    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        self.at[context.point, context.address] = sorted(context.labels)
        return PolicyDecision.ALLOW

    async def check_tool(self, tool_name: str, arguments: Any, context: PolicyContext) -> PolicyDecision:
        return await self.check_input(context, arguments)

    async def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        return await self.check_input(context, output)

    def given(self, address: str) -> Sequence[str]:
        return self.at["input", address]

    def gave(self, address: str) -> Sequence[str]:
        return self.at["output", address]


async def plain(what: str) -> str:
    return what


same = Step(plain, name="same")
phi = Step(plain, name="phi", labels=["phi"])
clean = Step(plain, name="clean", declassifies=Declassify("phi", "pii.*", reason="nothing of it is left"))


def denied(result: Any) -> str:
    assert isinstance(result.error, PolicyDenied), result
    return result.error.reason


async def events(store: MemoryStore, run_id: str) -> Sequence[Event]:
    return await store.events(run_id, after=0, limit=1000)


async def test_a_row_of_steps_carries_labels_on(store: MemoryStore | None) -> None:
    seen = Seen()
    pipeline = same >> phi >> same.named("after") >> clean >> same.named("end")
    runner = Flujo(pipeline, state=store, policies=[seen])
    assert (await runner.run_async("x", input_labels=["pii.name"], tenant="north")).success
    assert seen.given("same") == ["pii.name", "tenant:north"]
    assert seen.given("phi") == ["pii.name", "tenant:north"]
    assert (
        seen.gave("phi") == seen.given("after") == seen.given("clean") == ["phi", "pii.name", "tenant:north"]
    )
    assert seen.gave("clean") == seen.given("end") == ["tenant:north"]


async def test_nothing_labelled_is_nothing_said(store: MemoryStore | None) -> None:
    seen = Seen()
    assert (
        await Flujo(same >> same.named("end"), state=store, policies=[seen]).run_async("x", run_id="one")
    ).success
    assert set(map(tuple, seen.at.values())) == {()}
    if isinstance(store, MemoryStore):
        assert not [one for one in await events(store, "one") if one.kind == "labelled"]


async def test_a_step_takes_only_what_it_is_cleared_for(store: MemoryStore | None) -> None:
    taken: list[str] = []

    async def send(what: str) -> str:
        taken.append(what)
        return what

    sink = Step(send, cleared_for=["pii.*"])
    assert (await Flujo(same >> sink, state=store).run_async("a", input_labels=["pii.name"])).success
    result = await Flujo(phi >> sink, state=store).run_async("b", input_labels=["pii.name"])
    assert denied(result) == "the step 'send' is not cleared for 'phi'"
    assert result.error is not None
    assert isinstance(result.error, PolicyDenied)
    assert (result.error.policy, result.error.rule) == ("clearance", "phi")
    assert taken == ["a"]
    assert (await Flujo(phi >> clean >> sink, state=store).run_async("c", input_labels=["pii.name"])).success


async def test_a_step_that_takes_only_named_outputs_is_judged_as_well(store: MemoryStore | None) -> None:
    taken: list[str] = []

    async def send(what: Annotated[str, From("phi")]) -> str:
        taken.append(what)
        return what

    sink = Step(send, cleared_for=[])
    assert "'phi'" in denied(await Flujo(phi >> clean >> sink, state=store).run_async("x"))
    assert not taken


async def test_a_tool_is_given_only_what_it_is_cleared_for(store: MemoryStore | None) -> None:
    sent: list[str] = []

    def look(who: str) -> str:
        return f"record of {who}"

    def send(text: str) -> str:
        sent.append(text)
        return "sent"

    tools = [
        FlujoTool(look, labels=frozenset({"phi", "egress"})),
        FlujoTool(send, labels=frozenset({"egress"}), cleared_for=["pii.*"]),
    ]
    agent = ModelAgent(ScriptedModel(UseTool("send", {"text": "a"}), "done"), tools=tools)
    seen = Seen()
    assert (await Flujo(Step(agent, name="agent"), state=store, policies=[seen]).run_async("x")).success
    assert sent == ["a"]
    model = ScriptedModel(UseTool("look", {"who": "b"}), UseTool("send", {"text": "b"}), "done")
    agent = ModelAgent(model, tools=tools)
    runner = Flujo(Step(agent, name="agent") >> same, state=store, policies=[seen])
    assert denied(await runner.run_async("x")) == "the tool 'send' is not cleared for 'phi'"
    assert sent == ["a"]
    assert seen.at["before_tool", "agent#tool"] == []
    assert seen.at["after_tool", "agent#tool"] == ["phi"]
    assert seen.at["before_model", "agent#model-2"] == ["phi"]


async def test_a_clearance_that_nothing_judges_is_refused(store: MemoryStore | None) -> None:
    def send(text: str) -> str:
        return "sent"

    agent = ModelAgent(
        ScriptedModel(UseTool("send", {"text": "a"}), "done"), tools=[FlujoTool(send, cleared_for=[])]
    )
    result = await Flujo(Step(agent), state=store).run_async("x")
    assert result.error is not None
    assert "nothing judges that here" in str(result.error)


async def test_a_run_that_goes_on_holds_what_it_held(store: MemoryStore | None) -> None:
    def look(who: str) -> str:
        return f"record of {who}"

    def runner(seen: Seen) -> Flujo[Any, Any, Any]:
        model = ScriptedModel(UseTool("look", {"who": "b"}), "done")
        agent = ModelAgent(model, tools=[FlujoTool(look, labels=frozenset({"phi"}))])
        pipeline = Step(agent, name="agent") >> HumanInput("Good?", str) >> same
        return Flujo(pipeline, state=store, policies=[seen])

    before, after = Seen(), Seen()
    paused = await runner(before).run_async("x", input_labels=["pii.name"])
    result = await runner(after).resume_async(paused, Decision("approve"))
    assert result.success, result
    assert before.gave("agent") == after.given("same") == ["phi", "pii.name"]
    assert ("input", "agent") not in after.at


async def test_what_is_declassified_is_recorded() -> None:
    store = MemoryStore()
    runner = Flujo(phi >> clean, state=store)
    result = await runner.run_async("x", input_labels=["pii.name"], principal=Principal("ada"), run_id="one")
    assert result.success
    [told] = [from_json(one.body) for one in await events(store, "one") if one.kind == "declassified"]
    why = "nothing of it is left"
    assert told == {"labels": ["phi", "pii.name"], "reason": why, "principal": "ada"}


async def test_policies_judge_what_is_declassified(store: MemoryStore | None) -> None:
    class Nobody(GovernancePolicy):
        async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            if fits := context.facts.get("declassifies"):
                return PolicyDecision.deny(f"nobody declassifies {', '.join(fits)}")
            return PolicyDecision.ALLOW

    result = await Flujo(phi >> clean, state=store, policies=[Nobody()]).run_async("x")
    assert denied(result) == "nobody declassifies phi, pii.*"


async def test_no_egress_after_data_of_a_kind(store: MemoryStore | None) -> None:
    async def called(what: str) -> str:
        return what

    async def work(what: str, info: StepInfo) -> str:
        return await info.do("send", called, what)

    rule = NoEgressAfter("phi*", tools=["send"])
    send = Step(work, name="work")
    assert (await Flujo(same >> send, state=store, policies=[rule]).run_async("x")).success
    assert denied(await Flujo(phi >> send, state=store, policies=[rule]).run_async("x"))
    assert denied(await Flujo(phi >> clean >> send, state=store, policies=[rule]).run_async("x"))
    result = await Flujo(clean >> send, state=store, policies=[rule]).run_async("x", input_labels=["phi.x"])
    assert denied(result)

"""Verdicts about the turns of agents: what is redacted or denied there is neither written nor told."""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ToolReturn
from pydantic_core import from_json, to_json
from typing_extensions import override

from flujo import Decision, Flujo, FlujoTool, MemoryStore, Step, StepInfo, StreamingStep
from flujo.agents import ModelAgent
from flujo.agents.langchain import structured_tool_of
from flujo.engine import Chunk
from flujo.errors import PolicyDenied
from flujo.governance import (
    EVERYWHERE,
    CedarPolicy,
    Clearance,
    GovernancePolicy,
    PIIScrubbingPolicy,
    PolicyContext,
    PolicyDecision,
    Regions,
)
from flujo.testing import ScriptedModel, UseTool

MAIL = "jane@example.com"
REDACTED = "[EMAIL]"


def without_mail(data: Any) -> Any:
    return from_json(to_json(data).replace(MAIL.encode(), REDACTED.encode()))


class At(GovernancePolicy):
    """Decides at one point, and allows all else; it counts what it was asked."""

    def __init__(self, point: str, decide: Callable[[Any], PolicyDecision], name: str = "at") -> None:
        self.id = name
        self.asked = 0
        self._point = point
        self._decide = decide

    def _decided(self, context: PolicyContext, data: Any) -> PolicyDecision:
        if context.point != self._point:
            return PolicyDecision.ALLOW
        self.asked += 1
        return self._decide(data)

    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        return self._decided(context, input_data)

    @override
    def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        return self._decided(context, arguments)

    @override
    def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        return self._decided(context, output)


def redact(data: Any) -> PolicyDecision:
    return PolicyDecision.redact(without_mail(data))


def written(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(place.iterdir()))


async def look_up(name: str) -> str:
    """Look a customer up."""
    return f"found {MAIL}"


def asks_about_redacted(data: Any) -> PolicyDecision:
    return PolicyDecision.escalate("look") if REDACTED in str(data) else PolicyDecision.ALLOW


@pytest.mark.parametrize(("action", "given"), [("approve", REDACTED), ("edit", "nobody"), ("deny", "")])
@pytest.mark.parametrize("point", ["after_tool", "after_model"])
async def test_what_is_redacted_before_a_person_is_asked_is_not_written(
    point: str, action: Any, given: str, tmp_path: Path
) -> None:
    turns = [UseTool("look_up", {"name": "x"}), "Done."] if point == "after_tool" else [f"found {MAIL}"]
    model = ScriptedModel(*turns)
    agent = ModelAgent(model, tools=[look_up], name="clerk")
    policies = [At(point, redact, "redacts"), At(point, asks_about_redacted, "asks")]
    async with Flujo(Step(agent), state=tmp_path / "runs.db", policies=policies) as runner:
        paused = await runner.run_async("hello", run_id="one")
    subject = paused.pending[0].subject
    assert REDACTED in str(subject)
    assert MAIL not in str(paused)
    asked = policies[0].asked
    async with Flujo(Step(agent), state=tmp_path / "runs.db", policies=policies) as runner:
        edited = (
            from_json(to_json(subject).replace(REDACTED.encode(), b"nobody")) if action == "edit" else None
        )
        result = await runner.resume_async("one", Decision(action, edited, actor="ada"))
    gave = str(model.asked[-1].said) if point == "after_tool" and action != "deny" else str(result.output)
    assert given in gave, result.error
    assert isinstance(result.error, PolicyDenied) is (action == "deny")
    judged_anew = {"approve": 0, "edit": 1, "deny": 0}[action]
    assert policies[0].asked == asked + judged_anew
    assert MAIL.encode() not in written(tmp_path)


@pytest.mark.parametrize("verdict", ["redact", "deny"])
async def test_all_that_a_tool_returns_is_judged(verdict: str, tmp_path: Path) -> None:
    async def search(name: str) -> ToolReturn[str]:
        """Search."""
        return ToolReturn("found", content=f"Her address is {MAIL}.", metadata={"to": [MAIL]})

    def decide(data: Any) -> PolicyDecision:
        return redact(data) if verdict == "redact" else PolicyDecision.deny("no addresses")

    policies = [At("after_tool", lambda data: decide(data) if MAIL in str(data) else PolicyDecision.ALLOW)]
    model = ScriptedModel(UseTool("search", {"name": "x"}), "Done.")
    agent = ModelAgent(model, tools=[search], name="clerk")
    async with Flujo(Step(agent), state=tmp_path / "runs.db", policies=policies) as runner:
        result = await runner.run_async("hello")
    assert (result.output == "Done.") is (verdict == "redact"), result.error
    if verdict == "redact":
        assert f"Her address is {REDACTED}." in str(model.asked[1].messages)
    assert MAIL.encode() not in written(tmp_path)


async def test_a_call_is_shown_to_people_as_policies_let_it_be_written(tmp_path: Path) -> None:
    paid: list[str] = []

    def pay(note: str) -> str:
        """Pay."""
        paid.append(note)
        return "paid"

    tool = structured_tool_of(FlujoTool(pay, needs_approval=True))
    to = [MAIL, "joe@example.com", "joe@example.com"]

    async def work(text: str) -> str:
        return str(await cast("Any", tool).ainvoke({"note": to.pop(0)}))

    agent: Runnable[str, str] = RunnableLambda(work)
    async with Flujo(Step(agent), state=tmp_path / "runs.db", policies=[PIIScrubbingPolicy()]) as runner:
        paused = await runner.run_async("hello", run_id="one")
        assert paused.pending[0].subject == {"tool": "pay", "arguments": {"note": REDACTED}}
        another = await runner.resume_async("one", Decision("approve", actor="ada"))
        assert another.status == "paused"  # it looks the same, and is another call
        assert paid == []
        assert (await runner.resume_async("one", Decision("approve", actor="ada"))).output == "paid"
    assert paid == [REDACTED]
    assert b"@example.com" not in written(tmp_path)


@pytest.mark.parametrize("watched", [False, True])
async def test_words_of_a_streaming_agent_wait_for_the_verdict_about_the_whole(
    watched: bool, tmp_path: Path
) -> None:
    agent = ModelAgent(ScriptedModel(f"Write to {MAIL} now."), name="clerk")
    policies = [At("after_model", redact)]
    async with Flujo(StreamingStep(agent), state=tmp_path / "runs.db", policies=policies) as runner:
        if watched:
            events = [event async for event in runner.stream_async("hello")]
            assert not [event for event in events if isinstance(event, Chunk)]
            assert MAIL not in str(events)
        else:
            result = await runner.run_async("hello")
            assert result.output == f"Write to {REDACTED} now."
    assert MAIL.encode() not in written(tmp_path)


def fails(name: str) -> ScriptedModel:
    return ScriptedModel(ModelHTTPError(400, name), name=name, provider="azure")


NO_OPENAI = """
permit (principal, action, resource);
forbid (principal, action == Action::"before_model", resource) when { context.model like "openai:*" };
"""


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (Clearance([], models=["openai:*"]), False),
        (Clearance([], models=["mistral:*"]), True),
        (Regions(["eu"], {"eu": ["azure:*"]}), False),
        (Regions(["eu"], {"eu": ["azure:*", "openai:*"]}), True),
        (CedarPolicy(NO_OPENAI), False),
    ],
)
async def test_a_request_is_judged_for_each_model_that_may_get_it(
    policy: GovernancePolicy, allowed: bool
) -> None:
    first, second = fails("gpt-eu"), ScriptedModel("Done.", name="gpt", provider="openai")
    agent = ModelAgent(first, fallbacks=[fails("gpt-eu-2"), second], name="clerk")
    store = MemoryStore()
    async with Flujo(Step(agent), state=store, policies=[policy]) as runner:
        result = await runner.run_async("hello", input_labels=["phi"], run_id="one")
        assert (result.output == "Done.") is allowed, result.error
        assert isinstance(result.error, PolicyDenied) is not allowed
        assert bool(first.asked or second.asked) is allowed
        assert not (await runner.replay("one")).differences


async def test_people_are_asked_about_each_model_that_may_get_a_request() -> None:
    store = MemoryStore()
    second = ScriptedModel("Done.", name="gpt", provider="openai")
    agent = ModelAgent(fails("gpt-eu"), fallbacks=[second], name="clerk")
    policy = At("before_model", lambda data: PolicyDecision.escalate("look"))
    async with Flujo(Step(agent), state=store, policies=[policy]) as runner:
        assert (await runner.run_async("hello", run_id="one")).status == "paused"
        assert (await runner.resume_async("one", Decision("approve", actor="ada"))).status == "paused"
        assert second.asked == []
        assert (await runner.resume_async("one", Decision("approve", actor="ada"))).output == "Done."
        events = [from_json(event.body) for event in await store.events("one") if event.kind == "verdict"]
    asked = [body["model"] for body in events if body["point"] == "before_model"]
    assert asked == ["azure:gpt-eu", "openai:gpt"]
    assert policy.asked == 2


async def test_what_is_redacted_for_one_model_is_redacted_for_those_after_it() -> None:
    def decide(context: PolicyContext, data: Any) -> PolicyDecision:
        redacts = context.facts["model"] == "azure:gpt-eu" and MAIL in str(data)
        return redact(data) if redacts else PolicyDecision.ALLOW

    class Models(GovernancePolicy):
        @override
        def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            return decide(context, input_data) if context.point == "before_model" else PolicyDecision.ALLOW

    second = ScriptedModel("Done.", name="gpt", provider="openai")
    agent = ModelAgent(fails("gpt-eu"), fallbacks=[second], name="clerk")
    assert (await Flujo(Step(agent), policies=[Models()]).run_async(f"hello {MAIL}")).output == "Done."
    assert second.asked[0].said == f"hello {REDACTED}"


@pytest.mark.parametrize("point", ["before_model", "after_model"])
async def test_an_approval_of_a_request_holds_in_another_process(point: str, tmp_path: Path) -> None:
    model = ScriptedModel(UseTool("look_up", {"name": "x"}), "Done.")
    policy, status = At(point, lambda data: PolicyDecision.escalate("look")), ""
    for _ in range(3):
        agent = ModelAgent(model, "Be brief.", tools=[look_up], name="clerk")
        async with Flujo(Step(agent), state=tmp_path / "runs.db", policies=[policy]) as runner:
            decision = Decision("approve", actor="ada")
            if status:
                status = (await runner.resume_async("one", decision)).status
            else:
                status = (await runner.run_async("hi", run_id="one")).status
    assert status == "completed"
    assert policy.asked == len(model.asked) == 2


ANOTHER_TYPE: list[tuple[str, object]] = [
    ("before_model", "hello"),
    ("before_model", [{"kind": "nonsense"}]),
    ("after_model", {"kind": "response", "parts": 5}),
    ("before_tool", {"amount": "[AMOUNT]"}),
    ("before_tool", "nothing"),
    ("after_tool", "nothing"),
]


@pytest.mark.parametrize(("point", "data"), ANOTHER_TYPE)
async def test_a_redaction_that_does_not_fit_denies(point: str, data: object) -> None:
    paid: list[object] = []

    async def pay(amount: int) -> dict[str, int]:
        """Pay an amount."""
        paid.append(amount)
        return {"paid": amount}

    async def another(said: str) -> str:
        return "another way"

    policy = At(point, lambda given: PolicyDecision.redact(data))
    agent = ModelAgent(ScriptedModel(UseTool("pay", {"amount": 5}), "Done."), tools=[pay], name="clerk")
    node = Step(agent, retry=2, fallback=Step(another))
    result = await Flujo(node, policies=[policy]).run_async("pay")
    assert isinstance(result.error, PolicyDenied), result
    assert result.error.point == point
    assert "the policy failed, which denies: it gave " in result.error.reason
    assert paid == ([5] if point == "after_tool" else [])


async def test_what_a_step_does_and_redacts_to_another_type_is_done_once() -> None:
    done: list[str] = []

    async def find(name: str) -> list[str]:
        done.append(name)
        return [name]

    async def work(name: str, info: StepInfo) -> str:
        return ", ".join(await info.do("find", find, name))

    policy = At("after_tool", lambda given: PolicyDecision.redact("nobody"))
    result = await Flujo(Step(work, retry=3), state=MemoryStore(), policies=[policy]).run_async("ada")
    assert isinstance(result.error, PolicyDenied), result
    assert done == ["ada"]


async def test_redacted_arguments_are_of_their_types() -> None:
    due: list[object] = []

    async def remind(on: date, count: int) -> str:
        """Remind on a day."""
        due.append(on)
        return "done"

    policy = At("before_tool", lambda given: PolicyDecision.redact({"on": "2027-01-01", "count": "2"}))
    model = ScriptedModel(UseTool("remind", {"on": "2026-12-24", "count": 1}), "Done.")
    agent = ModelAgent(model, tools=[remind], name="clerk")
    assert (await Flujo(Step(agent), policies=[policy]).run_async("remind")).output == "Done."
    assert due == [date(2027, 1, 1)]


class Raises(GovernancePolicy):
    """Fails on what it judges, and quotes it."""

    points = EVERYWHERE

    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        raise ValueError(f"cannot read {input_data}")


class RaisesAfter(GovernancePolicy):
    """Likewise, on what comes of it."""

    @override
    def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        raise ValueError(f"cannot read {output}")


QUOTES = """
permit (principal, action, resource);
@id("host") forbid (principal, action == Action::"input", resource) when { ip(context.input).isLoopback() };
"""
QUOTES_A_NUMBER = """
permit (principal, action, resource);
forbid (principal, action == Action::"agent_start", resource)
when { decimal(context.input) == decimal("1.0") };
"""


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Raises(), "it raised ValueError in check_input, line "),
        (RaisesAfter(), "it raised ValueError in check_output, line "),
        (CedarPolicy(QUOTES), "the rule 'host' cannot be evaluated: error while evaluating `ipaddr`"),
        (CedarPolicy(QUOTES_A_NUMBER), "cannot be evaluated: error while evaluating `decimal`"),
    ],
)
async def test_what_a_policy_fails_on_is_not_quoted(policy: GovernancePolicy, why: str) -> None:
    def answer(text: str) -> str:
        return MAIL

    store, given = MemoryStore(), "hello" if isinstance(policy, RaisesAfter) else MAIL
    result = await Flujo(Step(answer), state=store, policies=[policy]).run_async(given, run_id="one")
    assert isinstance(result.error, PolicyDenied)
    assert MAIL not in str(result)
    said = "".join([event.body.decode() for event in await store.events("one") if event.kind == "verdict"])
    assert why in said
    assert MAIL not in said

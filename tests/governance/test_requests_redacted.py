"""What policies redact of a request reaches the model, instructions too, and stands in the journal so."""

from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json
from typing_extensions import override

from flujo import Decision, Flujo, FlujoTool, MemoryStore, Step
from flujo.agents import ModelAgent
from flujo.governance import GovernancePolicy, PIIScrubbingPolicy, PolicyContext, PolicyDecision, Verdict
from flujo.testing import ScriptedModel, UseTool

MAIL = "jane@example.com"


class AtRequests(GovernancePolicy):
    """Takes the address out of requests, and of nothing else."""

    def __init__(self) -> None:
        self._all = PIIScrubbingPolicy()

    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        if context.point != "before_model":
            return Verdict.ALLOW
        return PolicyDecision.redact(self._all.redacted(input_data, context)[0])


def written(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(place.iterdir()))


@pytest.mark.parametrize(
    "policy", [None, PIIScrubbingPolicy(), AtRequests()], ids=["none", "pii", "requests"]
)
async def test_instructions_are_redacted_for_the_model_and_in_the_journal(
    policy: GovernancePolicy | None, tmp_path: Path
) -> None:
    async def look_up(name: str) -> str:
        """Look a customer up."""
        return "found"

    model = ScriptedModel(UseTool("look_up", {"name": "x"}), "Done.")
    tool = FlujoTool(look_up, needs_approval=True)
    agent = ModelAgent(model, f"You serve {MAIL}.", tools=[tool], name="clerk")
    state, policies = tmp_path / "runs.db", [] if policy is None else [policy]
    async with Flujo(Step(agent), state=state, policies=policies) as runner:
        paused = await runner.run_async("hello", run_id="one")
        assert paused.status == "paused"
    async with Flujo(Step(agent), state=state, policies=policies) as runner:
        result = await runner.resume_async("one", Decision("approve", actor="ada"))
        assert result.output == "Done.", result.error
        replayed = await runner.replay("one")
    said = [request.instructions for request in model.asked]
    assert said == [f"You serve {MAIL if policy is None else '[EMAIL]'}."] * 2
    assert (MAIL.encode() in written(tmp_path)) is (policy is None)
    assert not replayed.differences


async def test_what_was_said_before_is_written_once_where_it_is_redacted() -> None:
    async def look_up(name: str) -> str:
        """Look a customer up."""
        return f"found {name}"

    turns = [UseTool("look_up", {"name": f"customer {number}"}) for number in range(6)]
    agent = ModelAgent(ScriptedModel(*turns, "Done."), f"You serve {MAIL}.", tools=[look_up], name="clerk")
    store = MemoryStore()
    await Flujo(Step(agent), state=store, policies=[AtRequests()]).run_async("say hello", run_id="one")
    events = [event for event in await store.events("one") if event.address.startswith("clerk#model")]
    told = [from_json(event.body)["messages"] for event in events if event.kind == "effect"]
    assert [(one["same"], len(one["new"])) for one in told] == [(0, 1)] + [
        (2 * at - 1, 2) for at in range(1, 7)
    ]


async def test_a_name_of_a_tool_that_a_model_makes_up_is_its_own_words(tmp_path: Path) -> None:
    def mail_jane(subject: str) -> str:
        """Write to Jane."""
        return "sent"

    model = ScriptedModel(
        UseTool(f"mail_{MAIL}", {"subject": "hello"}), UseTool("mail_jane", {"subject": "hello"}), "Done."
    )
    agent = ModelAgent(model, tools=[mail_jane], name="clerk")
    state = tmp_path / "runs.db"
    async with Flujo(Step(agent), state=state, policies=[PIIScrubbingPolicy()]) as runner:
        result = await runner.run_async("hello", run_id="one")
        assert (result.output, result.usage.tool_calls) == ("Done.", 1)
        replayed = await runner.replay("one")
    assert MAIL.encode() not in written(tmp_path)
    assert all(MAIL not in request.conversation for request in model.asked)
    assert "Unknown tool name: '_EMAIL_'" in model.asked[1].conversation
    assert not replayed.differences

"""The policy at the gate: what steps are given and give holds no personal data."""

import json
from typing import Annotated

import pytest
from pydantic import BaseModel

from flujo import Flujo, MemoryStore, PipelineContext, Step, step
from flujo.agents import ModelAgent
from flujo.governance import PII, CedarPolicy, GovernancePolicy, PIIScrubbingPolicy
from flujo.governance.cedar_place import ToldRun
from flujo.pipeline.policy import Point, PolicyContext
from flujo.testing import ScriptedModel, UseTool


class Visit(BaseModel):
    patient: Annotated[str, PII("name")]
    note: str


class Ward(PipelineContext):
    patient: Annotated[str, PII("name")] = "Jan Kowalski"


async def test_what_a_step_is_given_and_gives_is_scrubbed() -> None:
    seen: list[Visit] = []

    @step
    async def summarise(visit: Visit) -> str:
        seen.append(visit)
        return f"{visit.note}; answer to jane@example.com"

    store = MemoryStore()
    runner = Flujo(summarise, policies=[PIIScrubbingPolicy()], state=store)
    result = await runner.run_async(
        Visit(patient="Jan Kowalski", note="Kowalskiego nie ma, tel. +48 600 100 200")
    )
    assert seen == [Visit(patient="[NAME]", note="[NAME] nie ma, tel. [PHONE]")]
    assert result.output == "[NAME] nie ma, tel. [PHONE]; answer to [EMAIL]"


async def test_the_context_s_marked_fields_are_known() -> None:
    @step
    async def note(text: str) -> str:
        return text

    runner = Flujo(note, policies=[PIIScrubbingPolicy()], context_model=Ward)
    result = await runner.run_async("Spoke with Kowalski today")
    assert result.output == "Spoke with [NAME] today"


async def test_what_cannot_be_searched_is_denied() -> None:
    @step
    async def nest(text: str) -> str:
        return "[" * 300 + "]" * 300

    result = await Flujo(nest, policies=[PIIScrubbingPolicy(depth=50)]).run_async("x")
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.code == "policy_denied"


async def test_reasons_count_and_quote_nothing() -> None:
    @step
    async def echo(text: str) -> str:
        return text

    store = MemoryStore()
    runner = Flujo(echo, policies=[PIIScrubbingPolicy()], state=store)
    result = await runner.run_async("mail jane@example.com and j@x.org")
    told = repr(await store.events(result.run_id))
    assert "2 email" in told
    assert result.output == "mail [EMAIL] and [EMAIL]"


def test_other_settings_are_another_version() -> None:
    assert PIIScrubbingPolicy().version == PIIScrubbingPolicy().version
    assert PIIScrubbingPolicy().version != PIIScrubbingPolicy(strategy="mask").version


@pytest.mark.parametrize(
    "policy",
    [PIIScrubbingPolicy(), CedarPolicy('@obligation("redact") permit (principal, action, resource);')],
    ids=["policy", "obligation"],
)
async def test_an_agent_talks_without_personal_data_and_its_messages_stay_messages(
    policy: GovernancePolicy,
) -> None:
    asked: list[str] = []

    def look_up(identifier: str) -> str:
        """Look a customer up."""
        asked.append(identifier)
        return "found: Mr Smith, jane@example.com"

    model = ScriptedModel(UseTool("look_up", {"identifier": "jane@example.com"}), "Done, jane@example.com.")
    agent = ModelAgent(model, "You serve customers.", tools=[look_up], name="clerk")
    result = await Flujo(Step(agent), policies=[policy]).run_async('{"id": "jane@example.com"}')
    assert result.output == "Done, [EMAIL]."
    assert asked == ["[EMAIL]"]


def _at(point: Point) -> PolicyContext:
    return PolicyContext(point, "clerk", "clerk#model", ToldRun())


def test_what_ties_messages_together_stays_and_what_they_say_does_not() -> None:
    policy = PIIScrubbingPolicy(known={"name": ["content"]})  # also where a key reads like a known value
    part = {
        "part_kind": "tool-call",
        "tool_call_id": "jane@example.com",
        "args": {"timestamp": "2026-01-02", "id": "jane@example.com"},
        "content": "jane@example.com",
        "timestamp": "2026-01-02T03:04:05Z",
    }
    message = {
        "kind": "request",
        "parts": [part],
        "timestamp": "2026-01-02T03:04:05Z",
        "metadata": "2026-01-02",
    }
    clean_part = {**part, "args": {"timestamp": "[DATE]", "id": "[EMAIL]"}, "content": "[EMAIL]"}
    clean = {**message, "parts": [clean_part], "metadata": "[DATE]"}
    at_request = _at("before_model")
    assert policy.redacted([message], at_request)[0] == [clean]
    assert policy.redacted(message, _at("after_model"))[0] == clean
    elsewhere = policy.redacted([message], _at("input"))[0]
    assert elsewhere[0]["timestamp"] == "[DATE]"
    # What only looks like a message, in what somebody wrote, is a text like any other.
    assert "2026" not in str(policy.redacted([{"content": json.dumps(message)}], at_request)[0])

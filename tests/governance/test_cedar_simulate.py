"""Policies in Cedar tried on verdicts about what enters runs, and on where runs begin and end."""

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from pydantic import Field

from flujo import Append, Decision, Flujo, HumanInput, MemoryStore, PipelineContext, Step, StepInfo, step
from flujo.governance import CedarPolicy, GovernancePolicy, PIIScrubbingPolicy, PolicyContext, PolicyDecision
from flujo.governance.cedar_simulate import simulate
from flujo.pipeline.policy import EVERYWHERE
from flujo.testing import ScriptedModel

PERMIT = '@id("all") permit (principal, action, resource);'
NAMES_BOTH = PERMIT + (
    '@id("no-eve") forbid (principal == Principal::"eve", '
    'action in [Action::"agent_start", Action::"agent_end"], resource);'
)
MAIL = "jane.roe@example.com"


class Letters(PipelineContext):
    lines: Annotated[list[str], Append()] = Field(default_factory=list[str])


@step
async def read(text: str, context: Letters) -> str:
    context.lines.append(text)
    return f"read {text}"


@step
async def file(text: str, context: Letters) -> str:
    context.lines.append(text)
    return f"filed {text}"


letter = (read >> HumanInput("What else?", schema=str, name="more") >> file).named("letter")


async def letters(*policies: GovernancePolicy, given: str = "hello") -> MemoryStore:
    store = MemoryStore()
    runner = Flujo(letter, state=store, policies=policies)
    await runner.run_async(given, run_id="one")
    assert (await runner.resume_async("one", "bye")).output == "filed bye"
    return store


def forbidding(point: str, condition: str) -> CedarPolicy:
    rule = f'@id("no") forbid (principal, action == Action::"{point}", resource) when {{ {condition} }};'
    return CedarPolicy(PERMIT + rule)


@pytest.mark.parametrize(
    ("point", "condition", "changed"),
    [
        ("agent_start", 'context.input == "hello"', 1),
        ("agent_start", 'context.input == "bye"', 0),
        ("agent_start", 'context.context.lines.contains("hello")', 0),
        ("agent_end", 'context.output == "filed bye"', 1),
        ("agent_end", 'context.output == "hello"', 0),
        ("agent_end", 'context.context.lines.contains("hello") && context.context.lines.contains("bye")', 1),
        ("agent_end", 'resource == Pipeline::"letter"', 1),
    ],
)
@pytest.mark.parametrize("plan", [None, Flujo(letter).plan])
async def test_where_runs_begin_and_end_is_judged_anew(
    point: str, condition: str, changed: int, plan: Any
) -> None:
    store = await letters(CedarPolicy(NAMES_BOTH))
    found = await simulate(store, forbidding(point, condition), plan=plan)
    assert found.changes == ({"newly denied": 1} if changed else {})
    assert [(one.address, one.point) for one in found.examples.get("newly denied", ())] == (
        [("", point)] if changed else []
    )
    assert (found.judged, found.unknown, found.entered) == (6, 0, 0)


async def test_what_enters_is_told_apart_from_what_cannot_be_judged() -> None:
    store = await letters(PIIScrubbingPolicy(context="scrub"), given=f"write {MAIL}")
    looking = CedarPolicy(
        "permit (principal, action, resource) when { context has input || context has output };"
    )
    found = await simulate(store, looking)
    kinds = [event for event in await store.events("one") if event.kind == "verdict"]
    entered = [event.address for event in kinds if event.address.endswith(("#entry", "#context"))]
    assert entered == ["#context", "read#context", "more#entry", "file#context"]
    assert found.entered == len(entered)
    assert found.why == {"what was redacted": found.unknown}
    assert found.unknown == 1, "the input that was scrubbed is held by nothing"
    assert found.judged == len(kinds) - len(entered) - found.unknown
    assert not found.changes


async def test_an_effect_of_that_name_is_no_entry() -> None:
    async def work(text: str, info: StepInfo) -> str:
        return await info.do("entry", made, text)

    async def made(text: str) -> str:
        return text

    store = MemoryStore()
    await Flujo(Step(work), state=store, policies=[CedarPolicy(PERMIT + READS)]).run_async("hello")
    found = await simulate(store, forbidding("before_tool", 'context.arguments.text == "hello"'))
    assert (found.changes, found.entered) == ({"newly denied": 1}, 0)


READS = '@id("reads") forbid (principal, action, resource) when { context has arguments && false };'


async def test_what_was_not_let_in_is_told_as_such() -> None:
    store = MemoryStore()
    await Flujo(letter, state=store, policies=[forbidding("agent_start", "true")]).run_async("hello")
    looking = CedarPolicy(PERMIT + 'forbid (principal, action == Action::"agent_start", resource) '
                          'when { context.input == "other" };')  # fmt: skip
    found = await simulate(store, looking)
    assert (found.judged, found.why, found.changes) == (0, {"what was denied": 1}, {})
    blind = await simulate(store, CedarPolicy(PERMIT))
    assert (blind.judged, blind.changes) == (1, {"newly allowed": 1})


class AsksAtTheDoor(GovernancePolicy):
    points = EVERYWHERE - {"input", "output"}

    def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        return PolicyDecision.escalate("look") if input_data == "hello" else PolicyDecision.ALLOW


async def test_what_a_person_put_there_is_judged_for_the_verdict_about_it() -> None:
    store = MemoryStore()
    runner = Flujo(read, state=store, policies=[AsksAtTheDoor()])
    await runner.run_async("hello", run_id="one")
    result = await runner.resume_async("one", Decision("edit", "good day", actor="ada"))
    assert result.output == "read good day"
    found = await simulate(store, forbidding("agent_start", 'context.input == "good day"'))
    assert found.changes == {"newly denied": 1, "newly allowed": 1}


async def test_giving_up_the_force_of_policies_is_judged_anew() -> None:
    store = MemoryStore()
    policies: Mapping[str, CedarPolicy] = {
        mode: CedarPolicy(PERMIT, mode=mode) for mode in ("enforce", "observe")
    }
    await Flujo(letter, state=store, policies=[policies["enforce"]]).run_async("hello", run_id="one")
    observed = Flujo(letter, state=store, policies=[policies["observe"]])
    assert (await observed.resume_async("one", "bye")).status == "completed"
    strict = CedarPolicy(PERMIT + '@id("stay") forbid (principal, action == Action::"observe", resource);')
    found = await simulate(store, strict)
    assert found.changes == {"newly denied": 1}
    assert found.examples["newly denied"][0].rule == "stay"


async def test_why_requests_to_models_are_not_judged_anew() -> None:
    from flujo.agents import ModelAgent

    store = MemoryStore()
    writer = Step(ModelAgent(ScriptedModel("done"), name="write"), name="write")
    await Flujo(writer, state=store, policies=[CedarPolicy(PERMIT)]).run_async("hello", run_id="one")
    rule = 'forbid (principal, action, resource) when { context has input && context.input == "x" };'
    found = await simulate(store, CedarPolicy(PERMIT + rule))
    assert found.why == {"what is said to models, and by them": 1}

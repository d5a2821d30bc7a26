"""A bypass hunt: under a policy that denies every tool, no route whatever comes to a tool."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from typing_extensions import override

from flujo import (
    Branch,
    Decision,
    Flujo,
    FlujoTool,
    Loop,
    Map,
    MayMutate,
    MemoryStore,
    Node,
    Parallel,
    PipelineContext,
    PipelineMutation,
    Retry,
    SQLiteStore,
    Step,
    StepInfo,
    SubPipeline,
    step,
)
from flujo.agents import ModelAgent
from flujo.errors import PolicyDenied
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision, Verdict
from flujo.testing import ScriptedModel, UseTool

executed: list[object] = []


@pytest.fixture(autouse=True)
def nothing_executed() -> None:
    executed.clear()


class DenyTools(GovernancePolicy):
    @override
    async def check_tool(self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext) -> Any:
        return Verdict.DENY


class DenyAll(DenyTools):
    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        return Verdict.DENY


async def tool(amount: int) -> int:
    """Do something that must not be done."""
    executed.append(amount)
    return amount


def blocking_tool(amount: int) -> int:
    """Likewise, in a thread."""
    executed.append(amount)
    return amount


async def direct(number: int, info: StepInfo) -> int:
    return await info.do("tool", tool, number)


async def in_a_thread(number: int, info: StepInfo) -> int:
    return await info.do("tool", blocking_tool, number)


async def swallows(number: int, info: StepInfo) -> int:
    for attempt in range(5):
        try:
            return await info.do(f"tool_{attempt}", tool, number)
        except Exception:  # whatever a step does with it
            continue
    return number


async def side_by_side(number: int, info: StepInfo) -> int:
    await asyncio.gather(*(info.do("tool", tool, number) for _ in range(3)), return_exceptions=True)
    return number


def rejects(output: int) -> bool:
    return False


async def fails(number: int) -> int:
    raise ValueError("no")


@step
async def one_more(number: int) -> int:
    return number + 1


def clerk(*turns: Any, **settings: Any) -> ModelAgent[Any]:
    use = UseTool("tool", {"amount": 5})
    script = turns or (use, [use, use], "5")
    return ModelAgent(ScriptedModel(*script), tools=[FlujoTool(tool, **settings)], name="clerk")


def nested() -> ModelAgent[Any]:
    inner = Agent(ScriptedModel(UseTool("tool", {"amount": 5}), "done"), tools=[tool])

    async def ask_inner(question: str) -> str:
        """Ask another agent."""
        return (await inner.run(question)).output

    return ModelAgent(
        ScriptedModel(UseTool("ask_inner", {"question": "?"}), "done"), tools=[ask_inner], name="outer"
    )


ROUTES: dict[str, Callable[[], Node[Any, Any]]] = {
    "info.do": lambda: Step(direct),
    "a thread": lambda: Step(in_a_thread),
    "swallowed": lambda: Step(swallows),
    "gathered": lambda: Step(side_by_side),
    "retries": lambda: Step(direct, retry=Retry(5, 0)),
    "fallback": lambda: Step(fails, fallback=Step(direct)),
    "fallback of a denied step": lambda: Step(direct, fallback=Step(direct, name="again")),
    "on_denied": lambda: Step(direct, on_denied=Step(direct, name="again")),
    "cache": lambda: Step(direct, cache=True),
    "at most once": lambda: Step(direct, effects="at_most_once"),
    "a validator's retry": lambda: Step(direct, validators=[rejects]),
    "parallel": lambda: Parallel(Step(direct, name="a"), Step(direct, name="b")),
    "loop": lambda: Loop(Step(direct), until=lambda output: False, max_turns=2),
    "branch": lambda: Branch(on=lambda value: "x", cases={"x": Step(direct)}),
    "sub-pipeline": lambda: SubPipeline(one_more >> Step(direct), name="sub"),
    "a model's tool": lambda: Step(clerk()),
    "a model's tool, approved": lambda: Step(clerk(needs_approval=True)),
    "a model's tool, at most once": lambda: Step(clerk(effects="at_most_once")),
    "an agent inside a tool": lambda: Step(nested()),
}


@pytest.mark.parametrize("policy", [DenyTools(), DenyAll()], ids=["tools", "all"])
@pytest.mark.parametrize("durable", [False, True], ids=["live", "durable"])
@pytest.mark.parametrize("route", ROUTES)
async def test_no_route_comes_to_a_tool(route: str, durable: bool, policy: GovernancePolicy) -> None:
    runner = Flujo(ROUTES[route](), state=MemoryStore() if durable else None, policies=[policy])
    result = await runner.run_async("7" if "model" in route or "agent" in route else 7)
    while result.status == "paused":
        one = result.pending[0].id
        result = await runner.resume_async(result, Decision("approve", actor="ada"), request=one)
    assert executed == []


@pytest.mark.parametrize("route", ROUTES)
async def test_without_the_policy_the_same_routes_do(route: str) -> None:
    runner = Flujo(ROUTES[route]())
    result = await runner.run_async("7" if "model" in route or "agent" in route else 7)
    while result.status == "paused":
        one = result.pending[0].id
        result = await runner.resume_async(result, Decision("approve", actor="ada"), request=one)
    assert executed


@pytest.mark.parametrize("durable", [False, True], ids=["live", "durable"])
@pytest.mark.parametrize("place", ["runner", "step"])
async def test_steps_that_a_mutation_brings(place: str, durable: bool) -> None:
    policies = [DenyTools()]
    extra = Step(direct, name="extra", policies=policies if place == "step" else [])

    @step(may_mutate=MayMutate("insert", steps=1, agents=["extra"], nodes={"extra": extra}))
    async def plan(number: int) -> int | PipelineMutation[int]:
        return PipelineMutation(number).insert("extra")

    runner = Flujo(
        plan >> one_more,
        state=MemoryStore() if durable else None,
        policies=policies if place == "runner" else [],
    )
    result = await runner.run_async(7)
    assert isinstance(result.error, PolicyDenied), result
    assert result.error.address == "extra"
    assert executed == []


@pytest.mark.parametrize("place", ["runner", "step"])
async def test_items_of_a_map(place: str) -> None:
    policies = [DenyTools()]
    one = Step(direct, policies=policies if place == "step" else [])
    runner = Flujo(Map(one, on_failure="collect"), policies=policies if place == "runner" else [])
    await runner.run_async([1, 2, 3])
    assert executed == []


async def test_an_agent_that_a_tool_holds_passes_the_gate_as_well() -> None:
    class OnlyThatTool(GovernancePolicy):
        @override
        async def check_tool(
            self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
        ) -> Any:
            return Verdict.DENY if tool_name == "tool" else Verdict.ALLOW

    inner = clerk()

    async def ask_inner(question: str, info: StepInfo, context: PipelineContext) -> str:
        """Ask another agent."""
        return str(await inner.run(question, info, context))

    outer = ScriptedModel(UseTool("ask_inner", {"question": "?"}), "done")
    runner = Flujo(Step(ModelAgent(outer, tools=[ask_inner], name="outer")), policies=[OnlyThatTool()])
    result = await runner.run_async("go")
    assert isinstance(result.error, PolicyDenied), result
    assert (result.error.address, result.error.tool) == ("outer", "tool")
    assert executed == []


async def test_an_edited_approval_and_a_resume_come_to_no_tool() -> None:
    runner = Flujo(Step(clerk(needs_approval=True)), state=MemoryStore(), policies=[DenyTools()])
    paused = await runner.run_async("go", run_id="one")
    result = await runner.resume_async("one", Decision("edit", {"amount": 1}))
    assert (paused.status, result.status) == ("paused", "failed")
    assert executed == []


async def test_a_policy_that_comes_later_holds_for_what_is_left(tmp_path: Path) -> None:
    """A run that began without policies passes the gate from where a runner with policies takes it on."""

    async def asks_first(number: int, info: StepInfo) -> int:
        await info.ask("go on?")
        return await info.do("tool", tool, number)

    store = SQLiteStore(tmp_path / "runs.db")
    await Flujo(Step(asks_first), state=store).run_async(7, run_id="one")
    result = await Flujo(Step(asks_first), state=store, policies=[DenyAll()]).resume_async("one", "yes")
    assert result.status == "failed"
    assert executed == []
    await store.close()


async def test_workers_forks_replays_and_undoing(tmp_path: Path) -> None:
    async def undo(output: int, info: StepInfo) -> None:
        await info.do("tool", tool, output)

    store = SQLiteStore(tmp_path / "runs.db")
    pipeline = Step(fails, name="first", fallback=one_more) >> Step(direct, undo=undo)
    allowed, runner = Flujo(pipeline, state=store), Flujo(pipeline, state=store, policies=[DenyTools()])
    await runner.start_async(7, run_id="worked")
    await runner.carry_on("worked")
    await allowed.run_async(7, run_id="done")
    assert executed == [8]
    assert (await runner.replay("done")).equal
    assert (await runner.fork("done", at="direct")).status == "failed"
    assert executed == [8]
    await store.close()


async def test_a_replay_asks_no_policy_and_agrees_with_what_was_judged(tmp_path: Path) -> None:
    class Counts(GovernancePolicy):
        def __init__(self) -> None:
            self.asked = 0

        @override
        async def check_input(self, context: PolicyContext, input_data: Any) -> Any:
            self.asked += 1
            return PolicyDecision.redact(input_data + 1)

    policy, store = Counts(), SQLiteStore(tmp_path / "runs.db")
    runner = Flujo(one_more >> one_more.named("then"), state=store, policies=[policy])
    result = await runner.run_async(1, run_id="one")
    assert result.output == 5
    assert policy.asked == 2
    report = await runner.replay("one")
    assert report.equal, str(report)
    assert policy.asked == 2
    fork = await runner.fork("one", at="then")
    assert fork.output == 5
    assert policy.asked == 3
    await store.close()

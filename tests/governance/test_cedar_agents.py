"""Policies in Cedar about what models ask for: checked by the tools of an agent, and tried later."""

from flujo import Flujo, FlujoTool, MemoryStore, Step
from flujo.agents import ModelAgent
from flujo.errors import PolicyDenied
from flujo.governance import CedarPolicy
from flujo.governance.cedar_bundle import Bundle
from flujo.governance.cedar_check import check_policies
from flujo.governance.cedar_simulate import simulate
from flujo.plan.compile import compile_plan
from flujo.testing import ScriptedModel, UseTool

PERMIT = '@id("all") permit (principal, action, resource);'
sent: list[tuple[str, str]] = []


async def send(to: str, text: str) -> str:
    """Send a letter."""
    sent.append((to, text))
    return f"sent to {to}"


def writer(*turns: object) -> Step[object, object]:
    tools = [FlujoTool(send, labels=frozenset({"egress"}))]
    return Step(ModelAgent(ScriptedModel(*turns), tools=tools, name="write"), name="write")


def about_tools(condition: str) -> str:
    return (
        PERMIT
        + '@id("letters") forbid (principal, action == Action::"before_tool", resource == Tool::"send")'
        + f"when {{ {condition} }};"
    )


def test_the_tools_of_an_agent_are_in_the_schema() -> None:
    plan = compile_plan(writer("no"))
    good = Bundle.read(about_tools('context.arguments.to == "eve" && resource.labels.contains("egress")'))
    assert check_policies(good, plan) == []
    [wrong] = check_policies(Bundle.read(about_tools('context.arguments.too == "eve"')), plan)
    assert (wrong.rule, wrong.certain) == ("letters", True)


async def test_what_a_model_asks_for_is_judged_before_it_is_done() -> None:
    sent.clear()
    policy = CedarPolicy(about_tools('context.arguments.to == "eve" && resource.labels.contains("egress")'))
    turns = (
        UseTool("send", {"to": "ada", "text": "hello"}),
        UseTool("send", {"to": "eve", "text": "secret"}),
    )
    result = await Flujo(writer(*turns, "done"), policies=[policy]).run_async("write")
    assert isinstance(result.error, PolicyDenied)
    assert (result.error.rule, result.error.tool) == ("letters", "send")
    assert sent == [("ada", "hello")]


async def test_other_policies_are_tried_on_what_models_asked_for() -> None:
    store = MemoryStore()
    turns = (UseTool("send", {"to": "ada", "text": "hello"}), "done")
    runner = Flujo(writer(*turns), state=store, policies=[CedarPolicy(PERMIT)])
    assert (await runner.run_async("write", run_id="one")).output == "done"
    for condition, denied in (
        ('context.arguments.to == "ada"', 1),
        ('context.arguments.to == "bob"', 0),
        ('resource.labels.contains("egress")', 1),
        ('resource.labels.contains("phi")', 0),
    ):
        found = await simulate(store, CedarPolicy(about_tools(condition)))
        assert found.changes.get("newly denied", 0) == denied, condition
    asked = await simulate(
        store, CedarPolicy(PERMIT + 'forbid (principal, action == Action::"before_model", resource);')
    )
    assert asked.changes == {"newly denied": 2}

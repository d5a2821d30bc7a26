"""Rules: what must come first, how often, when, where; over what the run did, in any of its routes."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from flujo import Decision, Flujo, FlujoTool, HumanInput, Map, MemoryStore, Parallel, Step, StepInfo, step
from flujo.agents import ModelAgent
from flujo.errors import ConfigError, PolicyDenied
from flujo.governance import AtMost, Hours, NoEgressAfter, Principal, Regions, Requires, Tools
from flujo.testing import ScriptedModel, UseTool, VirtualClock

calls: list[str] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


@pytest.fixture(params=["live", "durable"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param == "durable" else None


async def called(name: str) -> str:
    calls.append(name)
    return name


async def work(what: str, info: StepInfo) -> str:
    """Call what the input names, one after another; `then:` waits an hour first."""
    for name in what.split():
        if name == "hour":
            await info.sleep(3600)
        else:
            await info.do(name, called, name)
    return what


def denied(result: Any) -> str:
    assert isinstance(result.error, PolicyDenied), result
    return result.error.reason


@step
async def approve(what: str) -> str:
    return what


@step
async def pay(what: str) -> str:
    calls.append("paid")
    return what


async def test_what_is_required_comes_first(store: MemoryStore | None) -> None:
    rule = Requires("approve", before="pay")
    runner = Flujo(Step(work), state=store, policies=[rule])
    assert (await runner.run_async("approve pay")).success
    assert "'approve' must come before 'pay'" in denied(await runner.run_async("pay approve"))
    assert calls == ["approve", "pay"]


async def test_steps_and_people_count_as_well(store: MemoryStore | None) -> None:
    rule = Requires("approve", before="pay")
    assert (await Flujo(approve >> pay, state=store, policies=[rule]).run_async("x")).success
    assert denied(await Flujo(pay, state=store, policies=[rule]).run_async("x"))
    asks = HumanInput("Pay?", schema=str, name="approve") >> pay
    runner = Flujo(asks, state=store, policies=[rule])
    paused = await runner.run_async("x")
    assert (await runner.resume_async(paused, Decision("approve"))).success


async def test_what_happened_before_a_pause_counts(store: MemoryStore | None) -> None:
    pipeline = approve >> HumanInput("Go on?", schema=str, name="ask") >> pay
    runner = Flujo(pipeline, state=store, policies=[Requires("approve", before="pay")])
    paused = await runner.run_async("x")
    assert (await runner.resume_async(paused, Decision("approve"))).success


async def test_at_most_so_many_in_a_run(store: MemoryStore | None) -> None:
    runner = Flujo(Step(work), state=store, policies=[AtMost(2, tool="export*")])
    assert (await runner.run_async("export_a other export_b other")).success
    calls.clear()
    assert "was called 2 times" in denied(await runner.run_async("export_a export_a export_b"))
    assert calls == ["export_a", "export_a"]


async def test_at_most_so_many_in_a_stretch_of_time(store: MemoryStore | None) -> None:
    clock = VirtualClock()
    runner = Flujo(Step(work), state=store, policies=[AtMost(1, tool="export", per="1h")], clock=clock)
    assert (await runner.run_async("export hour hour export")).success
    assert denied(await runner.run_async("export export"))


@pytest.mark.parametrize("times", [1, 3])
async def test_side_by_side_is_no_way_round(store: MemoryStore | None, times: int) -> None:
    one = Step(work, name="one")
    runner = Flujo(Map(one, on_failure="collect"), state=store, policies=[AtMost(times, tool="export")])
    await runner.run_async(["export"] * 8)
    assert calls == ["export"] * times


async def test_retries_are_no_way_round(store: MemoryStore | None) -> None:
    async def stubborn(what: str, info: StepInfo) -> str:
        await info.do(f"export_{info.attempt}", called, "export")
        raise ValueError("again")

    runner = Flujo(Step(stubborn, retry=9), state=store, policies=[AtMost(2, tool="export*")])
    assert denied(await runner.run_async("x"))
    assert calls == ["export", "export"]


async def test_nothing_leaves_the_house_once_data_was_touched(store: MemoryStore | None) -> None:
    async def read_record() -> str:
        """Read a record."""
        return "a record"

    async def send(text: str) -> str:
        """Send a text."""
        calls.append(text)
        return "sent"

    tools = [FlujoTool(read_record, labels=frozenset({"phi"})), FlujoTool(send, labels=frozenset({"egress"}))]

    def runner(*turns: Any) -> Any:
        agent = ModelAgent(ScriptedModel(*turns, "done"), tools=tools, name="clerk")
        return Flujo(Step(agent), state=store, policies=[NoEgressAfter("phi")])

    use_read, use_send = UseTool("read_record", {}), UseTool("send", {"text": "hello"})
    assert (await runner(use_send, use_read).run_async("go")).success
    assert "has touched 'phi'" in denied(await runner(use_read, use_send).run_async("go"))
    assert calls == ["hello"]


async def test_tools_are_allowed_by_name_by_step_and_by_role() -> None:
    rules = [Tools(allow=["read_*"], steps=["reader"]), Tools(deny=["delete_*"], roles=["guest"])]
    reader, other = Flujo(Step(work, name="reader"), policies=rules), Flujo(Step(work), policies=rules)
    assert (await reader.run_async("read_a")).success
    assert denied(await reader.run_async("write_a"))
    assert (await other.run_async("write_a delete_a")).success
    assert denied(await other.run_async("delete_a", principal=Principal("x", roles=("guest",))))


@pytest.mark.parametrize(
    ("at", "rule", "allowed"),
    [
        ("2026-01-05T10:00", Hours("09:00-17:00", days=("mon",)), True),
        ("2026-01-05T17:00", Hours("09:00-17:00"), False),
        ("2026-01-06T10:00", Hours("09:00-17:00", days=("mon",)), False),
        ("2026-01-05T08:30", Hours("09:00-17:00", zone="Europe/Berlin"), True),
        ("2026-01-06T01:00", Hours("22:00-02:00", days=("mon",)), True),
        ("2026-01-05T01:00", Hours("22:00-02:00", days=("mon",)), False),
    ],
)
async def test_hours(at: str, rule: Hours, allowed: bool) -> None:
    clock = VirtualClock(int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1e6))
    result = await Flujo(Step(work), policies=[rule], clock=clock).run_async("pay")
    assert result.success == allowed


async def test_data_goes_to_models_of_some_regions_only() -> None:
    for where, allowed in (("scripted*", True), ("azure:*", False)):
        rule = Regions(["eu"], {"eu": [where, "*scripted*"] if allowed else [where]})
        model = ScriptedModel("hello")
        result = await Flujo(Step(ModelAgent(model, name="teller")), policies=[rule]).run_async("hi")
        assert result.success == allowed, result
        assert bool(model.asked) == allowed


async def test_a_rule_may_ask_or_only_look() -> None:
    asks = Tools(deny=["pay"], verdict="escalate")
    runner = Flujo(Step(work), state=MemoryStore(), policies=[asks])
    paused = await runner.run_async("pay", run_id="one")
    assert paused.pending[0].kind == "policy"
    assert (await runner.resume_async("one", Decision("approve"))).success
    looks = Tools(deny=["pay"], mode="observe")
    assert (await Flujo(Step(work), policies=[looks]).run_async("pay")).success


@pytest.mark.parametrize(
    "make",
    [
        lambda: AtMost(1, tool="x", per="soon"),
        lambda: Hours("all day"),
        lambda: Hours("09:00-10:00", zone="Mars/Olympus"),
        lambda: Hours("09:00-10:00", days=("someday",)),
        lambda: Tools(allow="read"),
        lambda: Regions(["eu"], {"us": ["*"]}),
        lambda: Requires("a", before="b", verdict="perhaps"),
    ],
)
def test_rules_that_cannot_work_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


async def test_branches_share_one_history(store: MemoryStore | None) -> None:
    both = Parallel(Step(work, name="a"), Step(work, name="b"))
    runner = Flujo(both, state=store, policies=[AtMost(1, tool="export")])
    results = await asyncio.gather(*(runner.run_async("export") for _ in range(20)))
    assert len(calls) == 20
    assert all(isinstance(result.error, PolicyDenied) for result in results)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Regions(["eu"], {"eu": "azure:*"}),
        lambda: Regions(["eu"], {"eu": ["azure:*"]}, labels="phi"),
        lambda: NoEgressAfter("phi", tools="send_*"),
        lambda: Hours("09:00-17:00", tools="pay"),
        lambda: Hours("09:00-17:00", steps="pay"),
    ],
)
def test_a_text_in_the_place_of_a_list_is_refused(make: Any) -> None:
    """Its letters would be patterns: a star among them lets everything through, the others nothing."""
    with pytest.raises(ConfigError, match="is no list"):
        make()


async def test_regions_take_patterns_of_labels() -> None:
    rule = Regions(["eu"], {"eu": ["azure:*"]}, labels=["pii.*"])

    runner = Flujo(Step(ModelAgent(ScriptedModel("done", "done"), name="draft")), policies=[rule])
    denied = await runner.run_async("x", input_labels=["pii.name"])
    assert isinstance(denied.error, PolicyDenied)
    assert (await runner.run_async("x", input_labels=["phi"])).status == "completed"

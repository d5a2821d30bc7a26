"""Policies in Cedar: only an explicit Allow without any error allows, and runs keep what they began with."""

import asyncio
import os
import sqlite3
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import from_json

from flujo import Flujo, HumanInput, MemoryStore, Parallel, PipelineContext, Step, StepInfo
from flujo.errors import ConfigError, PolicyDenied
from flujo.governance import CedarPolicy, Principal
from flujo.governance.cedar_place import ToldRun
from flujo.governance.cedar_values import NotForCedar, cedar_value
from flujo.journal.store import JournalStore
from flujo.journal.verify import verify
from flujo.pipeline.policy import PolicyContext
from flujo.testing import VirtualClock

PERMIT = "permit (principal, action, resource);"
calls: list[object] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


class Order(BaseModel):
    amount: int
    to: str = "ada"
    rate: float | None = None


async def pay(order: Order) -> str:
    calls.append(order.amount)
    return f"paid {order.amount} to {order.to}"


step = Step(pay, name="pay")


async def verdicts(store: JournalStore, run_id: str = "one") -> list[dict[str, Any]]:
    return [from_json(event.body) for event in await store.events(run_id) if event.kind == "verdict"]


async def judged(policies: str, order: Order | None = None, **more: Any) -> PolicyDenied | str:
    """Run the step under policies, and return what it gave, or its denial."""
    runner = Flujo(step, policies=[CedarPolicy(policies)], clock=VirtualClock())
    result = await runner.run_async(order or Order(amount=5), **more)
    if isinstance(result.error, PolicyDenied):
        assert result.status == "failed"
        return result.error
    assert result.error is None
    assert result.output is not None
    return result.output


async def denied(policies: str, order: Order | None = None, **more: Any) -> PolicyDenied:
    answer = await judged(policies, order, **more)
    assert isinstance(answer, PolicyDenied), answer
    return answer


async def test_what_is_permitted_goes_on() -> None:
    assert await judged(PERMIT) == "paid 5 to ada"


async def test_what_nothing_permits_is_denied() -> None:
    error = await denied('permit (principal, action == Action::"output", resource);')
    assert (error.policy, error.reason, error.rule) == ("cedar", "no policy permits it", "")
    assert calls == []


async def test_a_forbid_beats_a_permit() -> None:
    policies = PERMIT + '@id("limit") @reason("too much") forbid (principal, action, resource)'
    policies += "when { context has input && context.input.amount > 100 };"
    assert await judged(policies) == "paid 5 to ada"
    error = await denied(policies, Order(amount=101))
    assert (error.rule, error.reason, error.point) == ("limit", "too much", "input")


@pytest.mark.parametrize(
    "condition",
    [
        "context.nothing.there",
        "context.input.amount > context.input.missing",
        'context.input.amount > "text"',
        "9223372036854775807 + context.input.amount > 1",
        'principal.getTag("department") == "x"',
    ],
)
@pytest.mark.parametrize("effect", ["forbid", "permit"])
async def test_a_policy_that_cannot_be_evaluated_denies_beside_one_that_permits(
    effect: str, condition: str
) -> None:
    """Cedar itself would allow here: it leaves out policies that fail."""
    policies = f"{PERMIT} @id('x') {effect} (principal, action, resource) when {{ {condition} }};".replace(
        "'", '"'
    )
    error = await denied(policies)
    assert "the policy failed" in error.reason
    assert calls == []


async def test_what_went_wrong_is_recorded_by_the_rules_own_name() -> None:
    store = MemoryStore()
    policy = CedarPolicy(PERMIT + '@id("odd") forbid (principal, action, resource) when { context.nothing };')
    await Flujo(step, state=store, policies=[policy]).run_async(Order(amount=1), run_id="one")
    [verdict] = await verdicts(store)
    [said] = verdict["by"]
    assert said["version"] == policy.version
    assert "'odd'" in said["errors"][0]
    assert "does not have the attribute `nothing`" in said["errors"][0]


async def test_a_decision_is_recorded_with_its_version_and_the_hash_of_what_was_asked() -> None:
    store = MemoryStore()
    policy = CedarPolicy('@id("all") @reason("fine") ' + PERMIT, name="house")
    await Flujo(step, state=store, policies=[policy]).run_async(Order(amount=1), run_id="one")
    first, second = (verdict["by"][0] for verdict in await verdicts(store))
    assert (first["policy"], first["version"], first["rule"], first["reason"]) == (
        "house", policy.version, "all", "fine",
    )  # fmt: skip
    assert len(first["inputs"]) == 64
    assert first["inputs"] != second["inputs"]


ADA = Principal("ada", ("clerk",), "north", {"level": "3"})


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('principal == Principal::"ada"', True),
        ('principal in Role::"clerk"', True),
        ('principal in Role::"chief"', False),
        ('principal.roles.contains("clerk")', True),
        ('principal.tenant == "north" && context.tenant == "north"', True),
        ('principal.hasTag("level") && principal.getTag("level") == "3"', True),
        ('resource == Step::"pay"', True),
        ('resource in Pipeline::"pay"', True),
        ('action in Action::"check_input" || action in Action::"check_output"', True),
        ('context.step == "pay" && context.address == "pay"', True),
        ('context.at > datetime("2020-01-01")', True),
        ('context.labels.contains("phi")', False),
        ("context has input && context.input has rate", False),
    ],
)
async def test_what_policies_may_look_at(condition: str, holds: bool) -> None:
    policies = f"permit (principal, action, resource) when {{ {condition} }};"
    policies += 'permit (principal, action == Action::"output", resource);'
    answer = await judged(policies, principal=ADA)
    assert isinstance(answer, str) == holds


async def test_a_call_of_a_tool_lies_in_its_step() -> None:
    async def settle(amount: int, info: StepInfo) -> str:
        return await info.do("transfer", transfer, amount)

    async def transfer(amount: int) -> str:
        calls.append(amount)
        return f"sent {amount}"

    policies = (
        PERMIT
        + """
        @id("large") forbid (principal, action == Action::"before_tool", resource == Tool::"transfer")
        when { resource in Step::"settle" && context.arguments.amount > 100 };
    """
    )
    runner = Flujo(Step(settle), policies=[CedarPolicy(policies)])
    assert (await runner.run_async(90)).output == "sent 90"
    error = (await runner.run_async(900)).error
    assert isinstance(error, PolicyDenied)
    assert (error.rule, error.tool, calls) == ("large", "transfer", [90])


async def test_obligations() -> None:
    def about(obligation: str) -> str:
        return (
            PERMIT
            + f'@id("o") @obligation("{obligation}") permit (principal, action == Action::"input", resource);'
        )

    store = MemoryStore()
    paused = await Flujo(step, state=store, policies=[CedarPolicy(about("approve"))]).run_async(
        Order(amount=5)
    )
    assert paused.status == "paused"
    assert calls == []
    error = await denied(about("aprove"))
    assert "the policy failed" in error.reason
    await Flujo(step, state=store, policies=[CedarPolicy(about("warn"))]).run_async(
        Order(amount=5), run_id="one"
    )
    assert (await verdicts(store))[0]["verdict"] == "warn"


async def test_two_people_where_policies_ask_for_them() -> None:
    policy = CedarPolicy('@obligation("approve_by_two") ' + PERMIT)
    paused = await Flujo(step, state=MemoryStore(), policies=[policy]).run_async(Order(amount=5))
    assert paused.pending[0].approvals == 2


async def test_redacting_by_obligation() -> None:
    policies = PERMIT + '@obligation("redact") permit (principal, action == Action::"output", resource);'
    by_hand = CedarPolicy(policies, redact=lambda data, context: data.replace("ada", "[WHO]"))
    assert (await Flujo(step, policies=[by_hand]).run_async(Order(amount=5))).output == "paid 5 to [WHO]"
    personal = Flujo(step, policies=[CedarPolicy(policies)])
    assert (await personal.run_async(Order(amount=5, to="ada@example.com"))).output == "paid 5 to [EMAIL]"


async def test_observing_has_no_force() -> None:
    store = MemoryStore()
    policy = CedarPolicy("forbid (principal, action, resource);", mode="observe")
    result = await Flujo(step, state=store, policies=[policy]).run_async(Order(amount=5), run_id="one")
    assert result.output == "paid 5 to ada"
    assert [verdict["by"][0]["verdict"] for verdict in await verdicts(store)] == ["deny", "deny"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("permit (principal", "is no Cedar"),
        ('@obligations("approve") ' + PERMIT, "@obligations(…) means nothing here"),
        ('@obligation("approve") forbid (principal, action, resource);', "a forbid cannot oblige"),
        ('@id("a") permit (principal, action, resource);' * 2, "stands in policy.cedar, too"),
        ("permit (principal == ?principal, action, resource);", "holds a template"),
    ],
)
def test_what_would_not_mean_what_it_seems_to_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CedarPolicy(text)
    assert said in str(caught.value)


def test_a_folder_of_policies(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no .cedar file"):
        CedarPolicy(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        CedarPolicy(tmp_path / "none.cedar")
    (tmp_path / "b.cedar").write_text("forbid (principal, action, resource); // the end")
    (tmp_path / "a.cedar").write_text(PERMIT)
    policy = CedarPolicy(tmp_path)
    assert [(rule.id, rule.permits) for rule in policy.bundle.rules.values()] == [
        ("a.cedar#1", True),
        ("b.cedar#1", False),
    ]
    assert policy.version == CedarPolicy(tmp_path).version
    (tmp_path / "a.cedar").write_text(PERMIT + " ")
    assert policy.version != CedarPolicy(tmp_path).version


# Values


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Order(amount=1), {"amount": 1, "to": "ada"}),
        (Point(2), {"x": 2}),
        ([1, None, Colour.RED], [1, "red"]),
        (1.25, {"__extn": {"fn": "decimal", "arg": "1.2500"}}),
        (Decimal("-0.00004"), {"__extn": {"fn": "decimal", "arg": "-0.0000"}}),
        (date(2026, 1, 2), {"__extn": {"fn": "datetime", "arg": "2026-01-02"}}),
        (
            datetime(2026, 1, 2, 3, 4, 5, 6000, UTC),
            {"__extn": {"fn": "datetime", "arg": "2026-01-02T03:04:05.006Z"}},
        ),
        (timedelta(seconds=1.5), {"__extn": {"fn": "duration", "arg": "1500ms"}}),
        (b"\x00", "AA=="),
    ],
)
def test_values(value: object, written: object) -> None:
    assert cedar_value(value) == written


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        float("nan"),
        1e300,
        {"__entity": {"type": "Role", "id": "chief"}},
        {"a": [{"__extn": {"fn": "ip", "arg": "1.2.3.4"}}]},
        {(1, 2): 3},
        object(),
    ],
)
def test_what_cedar_cannot_hold(value: object) -> None:
    with pytest.raises(NotForCedar):
        cedar_value(value)


async def test_what_cedar_cannot_hold_is_denied_where_policies_look_at_it() -> None:
    looks = (
        PERMIT
        + "forbid (principal, action, resource) when { context has input && context.input.amount > 100 };"
    )
    assert isinstance(await judged(looks, Order(amount=2**63)), PolicyDenied)
    assert await judged(PERMIT, Order(amount=2**63)) == f"paid {2**63} to ada"
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(NotForCedar, match="nested"):
        cedar_value(deep)
    texts = (
        PERMIT + 'forbid (principal, action, resource) when { context has input && context.input.to == "x" };'
    )
    assert isinstance(await judged(texts, Order.model_construct(amount=1, to="\ud800")), PolicyDenied)


class Case(PipelineContext):
    risk: int = 3


async def test_the_runs_context() -> None:
    async def look(order: Order, context: Case) -> str:
        return "looked"

    policies = "permit (principal, action, resource) when { context.context.risk < 5 };"
    runner = Flujo(Step(look), policies=[CedarPolicy(policies)])
    assert (await runner.run_async(Order(amount=1))).output == "looked"
    assert isinstance((await runner.run_async(Order(amount=1), context=Case(risk=7))).error, PolicyDenied)


# The kill switch


async def test_a_kill_switch_can_only_tighten(tmp_path: Path) -> None:
    switch = tmp_path / "stop.cedar"
    strict = Flujo(step, policies=[CedarPolicy("forbid (principal, action, resource);", kill_switch=switch)])
    runner = Flujo(step, policies=[CedarPolicy(PERMIT, kill_switch=switch)])
    assert (await runner.run_async(Order(amount=1))).output == "paid 1 to ada"

    switch.write_text(PERMIT)
    assert isinstance((await strict.run_async(Order(amount=1))).error, PolicyDenied)
    assert (await runner.run_async(Order(amount=1))).output == "paid 1 to ada"

    switch.write_text('@id("stop") forbid (principal, action, resource == Step::"pay");')
    error = (await runner.run_async(Order(amount=1))).error
    assert isinstance(error, PolicyDenied)
    assert error.rule == "stop"

    switch.write_text("forbid (principal, action, resource) when { context.nothing };")
    assert isinstance((await runner.run_async(Order(amount=1))).error, PolicyDenied)
    switch.write_text("forbid (")
    assert isinstance((await runner.run_async(Order(amount=1))).error, PolicyDenied)
    switch.write_text('@obligation("approve") permit (principal, action, resource);')
    assert (
        await Flujo(step, state=MemoryStore(), policies=[CedarPolicy(PERMIT, kill_switch=switch)]).run_async(
            Order(amount=1)
        )
    ).status == "paused"
    os.remove(switch)
    assert (await runner.run_async(Order(amount=1))).output == "paid 1 to ada"
    switch.symlink_to(tmp_path / "nowhere")
    assert isinstance((await runner.run_async(Order(amount=1))).error, PolicyDenied)


# What runs keep


async def double(order: Order) -> Order:
    return Order(amount=2 * order.amount)


def asking(policies: str, store: JournalStore | None, **more: Any) -> Flujo[Any, Any, Any]:
    """Return a runner whose runs wait before they pay."""
    ask = HumanInput("Pay?", schema=Order, name="ask")
    return Flujo(Step(double) >> ask >> step, state=store, policies=[CedarPolicy(policies, **more)])


FORBID = '@id("closed") forbid (principal, action, resource == Step::"pay");'


@pytest.mark.parametrize("durable", [True, False])
async def test_a_run_goes_on_by_the_policies_it_began_with(durable: bool) -> None:
    store = MemoryStore() if durable else None
    paused = await asking(PERMIT, store).run_async(Order(amount=1), run_id="one")
    later = asking(PERMIT + FORBID, store)
    done = await later.resume_async(paused, Order(amount=3))
    assert done.output == "paid 3 to ada"
    paused = await later.run_async(Order(amount=1), run_id="two")
    denied = await asking(PERMIT, store).resume_async(paused, Order(amount=3))
    assert isinstance(denied.error, PolicyDenied)
    assert denied.error.rule == "closed"


async def test_the_policies_are_stored_once_and_named_by_each_verdict() -> None:
    store = MemoryStore()
    for run_id in ("one", "two"):
        await asking(PERMIT, store).run_async(Order(amount=1), run_id=run_id)
        await asking(PERMIT + FORBID, store).resume_async(run_id, Order(amount=3))
        kept = [from_json(one.body) for one in await store.events(run_id) if one.kind == "policies"]
        [body] = kept
        assert (body["policy"], body["mode"], body["version"]) == ("cedar", "enforce", body["bundle_ref"])
        assert PERMIT.encode() in await store.payload(bytes.fromhex(body["bundle_ref"]))
        assert {verdict["by"][0]["version"] for verdict in await verdicts(store, run_id)} == {body["version"]}


async def test_a_fork_begins_with_the_policies_of_its_day() -> None:
    store = MemoryStore()
    await asking(PERMIT, store).run_async(Order(amount=1), run_id="one")
    await asking(PERMIT, store).resume_async("one", Order(amount=3))
    later = asking(PERMIT + FORBID, store)
    forked = await later.fork("one", at="pay", run_id="fork")
    assert isinstance(forked.error, PolicyDenied)


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("durable", [True, False])
async def test_to_stop_enforcing_is_judged_by_what_is_enforced(allowed: bool, durable: bool) -> None:
    store = MemoryStore() if durable else None
    policies = (
        'permit (principal, action in [Action::"check_input", Action::"check_output"], resource);' + FORBID
    )
    if allowed:
        policies += (
            '@id("may") permit (principal == Principal::"chief", action == Action::"observe", resource);'
        )
    paused = await asking(policies, store).run_async(
        Order(amount=1), run_id="one", principal=Principal("chief")
    )
    went_on = await asking(PERMIT, store, mode="observe").resume_async(paused, Order(amount=3))
    assert isinstance(went_on.error, PolicyDenied) == (not allowed)
    if store is not None:
        act = next(verdict for verdict in await verdicts(store) if verdict["point"] == "observe")
        assert act["verdict"] == ("allow" if allowed else "deny")
        assert act["by"][0].get("rule") == ("may" if allowed else None)
        kept = [from_json(one.body) for one in await store.events("one") if one.kind == "policies"]
        assert [body["mode"] for body in kept] == ["enforce", "observe"][: 1 + allowed]


async def test_observing_becomes_enforcing_when_a_run_goes_on() -> None:
    store = MemoryStore()
    await asking(PERMIT + FORBID, store, mode="observe").run_async(Order(amount=1), run_id="one")
    done = await asking(PERMIT, store).resume_async("one", Order(amount=3))
    assert isinstance(done.error, PolicyDenied)


def test_policies_that_runs_could_not_tell_apart() -> None:
    with pytest.raises(ConfigError, match="two policies have the id"):
        Flujo(step, policies=[CedarPolicy(PERMIT), CedarPolicy(FORBID)])
    Flujo(step, policies=[CedarPolicy(PERMIT), CedarPolicy(FORBID, name="other")])


async def test_what_cannot_be_evaluated_does_not_stop_enforcing() -> None:
    store = MemoryStore()
    policies = PERMIT + 'forbid (principal, action == Action::"observe", resource) when { context.nothing };'
    paused = await asking(policies + FORBID, store).run_async(Order(amount=1), run_id="one")
    went_on = await asking(PERMIT, store, mode="observe").resume_async(paused, Order(amount=3))
    assert isinstance(went_on.error, PolicyDenied)
    act = next(verdict for verdict in await verdicts(store) if verdict["point"] == "observe")
    assert act["verdict"] == "deny"


async def test_branches_that_come_first_together_keep_one() -> None:
    store = MemoryStore()
    both = Parallel(a=Step(double, name="a"), b=Step(double, name="b"))
    runner = Flujo(both, state=store, policies=[CedarPolicy(PERMIT)])
    await runner.run_async(Order(amount=1), run_id="one")
    kinds = [event.kind for event in await store.events("one")]
    assert kinds.count("policies") == 1
    assert kinds.index("policies") < kinds.index("verdict")


async def test_a_replay_asks_nobody() -> None:
    store = MemoryStore()
    await Flujo(step, state=store, policies=[CedarPolicy(PERMIT)]).run_async(Order(amount=1), run_id="one")
    report = await Flujo(step, state=store, policies=[CedarPolicy(FORBID)]).replay("one")
    assert report.equal


async def test_the_audit_finds_what_became_of_kept_policies(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with Flujo(step, state=path, policies=[CedarPolicy(PERMIT)]) as runner:
        await runner.run_async(Order(amount=1), run_id="one")
        assert runner.store is not None
        assert (await verify(runner.store, "one")).sound
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM payloads WHERE instr(bytes, 'cedar/1') > 0")
    connection.close()
    async with Flujo(step, state=path, policies=[CedarPolicy(PERMIT)]) as runner:
        assert runner.store is not None
        assert not (await verify(runner.store, "one")).sound


async def test_the_labels_of_a_tool() -> None:
    policy = CedarPolicy(
        'permit (principal, action, resource is Tool) when { resource.labels.contains("egress") };'
    )
    for labels, verdict in ((["egress", "phi"], "allow"), (["phi"], "deny"), ([], "deny")):
        context = PolicyContext("before_tool", "pay", "pay#send", ToldRun(), "send", {"labels": labels})
        assert policy.judge(context, {}).verdict.value == verdict


async def test_decisions_of_runs_side_by_side_are_never_mixed_up() -> None:
    async def same(number: int) -> int:
        return number

    policies = """permit (principal, action, resource) when {
        !(context has input) || (context.input == 1) == (principal.getTag("odd") == "yes")
    };"""
    runner = Flujo(Step(same), policies=[CedarPolicy(policies)])

    async def allowed(number: int) -> bool:
        odd = number % 2 == (number % 3 > 0)
        who = Principal(f"p{number % 7}", attributes={"odd": "yes" if odd else "no"})
        return (await runner.run_async(number % 2, principal=who)).status == "completed"

    found = await asyncio.gather(*(allowed(number) for number in range(1000)))
    assert found == [(number % 2 == 1) == (number % 2 == (number % 3 > 0)) for number in range(1000)]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cedarpy", None)
    with pytest.raises(ConfigError, match=r"need the package cedarpy") as caught:
        CedarPolicy(PERMIT)
    assert "flujo[cedar]" in caught.value.fix

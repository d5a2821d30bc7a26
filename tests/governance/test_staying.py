"""A run goes on under the policies that it began under, whoever goes on with it."""

from pathlib import Path
from typing import Any

import pytest

from flujo import Decision, Flujo, HumanInput, MemoryStore, SQLiteStore, WaitForEvent, step
from flujo.errors import PlanChanged, ResumeError, UnknownAddress
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision
from flujo.journal.store import JournalStore


class Allows(GovernancePolicy):
    """A policy that counts what it is asked."""

    def __init__(self, name: str, mode: Any = "enforce") -> None:
        self.id = name
        self.mode = mode
        self.asked = 0

    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        self.asked += 1
        return PolicyDecision.ALLOW


class AtTheDoor(Allows):
    """One that judges whole runs, too."""

    points = ("agent_start",)


@step
async def read(number: int) -> int:
    return number


@step
async def pay(number: int) -> int:
    return number + 1


@step(policies=[Allows("own")])
async def send(number: int) -> int:
    return number + 1


steps = read >> HumanInput("Pay?", schema=int, name="ask") >> pay


async def paused(store: JournalStore, *policies: GovernancePolicy, pipeline: Any = steps) -> None:
    await Flujo(pipeline, state=store, policies=policies).run_async(1, run_id="one")


async def test_it_does_not_go_on_without_one() -> None:
    store = MemoryStore()
    await paused(store, Allows("first"), Allows("second"))
    before = len(await store.events("one"))
    for there in ([], [Allows("second")], [Allows("another")]):
        with pytest.raises(ResumeError, match="policies that are not here: first"):
            await Flujo(steps, state=store, policies=there).resume_async("one", Decision("approve"))
    assert len(await store.events("one")) == before, "and nothing is lost: it waits as it did"
    kept = Allows("first"), Allows("second"), Allows("third")
    done = await Flujo(steps, state=store, policies=kept).resume_async("one", Decision("approve"))
    assert done.output == 2
    assert all(policy.asked for policy in kept)


async def test_nothing_else_is_done_with_it_either(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "flujo_ops.db")
    await paused(store, Allows("first"))
    bare = Flujo(steps, state=store)
    with pytest.raises(ResumeError, match="first"):
        await bare.answer("one", Decision("approve"))
    with pytest.raises(ResumeError, match="first"):
        await bare.fork("one", at="read", input=5)
    assert (await bare.cancel("one")).status == "cancelled", "to end it needs nobody's leave"
    await bare.close()


async def test_an_event_is_not_delivered_past_them() -> None:
    store = MemoryStore()
    waits = read >> WaitForEvent("paid", schema=int)
    await paused(store, Allows("first"), pipeline=waits)
    with pytest.raises(ResumeError, match="first"):
        await Flujo(waits, state=store).signal("one", "paid", 3)
    assert await store.signals("one") == []


async def test_what_began_without_goes_on_with_and_without() -> None:
    for policies in ([], [Allows("first")]):
        store = MemoryStore()
        await paused(store)
        done = await Flujo(steps, state=store, policies=policies).resume_async("one", Decision("approve"))
        assert done.output == 2


async def test_one_that_only_observes_is_not_missed_and_is_there() -> None:
    store = MemoryStore()
    await paused(store, Allows("watching", mode="observe"), Allows("first"))
    there = [Allows("first", mode="observe")]
    done = await Flujo(steps, state=store, policies=there).resume_async("one", Decision("approve"))
    assert done.output == 2


async def test_a_policy_of_a_step_is_not_lost_with_its_code() -> None:
    store = MemoryStore()
    await paused(store, pipeline=read >> HumanInput("Send?", schema=int, name="ask") >> send)
    changed = read >> HumanInput("Send?", schema=int, name="ask") >> pay.named("send")
    with pytest.raises(ResumeError, match="own"):
        await Flujo(changed, state=store).resume_async("one", Decision("approve"))


async def test_a_fork_is_bound_as_its_origin_is() -> None:
    store = MemoryStore()
    await paused(store, Allows("first"))
    await Flujo(steps, state=store, policies=[Allows("first")]).fork("one", at="ask", run_id="two")
    with pytest.raises(ResumeError, match="first"):
        await Flujo(steps, state=store).resume_async("two", Decision("approve"))


async def test_that_it_may_go_on_without_is_decided_and_recorded() -> None:
    store = MemoryStore()
    await paused(store, Allows("first"), Allows("second"))
    less = Flujo(steps, state=store, policies=[Allows("second")])
    report = await less.upgrade("one", check=True)
    assert (report.verdict, report.policies) == ("needs a decision", ("first",))
    with pytest.raises(PlanChanged, match="without the policies first"):
        await less.upgrade("one")
    assert (await less.upgrade("one", allow=True)).upgraded
    (event,) = [event for event in await store.events("one") if event.kind == "run.upgraded"]
    assert b'"policies":["second"]' in event.body
    assert (await less.resume_async("one", Decision("approve"))).output == 2
    with pytest.raises(ResumeError, match="ended"):
        await less.upgrade("one")


async def test_a_runner_under_further_policies_begins_runs_under_all() -> None:
    store = MemoryStore()
    runner = Flujo(steps, state=store, policies=[Allows("first")])
    await runner.under([Allows("second")]).run_async(1, run_id="one")
    with pytest.raises(ResumeError, match="second"):
        await runner.resume_async("one", Decision("approve"))


async def test_where_it_can_be_forked_is_told_by_places_alone() -> None:
    store = MemoryStore()
    at_the_door = AtTheDoor("first")
    await paused(store, at_the_door)
    with pytest.raises(UnknownAddress) as raised:
        await Flujo(steps, state=store, policies=[at_the_door]).fork("one", at="nowhere")
    assert raised.value.fix == "choose from read, ask"

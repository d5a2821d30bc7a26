"""Who a run goes for, who must agree, and how both are recorded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json
from typing_extensions import override

from flujo import Decision, Flujo, MemoryStore, SQLiteStore, Step, StepInfo, step
from flujo.errors import AnswerRejected, PipelineError, PolicyDenied
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision, Principal, Verdict

ADA = Principal("ada", roles=("nurse",), tenant="north", attributes={"clearance": 3})


@step
async def look(record: str) -> str:
    return f"saw {record}"


class NursesOnly(GovernancePolicy):
    """Judges on whose behalf a run goes."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        self.seen.append((context.principal.id, context.tenant))
        if "nurse" in context.principal.roles and context.principal.attributes["clearance"] >= 3:
            return Verdict.ALLOW
        return PolicyDecision.deny("nurses only")


async def test_policies_judge_on_whose_behalf_a_run_goes() -> None:
    policy = NursesOnly()
    runner = Flujo(look, policies=[policy])
    assert (await runner.run_async("x", principal=ADA)).output == "saw x"
    assert isinstance((await runner.run_async("x")).error, PolicyDenied)
    assert isinstance((await runner.run_async("x", principal=Principal("bob"))).error, PolicyDenied)
    assert policy.seen == [("ada", "north"), ("", ""), ("bob", "")]


async def test_the_principal_is_recorded_and_travels_with_the_run(tmp_path: Path) -> None:
    store, policy = SQLiteStore(tmp_path / "runs.db"), NursesOnly()
    runner = Flujo(look, state=store, policies=[policy])
    await runner.start_async("x", run_id="one", principal=ADA)
    (begun, *_) = await store.events("one")
    assert from_json(begun.body)["principal"] == {
        "id": "ada",
        "roles": ["nurse"],
        "tenant": "north",
        "attributes": {"clearance": 3},
    }
    woken = await Flujo(look, state=store, policies=[policy]).carry_on("one")  # as a worker does
    assert woken.result is not None
    assert woken.result.output == "saw x"
    assert policy.seen == [("ada", "north")]
    fork = await runner.fork("one", at="look")
    assert fork.output == "saw x"
    assert policy.seen[1:] == [("ada", "north")]
    await runner.close()


def test_a_principal_is_what_it_says() -> None:
    with pytest.raises(PipelineError, match="roles"):
        Principal("ada", roles="nurse")  # pyright: ignore[reportArgumentType]
    with pytest.raises(PipelineError, match="no text"):
        Principal(5)  # pyright: ignore[reportArgumentType]


class TwoMustAgree(GovernancePolicy):
    @override
    def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        return PolicyDecision.escalate("two must agree", approvals=2)


@pytest.fixture(params=["live", "durable"])
def store(request: pytest.FixtureRequest) -> MemoryStore | None:
    return MemoryStore() if request.param == "durable" else None


async def test_two_people_must_approve(store: MemoryStore | None) -> None:
    runner = Flujo(look, state=store, policies=[TwoMustAgree()])
    paused = await runner.run_async("x", run_id="one")
    assert (paused.pending[0].approvals, paused.pending[0].approved_by) == (2, ())
    assert paused.pending[0].address == "look#gate/input"
    assert paused.pending[0].subject == "x"
    paused = await runner.resume_async(paused, Decision("approve", actor="ada"))
    assert paused.status == "paused"
    assert paused.pending[0].approved_by == ("ada",)
    for decision in (Decision("approve", actor="ada"), Decision("approve")):
        with pytest.raises(AnswerRejected, match="2 people must approve"):
            await runner.resume_async(paused, decision)
    result = await runner.resume_async(paused, Decision("approve", actor="bob"))
    assert result.output == "saw x"
    if store is not None:
        told = [
            (event.kind, from_json(event.body)["actor"])
            for event in await store.events("one")
            if event.kind in ("approval", "answer")
        ]
        assert told == [("approval", "ada"), ("answer", "bob")]


async def test_the_second_may_deny(store: MemoryStore | None) -> None:
    runner = Flujo(look, state=store, policies=[TwoMustAgree()])
    paused = await runner.run_async("x", run_id="one")
    paused = await runner.resume_async(paused, Decision("approve", actor="ada"))
    result = await runner.resume_async(paused, Decision("deny", actor="bob", reason="no"))
    assert isinstance(result.error, PolicyDenied)


async def test_approvals_of_what_was_edited_are_counted_anew() -> None:
    runner = Flujo(look, state=MemoryStore(), policies=[TwoMustAgree()])
    await runner.run_async("x", run_id="one")
    await runner.resume_async("one", Decision("approve", actor="ada"))
    paused = await runner.resume_async("one", Decision("edit", "y", actor="bob"))
    assert (paused.pending[0].subject, paused.pending[0].approved_by) == ("y", ())
    paused = await runner.resume_async("one", Decision("approve", actor="ada"))
    assert paused.status == "paused"
    result = await runner.resume_async("one", Decision("approve", actor="bob"))
    assert result.output == "saw y"


async def test_an_obligation_asks_as_well() -> None:
    class Obliges(GovernancePolicy):
        @override
        def check_input(self, context: PolicyContext, input_data: Any) -> Any:
            return PolicyDecision(Verdict.ALLOW, obligations=("approve_by_two",))

    paused = await Flujo(look, state=MemoryStore(), policies=[Obliges()]).run_async("x")
    assert paused.pending[0].approvals == 2


async def test_an_escalated_output_waits_too(store: MemoryStore | None) -> None:
    class LooksAtOutputs(GovernancePolicy):
        @override
        def check_output(self, context: PolicyContext, output: Any) -> Any:
            return Verdict.ALLOW if "fine" in output else PolicyDecision.escalate("read it first")

    runner = Flujo(look, state=store, policies=[LooksAtOutputs()])
    paused = await runner.run_async("x", run_id="one")
    assert paused.pending[0].subject == "saw x"
    result = await runner.resume_async(paused, Decision("edit", "it is fine"))
    assert result.output == "it is fine"
    paused = await runner.run_async("x", run_id="two")
    assert (await runner.resume_async(paused, Decision("approve"))).output == "saw x"


@pytest.mark.parametrize("actor", [" ada ", "ADA", "a\u200bda", "\uff41da", "  ", ""])
async def test_the_second_of_two_people_is_another_person(actor: str) -> None:
    class Two(GovernancePolicy):
        @override
        async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
            return PolicyDecision.escalate("two must look", approvals=2)

    runner = Flujo(look, state=MemoryStore(), policies=[Two()])
    await runner.run_async("x", run_id="one")
    await runner.resume_async("one", Decision("approve", actor="ada"))
    with pytest.raises(AnswerRejected, match="2 people must approve"):
        await runner.resume_async("one", Decision("approve", actor=actor))
    assert (await runner.resume_async("one", Decision("approve", actor="bob"))).output == "saw x"


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "live"])
async def test_an_edit_that_does_not_fit_is_asked_for_again(durable: bool) -> None:
    async def send(amount: int) -> str:
        return f"sent {amount}"

    async def settle(amount: int, info: StepInfo) -> str:
        return await info.do("send", send, amount)

    class Large(GovernancePolicy):
        @override
        async def check_tool(
            self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
        ) -> PolicyDecision:
            return PolicyDecision.escalate("large") if arguments["amount"] > 10 else PolicyDecision.ALLOW

    runner = Flujo(Step(settle), state=MemoryStore() if durable else None, policies=[Large()])
    paused: Any = await runner.run_async(50, run_id="one")
    for wrong in ({"amount": "lots"}, {"sum": 5}, 7):
        paused = await runner.resume_async("one" if durable else paused, Decision("edit", wrong))
        assert paused.status == "paused"
        assert "does not fit" in paused.pending[0].prompt
        assert paused.pending[0].subject == {"amount": 50}
    done = await runner.resume_async("one" if durable else paused, Decision("edit", {"amount": 5}))
    assert done.output == "sent 5"
    if durable:
        assert (await runner.replay("one")).equal

"""A call that a person edited so that it could not be made is asked about again."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from flujo import Decision, Flujo, MemoryStore, Step, StepInfo
from flujo.governance import GovernancePolicy, PolicyContext, PolicyDecision


class LooksAtLargeSums(GovernancePolicy):
    @override
    def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        return PolicyDecision.escalate("look") if arguments["amount"] > 100 else PolicyDecision.ALLOW


async def transfer(amount: int, to: str, note: str = "") -> str:
    return f"sent {amount} to {to}"


async def settle(amount: int, info: StepInfo) -> str:
    return await info.do("transfer", transfer, amount, "ada")


async def test_an_argument_that_was_left_out_is_asked_for_again() -> None:
    runner = Flujo(Step(settle), state=MemoryStore(), policies=[LooksAtLargeSums()])
    await runner.run_async(900, run_id="a")
    again = await runner.resume_async("a", Decision("edit", {"amount": 90}, actor="ann"))
    assert again.status == "paused"
    assert "does not fit: ValueError: the argument 'to' is missing" in again.pending[0].prompt
    done = await runner.resume_async("a", Decision("edit", {"amount": 90, "to": "bob"}, actor="ann"))
    assert done.output == "sent 90 to bob"


async def test_an_argument_that_the_call_does_not_take_is_not_dropped() -> None:
    runner = Flujo(Step(settle), state=MemoryStore(), policies=[LooksAtLargeSums()])
    await runner.run_async(900, run_id="a")
    mistyped = {"amount": 90, "to": "bob", "nte": "rent"}
    again = await runner.resume_async("a", Decision("edit", mistyped, actor="ann"))
    assert again.status == "paused"
    assert "does not fit: ValueError: there is no argument 'nte'" in again.pending[0].prompt

"""Who the runs of a server go for, and who answers through it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from mcp.client import Client
from mcp_types import ElicitResult, RequestParamsMeta
from typing_extensions import override

from flujo import Flujo
from flujo.governance import EVERYWHERE, GovernancePolicy, PolicyContext, PolicyDecision, Principal
from flujo.server.mcp import Offered, serving
from tests.server import shop

KEY = cast("RequestParamsMeta", {"flujo/idempotency-key": "one"})


@asynccontextmanager
async def served(
    offered: Offered, *, actor: str = "mcp", approvals: bool = True, **options: Any
) -> AsyncGenerator[Client]:
    async with (
        serving([offered], approvals=approvals, actor=actor) as serves,
        Client(serves.server, **options) as client,
    ):
        yield client
    await offered.runner.close()


def letters(folder: Path, **more: Any) -> Offered:
    return Offered(Flujo(shop.letter, state=folder / "runs.db"), **more)


async def test_a_tenant_is_told_nothing_of_another_s_runs(tmp_path: Path) -> None:
    async with served(letters(tmp_path, tenant="north")) as client:
        north = (await client.call_tool("letter", {"input": "rent"}, meta=KEY)).structured_content
    async with served(letters(tmp_path, tenant="south")) as client:
        south = (await client.call_tool("letter", {"input": "rent"}, meta=KEY)).structured_content
        listed = (await client.call_tool("flujo_approvals", {})).structured_content["pending"]
        looked = await client.call_tool("flujo_run", {"run_id": north["run_id"]})
        wanted = north["pending"][0]
        answered = await client.call_tool(
            "flujo_answer", {"request": wanted["id"], "digest": wanted["digest"], "decision": "approve"}
        )
    assert north["run_id"] != south["run_id"]
    assert [one["id"] for one in listed] == [south["pending"][0]["id"]]
    assert looked.is_error
    assert answered.is_error


class Reviewed(GovernancePolicy):
    """Wants two people to look at what is sent, and judges for whom it is."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @override
    async def check_input(self, context: PolicyContext, input_data: Any) -> Any:
        self.seen.append(context.principal.id)
        return PolicyDecision.escalate("look at it", approvals=2)


async def test_one_person_is_asked_once_where_two_must_approve(tmp_path: Path) -> None:
    policy, shown = Reviewed(), list[Any]()

    async def approve(context: Any, params: Any) -> ElicitResult:
        shown.append(params.message)
        return ElicitResult(action="accept", content={"decision": "approve"})

    def offered() -> Offered:
        runner = Flujo(shop.shout, state=tmp_path / "runs.db", policies=[policy])
        return Offered(runner, principal=Principal("ada", tenant="north"))

    async with served(offered(), actor="ada", elicitation_callback=approve) as client:
        first = (await client.call_tool("shout", {"input": "hi"}, meta=KEY)).structured_content
    assert len(shown) == 1
    assert (first["status"], first["pending"][0]["approved_by"]) == ("paused", ["ada"])
    async with served(offered(), actor="bob", elicitation_callback=approve) as client:
        second = (await client.call_tool("shout", {"input": "hi"}, meta=KEY)).structured_content
    assert second["output"] == "HI"
    assert set(policy.seen) == {"ada"}


class HeldBack(GovernancePolicy):
    """Wants a person to look at what comes out, before anybody has it."""

    points = EVERYWHERE

    def __init__(self, point: str) -> None:
        self._point = point

    @override
    async def check_output(self, context: PolicyContext, output: Any) -> Any:
        held = context.point == self._point
        return PolicyDecision.escalate("look at it") if held else PolicyDecision.ALLOW


@pytest.mark.parametrize("point", ["output", "agent_end"])
async def test_what_a_policy_holds_back_is_not_told_to_the_client(point: str, tmp_path: Path) -> None:
    runner = Flujo(shop.shout, state=tmp_path / "runs.db", policies=[HeldBack(point)])
    async with served(Offered(runner), approvals=True) as client:
        first = await client.call_tool("shout", {"input": "hi"}, meta=KEY)
        asked = first.structured_content["pending"][0]
        assert (first.structured_content["status"], asked["subject"]) == ("paused", None)
        told = await client.call_tool("flujo_run", {"run_id": first.structured_content["run_id"]})
        assert "HI" not in str([first, told])
        listed = (await client.call_tool("flujo_approvals", {})).structured_content["pending"][0]
        assert listed["subject"] == "HI"
        given = {"request": asked["id"], "digest": asked["digest"], "decision": "approve"}
        await client.call_tool("flujo_answer", given)
        second = await client.call_tool("shout", {"input": "hi"}, meta=KEY)
    assert second.structured_content["output"] == "HI"

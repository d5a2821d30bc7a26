"""Personal data on the command line: whatever way it comes in, the files of the store hold none of it."""

import json
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.cli.conftest import FLUJO, Shell
from tests.cli.test_workers import serving, until
from tests.server.conftest import own

MAIL = "jane.roe@example.com"
SETTINGS = '[policies.personal]\nuse = "PIIScrubbingPolicy"\n'
DESK = """\
from flujo import HumanInput, PipelineContext, WaitForEvent, step

class Desk(PipelineContext):
    note: str = ""

@step
async def read(text: str, context: Desk) -> str:
    return f"read {text}"

@step
async def file(text: str) -> str:
    return text

letter = (read >> HumanInput("What else?", schema=str, name="more") >> file).named("letter")
paid = (read >> WaitForEvent("paid", schema=str, name="payment") >> file).named("paid")
"""


@pytest.fixture(autouse=True)
def desk(shop: Path) -> Path:
    (shop / "desk.py").write_text(DESK, encoding="utf-8")
    (shop / "flujo.toml").write_text(SETTINGS, encoding="utf-8")
    return shop


def held(folder: Path) -> bytes:
    files = [*folder.glob("flujo_ops.db*"), *folder.glob("*.log")]
    return b"".join(path.read_bytes() for path in files)


def test_no_command_writes_what_policies_take_out(flujo: Shell, desk: Path) -> None:
    context = json.dumps({"note": f"of {MAIL}"})
    told = [
        flujo("run", "desk.py:letter", "--input", MAIL, "--context", context, "--run-id", "a1", "--json"),
        flujo("run", "desk.py:letter", "--input", MAIL, "--detach", "--run-id", "a2"),
        flujo("run", "desk.py:paid", "--input", MAIL, "--run-id", "a3", "--stream"),
    ]
    with serving("run", "desk.py:letter", "desk.py:paid"):
        until(flujo, "a2", "paused")
        told.append(flujo("approvals", "answer", "a1", "--value", json.dumps(MAIL), "--resume", "--json"))
        told.append(flujo("approvals", "deny", "a2", "--reason", f"{MAIL} said no"))
        told.append(flujo("runs", "signal", "a3", "paid", "--payload", json.dumps(MAIL)))
        until(flujo, "a3", "completed")
    told.append(flujo("runs", "fork", "a1", "--at", "read", "--set", f'input="{MAIL}"', "--run-id", "a4"))
    told.append(flujo("runs", "fork", "a1", "--at", "read", "--context", f'note="{MAIL}"', "--run-id", "a5"))
    assert [one.code for one in told if one.code not in (0, 3)] == [], [one.err for one in told]
    assert MAIL.encode() not in held(desk)
    assert not any(MAIL in one.out + one.err for one in told)
    assert "[EMAIL]" in flujo("runs", "show", "a1", "--json").out


def test_a_schedule_keeps_what_policies_let_in(flujo: Shell, desk: Path) -> None:
    words = ("schedule", "add", "desk.py:letter", "--cron", "0 8 * * *")
    assert flujo(*words, "--input", json.dumps(MAIL)).code == 0
    assert MAIL.encode() not in held(desk)
    assert b"[EMAIL]" in held(desk)
    (desk / "house.py").write_text(
        "from flujo.governance import EVERYWHERE, GovernancePolicy, PolicyDecision\n"
        "class No(GovernancePolicy):\n"
        "    points = EVERYWHERE\n"
        "    def check_input(self, context, data):\n"
        "        return PolicyDecision.deny('not here')\n"
    )
    (desk / "flujo.toml").write_text('[policies.no]\nuse = "house:No"\n')
    refused = flujo(*words, "--input", json.dumps("x"), "--name", "other")
    assert refused.code == 2
    assert "was denied by the policy 'no': not here" in refused.err
    assert len(flujo("schedule", "list", "--json").json["schedules"]) == 1


async def test_calls_of_the_mcp_server_are_judged_by_the_file(desk: Path) -> None:
    server = StdioServerParameters(
        command=str(FLUJO), args=["mcp", "serve", "desk.py:letter"], cwd=desk, env=own()
    )
    async with Client(stdio_client(server)) as client:
        called = await client.call_tool("letter", {"input": MAIL})
    assert MAIL not in repr(called)
    assert MAIL.encode() not in held(desk)
    assert b"[EMAIL]" in held(desk)


def test_the_files_would_hold_it_without_the_policy(flujo: Shell, desk: Path) -> None:
    (desk / "flujo.toml").unlink()
    flujo("run", "desk.py:letter", "--input", MAIL, "--run-id", "a1")
    assert MAIL.encode() in held(desk)

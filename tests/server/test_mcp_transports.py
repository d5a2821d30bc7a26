"""The installed command, over stdio and HTTP, as clients start it and reach it."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from flujo import SQLiteStore
from flujo.journal.store import RunQuery, RunRecord
from tests.server.conftest import FLUJO, SHOP, command, own, shop

pytestmark = pytest.mark.e2e
TOKEN = "a-token-of-the-tests-0123456789"


async def runs(folder: Path) -> list[RunRecord]:
    store = SQLiteStore(folder / "flujo_ops.db", create=False)
    try:
        return list((await store.runs(RunQuery())).runs)
    finally:
        await store.close()


async def begun(mark: Path) -> None:
    while not mark.exists():
        await asyncio.sleep(0.02)


async def approve(context: Any, params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"decision": "approve"})


async def ends_as(folder: Path, status: str) -> None:
    while [record.status for record in await runs(folder)] != [status]:
        await asyncio.sleep(0.05)


async def test_pipelines_over_stdio(mode: str, tmp_path: Path) -> None:
    server = command(tmp_path, *shop("pack", "letter", "made", "loud"))
    async with Client(server, mode=mode, elicitation_callback=approve) as client:
        tools = {tool.name: tool.description for tool in (await client.list_tools()).tools}
        packed = await client.call_tool("pack", {"item": "tea"})
        letter = await client.call_tool("letter", {"input": "rent"})
        loud = await client.call_tool("loud", {"input": "hi"})
    assert tools["Billet_doux"] == "Write to somebody who is loved."
    assert packed.structured_content["output"] == {"item": "tea", "amount": 1}
    assert letter.structured_content["output"] == "sent: RENT"
    assert loud.structured_content["output"] == "hi, 0 bytes of stdin"
    assert {record.status for record in await runs(tmp_path)} == {"completed"}


def test_stdout_carries_the_protocol_and_nothing_else(tmp_path: Path) -> None:
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    }
    lines: list[Mapping[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "loud", "arguments": {"input": "x"}},
        },
    ]
    process = subprocess.Popen(
        [FLUJO, "mcp", "serve", *shop("loud")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, **own()},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for line in lines:
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
    process.stdin.write("this is no JSON\n")
    process.stdin.flush()
    seen = [json.loads(process.stdout.readline()) for _ in range(2)]
    rest, said = process.communicate(timeout=30)
    assert sorted(one["id"] for one in seen) == [1, 2]
    assert rest == ""
    assert process.returncode == 0
    for text in ("printed by a step", "written by a step", "printed by a child"):
        assert text in said


async def cancelled(client: Client, folder: Path) -> None:
    """Cancel a call whose step has begun, and wait until its run has ended so."""
    mark = folder / "mark"
    call = asyncio.create_task(client.call_tool("slow", {"input": str(mark)}))
    await begun(mark)
    call.cancel()
    async with asyncio.timeout(30):
        await ends_as(folder, "cancelled")


async def test_a_client_that_cancels_its_call_cancels_the_run(mode: str, tmp_path: Path) -> None:
    async with Client(command(tmp_path, *shop("slow")), mode=mode) as client:
        await cancelled(client, tmp_path)


async def test_a_client_that_goes_leaves_its_run_to_be_resumed(mode: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = await asyncio.create_subprocess_exec(
        FLUJO, "mcp", "serve", *shop("slow"), stdin=-1, stdout=-1, cwd=tmp_path, env={**os.environ, **own()}
    )
    assert process.stdin is not None
    process.stdin.write(_opening(mode, mark))
    await begun(mark)
    process.stdin.close()
    async with asyncio.timeout(30):
        assert await process.wait() == 0
    assert [record.status for record in await runs(tmp_path)] == ["running"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_told_to_stop_does_so_at_once(number: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = await asyncio.create_subprocess_exec(
        FLUJO, "mcp", "serve", *shop("slow"), stdin=-1, stdout=-1, cwd=tmp_path, env={**os.environ, **own()}
    )
    assert process.stdin is not None
    process.stdin.write(_opening("legacy", mark))
    await begun(mark)
    process.send_signal(number)
    async with asyncio.timeout(5):
        assert await process.wait() == 0
    assert [record.status for record in await runs(tmp_path)] == ["running"]
    process.stdin.close()


def _opening(mode: str, mark: Path) -> bytes:
    """Return what a client writes that calls the tool `slow`."""
    params: dict[str, Any] = {"name": "slow", "arguments": {"input": str(mark)}}
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    }
    lines: list[dict[str, Any]] = [{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}]
    lines.append({"jsonrpc": "2.0", "method": "notifications/initialized"})
    if mode != "legacy":
        lines = []
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    lines.append({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


# HTTP


@asynccontextmanager
async def over_http(folder: Path, *words: str) -> AsyncGenerator[str]:
    """Start the command on a free port, and yield its address."""
    process = await asyncio.create_subprocess_exec(
        FLUJO, "mcp", "serve", "--port", "0", *words,
        stderr=asyncio.subprocess.PIPE, cwd=folder, env={**os.environ, **own({"FLUJO_MCP_TOKEN": TOKEN})},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        said = (await process.stderr.readline()).decode()
        assert " at http://127.0.0.1:" in said, said
        yield said.partition(" at ")[2].partition(";")[0]
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0


@asynccontextmanager
async def connected(address: str, mode: str, **options: Any) -> AsyncGenerator[Client]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        transport = streamable_http_client(address, http_client=http)
        async with Client(transport, mode=mode, **options) as client:
            yield client


async def test_pipelines_over_http(mode: str, tmp_path: Path) -> None:
    async with (
        over_http(tmp_path, *shop("pack", "letter")) as address,
        connected(address, mode, elicitation_callback=approve) as client,
    ):
        packed = await client.call_tool("pack", {"item": "tea"})
        letter = await client.call_tool("letter", {"input": "rent"})
    assert packed.structured_content["output"] == {"item": "tea", "amount": 1}
    assert letter.structured_content["output"] == "sent: RENT"


async def test_two_clients_at_once_over_http(mode: str, tmp_path: Path) -> None:
    """Each numbers its calls like the other."""
    async with (
        over_http(tmp_path, *shop("meet")) as address,
        connected(address, mode) as one,
        connected(address, mode) as other,
    ):
        given = await asyncio.gather(
            one.call_tool("meet", {"input": "Ada"}), other.call_tool("meet", {"input": "Bob"})
        )
    assert [answer.structured_content["output"] for answer in given] == ["Ada", "Bob"]


async def test_who_does_not_present_the_token_is_not_let_in(tmp_path: Path) -> None:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    async with over_http(tmp_path, *shop("pack")) as address, httpx2.AsyncClient() as http:
        answers = [
            await http.post(address, json=body, headers=headers)
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN})
        ]
        other_host = await http.post(
            address, json=body, headers={"Authorization": f"Bearer {TOKEN}", "Host": "example.org"}
        )
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert other_host.status_code == 421


async def test_a_call_that_is_cancelled_over_http_cancels_the_run(mode: str, tmp_path: Path) -> None:
    async with over_http(tmp_path, *shop("slow")) as address, connected(address, mode) as client:
        await cancelled(client, tmp_path)


async def test_a_server_that_stops_leaves_its_runs_to_be_resumed(mode: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = None
    try:
        async with connected_until_stopped(tmp_path, mode) as client:
            call = asyncio.create_task(client.call_tool("slow", {"input": str(mark)}))
            await begun(mark)
    finally:
        assert call is not None
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert [record.status for record in await runs(tmp_path)] == ["running"]


@asynccontextmanager
async def connected_until_stopped(folder: Path, mode: str) -> AsyncGenerator[Client]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        process = over_http(folder, *shop("slow"))
        address = await process.__aenter__()
        async with Client(streamable_http_client(address, http_client=http), mode=mode) as client:
            try:
                yield client
            finally:
                await process.__aexit__(None, None, None)


# What cannot be served


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("--port", "0", f"{SHOP}:pack"), {}, "FLUJO_MCP_TOKEN must hold the token"),
        (("--port", "0", f"{SHOP}:pack"), {"FLUJO_MCP_TOKEN": "short"}, "the token has 5 characters"),
        ((f"{SHOP}:unkept",), {}, "has no store"),
        ((f"{SHOP}:pakc",), {}, "did you mean"),
        ((), {}, "no pipeline to serve was named"),
        ((f"{SHOP}:letter", f"{SHOP}:letter"), {}, "has the name of another pipeline"),
    ],
)
def test_what_cannot_be_served_is_a_usage_error(
    words: tuple[str, ...], environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    outcome = subprocess.run(
        [FLUJO, "mcp", "serve", *words],
        cwd=tmp_path,
        env={**os.environ, **own(environment)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert outcome.returncode == 2
    assert outcome.stdout == ""
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError('no mcp', name='mcp')")
    outcome = subprocess.run(
        [FLUJO, "mcp", "serve", f"{SHOP}:pack"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), own()["PYTHONPATH"]))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert outcome.returncode == 2
    assert "flujo[mcp]" in outcome.stderr

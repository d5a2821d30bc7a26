"""A pipeline served by MCP, as the tool of an agent: what holds at both ends."""

import asyncio
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from flujo.skills import McpServer
from tests.skills.conftest import HERE, tools_of

pytestmark = pytest.mark.e2e
ROOT = HERE.parents[1]


def served(folder: Path) -> McpServer:
    """Declare the installed command as a server; its process leaves its number."""
    flujo = Path(sys.executable).parent / "flujo"
    serve = [
        str(flujo),
        "mcp",
        "serve",
        f"{HERE / 'pipelines.py'}:journey",
        "--store",
        str(folder / "runs.db"),
    ]
    script = f"echo $$ > {shlex.quote(str(folder / 'pid'))}; exec {shlex.join(serve)}"
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return McpServer(shlex.join(["sh", "-c", script]), name="far", environment={"PYTHONPATH": path})


async def test_a_server_that_is_killed_during_a_call_goes_on_where_it_stood(tmp_path: Path) -> None:
    async with tools_of(served(tmp_path)) as tools:
        assert tools.all["journey"].effects == "idempotent"
        call = asyncio.ensure_future(tools.call("journey", input=str(tmp_path)))
        async with asyncio.timeout(30):
            while not (tmp_path / "waiting").exists():
                await asyncio.sleep(0.02)
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
            (tmp_path / "go").touch()
            result = await call
    assert result["output"] == "arrived"
    assert (tmp_path / "begun").read_text() == "."

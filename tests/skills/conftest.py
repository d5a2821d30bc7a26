"""MCP servers, made with the official package and without, as the tests reach them."""

import asyncio
import shlex
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flujo import FlujoTool
from flujo.skills import McpServer, mcp_tools

HERE = Path(__file__).parent


def program(*words: str | Path) -> str:
    """Return the command of one of the servers here."""
    return shlex.join([sys.executable, *map(str, words)])


def shop(folder: Path, **settings: Any) -> McpServer:
    return McpServer(program(HERE / "server.py", "stdio", folder), name="shop", **settings)


def old(folder: Path, *words: str, **settings: Any) -> McpServer:
    return McpServer(program(HERE / "old_server.py", folder, *words), name="old", **settings)


@asynccontextmanager
async def listening(folder: Path, port: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run the shop's server at a port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, HERE / "server.py", str(port), folder, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Tools:
    """The tools of a server, called by their own names."""

    def __init__(self, tools: list[FlujoTool], prefix: str) -> None:
        self.all = {tool.name.removeprefix(f"{prefix}_"): tool for tool in tools}

    async def call(self, name: str, /, **arguments: Any) -> Any:
        return await self.all[name].function(**arguments)


@asynccontextmanager
async def tools_of(server: McpServer) -> AsyncGenerator[Tools]:
    async with mcp_tools(server) as tools:
        yield Tools(tools, server.name)


Reach = Callable[..., Any]


@pytest.fixture(params=["stdio", "http"])
def reach(request: pytest.FixtureRequest, tmp_path: Path, port: int) -> Reach:
    """Give the shop's tools, over either transport."""

    @asynccontextmanager
    async def reached(**settings: Any) -> AsyncGenerator[Tools]:
        if request.param == "stdio":
            async with tools_of(shop(tmp_path, **settings)) as tools:
                yield tools
            return
        server = McpServer(f"http://127.0.0.1:{port}/mcp", name="shop", **settings)
        async with listening(tmp_path, port), tools_of(server) as tools:
            yield tools

    return reached

"""Pipelines as the tools of an MCP server, over stdio or HTTP.

A call of a tool is a durable run; what it answers names the run. See ``docs/guide/mcp.md``.
"""

from __future__ import annotations

import asyncio
import hmac
import io
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CancelledNotificationParams,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
)
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from flujo.errors import ConfigError
from flujo.server.mcp_calls import Answer, Call, Calls, Context
from flujo.server.mcp_own import OwnTools
from flujo.server.mcp_results import IDEMPOTENCY_KEY
from flujo.server.mcp_runs import RunsInHand
from flujo.server.mcp_stdio import are_pipes, stdio
from flujo.server.mcp_tools import Offered, PipelineTool, tools_of

__all__ = ["Offered", "serve_http", "serve_stdio"]

ANSWER_SECONDS = 24 * 3600.0
"""How long a client may take to ask a person before it calls again."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server does for its clients.

    Attributes:
        calls: The calls that are under way.
        server: The protocol's side.
    """

    calls: Calls
    server: Server[Any]


@asynccontextmanager
async def serving(
    offered: Sequence[Offered], *, approvals: bool = False, asks: bool = True, actor: str = "mcp"
) -> AsyncGenerator[Serving]:
    """Make a server of pipelines; leaving it interrupts their runs, which can then be resumed.

    Raises:
        ConfigError: A pipeline cannot be offered.
    """
    tools = tools_of(offered)
    async with RunsInHand() as hand:
        calls = Calls(tools, hand, asks=asks, actor=actor)
        own = OwnTools(calls, approvals=approvals)
        listed = [*map(_described, tools.values()), *own.tools]
        names = {tool.name for tool in own.tools}

        async def list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
            return ListToolsResult(tools=listed)

        async def call_tool(context: Context, params: CallToolRequestParams) -> Answer:
            if params.name in names:
                call = Call(context)
                return await calls.answered(call, own.call(call, params.name, params.arguments or {}))
            tool = tools.get(params.name)
            if tool is None:
                raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r}")
            return await calls.run(context, tool, params)

        server = Server("flujo", version=version("flujo"), on_list_tools=list_tools, on_call_tool=call_tool)
        server.add_notification_handler(
            "notifications/cancelled", CancelledNotificationParams, calls.cancelled
        )
        security = RequestStateSecurity.ephemeral(ttl=ANSWER_SECONDS)
        server.middleware.append(RequestStateBoundary(security, default_audience="flujo"))
        try:
            yield Serving(calls, server)
        finally:
            calls.closing = True


def _described(tool: PipelineTool) -> Tool:
    return Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        _meta={IDEMPOTENCY_KEY: True},
    )


async def serve_stdio(
    offered: Sequence[Offered],
    *,
    approvals: bool = False,
    asks: bool = True,
    actor: str = "mcp",
    read: int = 0,
    write: int = 1,
) -> None:
    """Serve one client over stdin and stdout, until it goes or a signal comes.

    Args:
        offered: The pipelines.
        approvals: Whether the client may list what waits for people, and answer it.
        asks: Whether people are asked through the client, where it can show forms.
        actor: Who answers through it.
        read: The descriptor to read from; the server takes it over.
        write: The descriptor to write to; likewise.

    Raises:
        ConfigError: A pipeline cannot be offered.
    """
    async with serving(offered, approvals=approvals, asks=asks, actor=actor) as serves:
        with stopping(serves.calls) as stopped:
            async with asyncio.TaskGroup() as group:
                served = group.create_task(_speak(serves.server, read, write))
                ended = group.create_task(stopped.wait())
                await asyncio.wait({served, ended}, return_when=asyncio.FIRST_COMPLETED)
                serves.calls.closing = True
                served.cancel()
                ended.cancel()


async def _speak(server: Server[Any], read: int, write: int) -> None:
    options = server.create_initialization_options()
    if sys.platform != "win32" and are_pipes(read, write):
        async with stdio(read, write) as (incoming, outgoing):
            await server.run(incoming, outgoing, options)
        return
    source = anyio.wrap_file(io.TextIOWrapper(os.fdopen(read, "rb"), encoding="utf-8", errors="replace"))
    sink = anyio.wrap_file(io.TextIOWrapper(os.fdopen(write, "wb"), encoding="utf-8"))
    async with stdio_server(source, sink) as (reading, writing):
        await server.run(reading, writing, options)


@contextmanager
def stopping(calls: Calls) -> Generator[asyncio.Event]:
    """Yield an event that a SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        calls.closing = True
        stopped.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    with suppress(NotImplementedError, RuntimeError, ValueError):  # no such signals here
        for number in numbers:
            loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in numbers:
                loop.remove_signal_handler(number)


async def serve_http(
    offered: Sequence[Offered],
    *,
    port: int,
    token: str,
    host: str = "127.0.0.1",
    approvals: bool = False,
    asks: bool = True,
    actor: str = "mcp",
    listening: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve clients over streamable HTTP, until a signal comes.

    Args:
        offered: The pipelines.
        port: The port; 0 for any that is free.
        token: What a client must present: ``Authorization: Bearer …``; at least 16 characters.
        host: The address to listen at: other machines reach no loopback address.
        approvals: Whether clients may list what waits for people, and answer it.
        asks: Whether people are asked through a client, where it can show forms.
        actor: Who answers through them: all who have the token are one.
        listening: Called with the address once it is listened at.

    Raises:
        ConfigError: A pipeline cannot be offered, the token is too short, or nothing can listen there.
    """
    if len(token) < _SHORTEST_TOKEN:
        raise ConfigError(
            f"the token has {len(token)} characters", fix=f"take at least {_SHORTEST_TOKEN}, at random"
        )
    try:
        opened = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port}: {error.strerror}", fix="choose another --port or --host"
        ) from error
    with opened:
        async with serving(offered, approvals=approvals, asks=asks, actor=actor) as serves:
            app = Guarded(serves.server.streamable_http_app(host=host), token)
            web = _Web(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
            with stopping(serves.calls) as stopped:
                async with asyncio.TaskGroup() as group:
                    served = group.create_task(web.serve(sockets=[opened]))
                    ended = group.create_task(stopped.wait())
                    name = f"[{host}]" if ":" in host else host
                    listening(f"http://{name}:{opened.getsockname()[1]}/mcp")
                    await asyncio.wait({served, ended}, return_when=asyncio.FIRST_COMPLETED)
                    serves.calls.closing = True
                    web.should_exit = True
                    ended.cancel()


class _Web(uvicorn.Server):
    """Leaves the signals to whoever serves."""

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Guarded:
    """Lets in who presents the token.

    Args:
        app: What is guarded.
        token: The token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to requests without the token."""
        if scope["type"] == "http":
            given = Headers(scope=scope).get("authorization", "").encode()
            if not hmac.compare_digest(given, self._wanted):
                refused = JSONResponse(
                    {"error": "unauthorized"}, status_code=401, headers={"WWW-Authenticate": "Bearer"}
                )
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)

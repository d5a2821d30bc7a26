"""A server as its tools call it: connected to when it is needed, and again when it has died."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, CallToolResult, RequestParamsMeta
from pydantic import ValidationError

from flujo.engine.identity import new_run_id
from flujo.errors import RunError
from flujo.pipeline.tools import ToolError, ToolInDoubt
from flujo.skills.mcp_connection import Connection
from flujo.skills.mcp_errors import ToolChanged, ToolUnavailable
from flujo.skills.mcp_listing import KEY, Listed, Listing
from flujo.skills.mcp_server import McpServer
from flujo.skills.mcp_thread import Keeper
from flujo.skills.mcp_wire import UNSENT


class Session:
    """What is known of a server between its connections. Its methods may be called from any event loop."""

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self._keeper = Keeper(f"flujo-mcp-{server.name}")
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def listing(self) -> Listing:
        """Return what the server lists.

        Raises:
            ToolUnavailable: It cannot be reached, or does not say.
            ConfigError: It cannot be used as it is declared.
        """
        return await self._keeper.do(self._listing())

    async def call(self, tool: Listed, arguments: Mapping[str, Any], key: str = "") -> CallToolResult:
        """Call a tool once; one that may be called again is, where the server dies during the call.

        Args:
            tool: The tool, as it was listed when it was offered.
            arguments: What it is given.
            key: The same for each attempt at one and the same call: servers may know by it that they are;
                one of its own when left out.

        Raises:
            ToolChanged: It is listed otherwise now, or no more.
            ToolUnavailable: The server cannot be reached: the tool was not called.
            ToolInDoubt: Whether it took effect is not known.
            ToolError: The server refused the call, or what it answered is no answer.
        """
        return await self._keeper.do(self._call(tool, arguments, key or new_run_id()))

    async def close(self) -> None:
        """End the connection, and wait until the server has ended; another call begins another."""
        await self._keeper.do(self._close())
        self._keeper.stop()
        self._connecting = asyncio.Lock()

    async def _listing(self) -> Listing:
        try:
            return await (await self._connected()).listing()
        except MCPError as error:
            raise self._silent(error) from error

    async def _connected(self) -> Connection:
        async with self._connecting:
            connection = self._connection
            if connection is None or connection.ended.is_set():
                connection = self._connection = Connection(self.server)
                self._keeper.keep(connection.own())
            await asyncio.shield(connection.ready)
            return connection

    async def _call(self, tool: Listed, arguments: Mapping[str, Any], key: str) -> CallToolResult:
        again = tool.effects(believed=self.server.believe) == "idempotent"
        while True:
            connection = await self._checked(tool)
            try:
                return await self._sent(connection, tool, arguments, key)
            except ToolInDoubt:
                if not again:
                    raise
                again = False

    async def _checked(self, tool: Listed) -> Connection:
        """Return a connection on which a tool is what it was when it was offered.

        Raises:
            ToolChanged: There is none.
        """
        for last in (False, True):
            connection = await self._connected()
            try:
                listed = (await connection.listing()).of(tool.called)
            except MCPError as error:
                if not last and (error.code == CONNECTION_CLOSED or connection.ended.is_set()):
                    connection.ended.set()  # it died while nothing was asked of it
                    continue
                raise self._silent(error) from error
            if listed is not None and listed.digest == tool.digest:
                return connection
            what = "no longer listed" if listed is None else f"not what it was: {_difference(tool, listed)}"
            raise ToolChanged(
                f"the tool {tool.name!r} of MCP server {self.server.name!r} is {what}",
                fix="look at what the server says of it now; begin a new run if that is as it should be",
            )
        raise AssertionError("the second round returns or raises")

    async def _sent(
        self, connection: Connection, tool: Listed, arguments: Mapping[str, Any], key: str
    ) -> CallToolResult:
        meta = cast("RequestParamsMeta", {KEY: key})
        client = await connection.ready
        try:
            async with asyncio.timeout(self.server.timeout):
                return await client.call_tool(tool.called, dict(arguments), meta=meta)
        except TimeoutError:
            raise self._late(tool) from None
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                raise self._late(tool) from None
            connection.doubt()
            if error.code == UNSENT:
                raise ToolUnavailable(
                    f"MCP server {self.server.name!r} cannot be reached: {error.message}",
                    fix="check its address and that it runs, and what it is sent to be let in",
                ) from error
            if error.code != CONNECTION_CLOSED:
                raise ToolError(f"{tool.name} was refused: {error.message[:500]}") from error
            if not self.server.is_remote:
                connection.ended.set()
            raise ToolInDoubt(
                f"MCP server {self.server.name!r} went away during a call of {tool.name!r}: "
                f"whether it took effect is not known ({error.message[:200]})",
                fix="find out at what the tool works on, before it is called again",
            ) from error
        except (ValidationError, RuntimeError) as error:  # no answer by the protocol, or by its own schema
            raise ToolError(f"{tool.name} gave no answer that can be read: {str(error)[:500]}") from error

    def _late(self, tool: Listed) -> RunError:
        said = f"{tool.name} did not answer within {self.server.timeout:g} s"
        if tool.effects(believed=self.server.believe) == "idempotent":
            return ToolError(said, fix="try again later, or raise the server's timeout")
        return ToolInDoubt(
            f"{said}: whether it took effect is not known",
            fix="find out at what the tool works on, before it is called again",
        )

    def _silent(self, error: MCPError) -> ToolUnavailable:
        return ToolUnavailable(
            f"MCP server {self.server.name!r} does not list its tools: {error.message[:500]}",
            fix="check that it runs by itself",
        )

    async def _close(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.ended.set()
            await connection.closed.wait()


def _difference(before: Listed, now: Listed) -> str:
    """Say what of a tool changed."""
    parts = {
        "its description": before.description != now.description,
        "the schema of its arguments": dict(before.parameters) != dict(now.parameters),
        "its annotations": (before.reads, before.destroys, before.repeats, before.is_open)
        != (now.reads, now.destroys, now.repeats, now.is_open),
    }
    return " and ".join(name for name, differs in parts.items() if differs) or "what else it says of itself"

"""One connection to an MCP server: a task opens it, keeps what the server lists, and closes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation, Tool, ToolListChangedNotification
from pydantic import ValidationError

from flujo.errors import FlujoError
from flujo.skills.mcp_errors import ToolUnavailable
from flujo.skills.mcp_listing import MOST_TOOLS, Listing, listing_of
from flujo.skills.mcp_pipes import pipes
from flujo.skills.mcp_server import McpServer, resolved
from flujo.skills.mcp_wire import Wire

FRESH = 60.0
"""Seconds after which tools are listed anew before one is called, though nobody said that they changed."""
_PAGES, _AGAIN = 100, 5.0

log = logging.getLogger("flujo.skills")


class Connection:
    """A connection, from when it is wanted until it has ended.

    Attributes:
        server: The server.
        ready: Done when the server can be called; failed where it cannot be reached.
        ended: Set when nothing more can be called by it.
        closed: Set when it is closed, and a program that was started has ended.
    """

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self.ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()
        self._listing: Listing | None = None
        self._listed_at = 0.0
        self._listing_now = asyncio.Lock()

    async def own(self) -> None:
        """Open the connection, keep it until it ends, and close it: all in this one task."""
        try:
            (found,) = await asyncio.gather(self._own(), return_exceptions=True)
        finally:
            self.ended.set()
            self.closed.set()
        if not self.ready.done():
            self.ready.set_exception(self._unreachable(_first(found)))
            self.ready.exception()  # seen, should nobody wait for it any more

    async def listing(self) -> Listing:
        """Return what the server lists; fetched again where that may have changed.

        Raises:
            MCPError: The server does not say.
            ToolUnavailable: What it says is no list, or it takes too long to say it.
        """
        async with self._listing_now:
            now = asyncio.get_running_loop().time()
            if self._listing is None or now - self._listed_at > FRESH:
                self._listed_at = now
                self._listing = None  # one that may be out of date is not believed again where this fails
                self._listing = listing_of(self.server, await self._tools())
                for name, wrong in self._listing.refused.items():
                    log.warning(
                        "MCP server %r: the tool %r cannot be used: %s", self.server.name, name, wrong
                    )
            return self._listing

    def doubt(self) -> None:
        """Note that the server may list other tools by now."""
        self._listed_at = float("-inf")

    async def _own(self) -> None:
        async with asyncio.timeout(self.server.patience) as limit:
            async with Client(
                self._transport(),
                client_info=Implementation(name="flujo", version="1"),
                message_handler=self._heard,
                cache=None,
            ) as client:
                limit.reschedule(None)
                async with anyio.create_task_group() as group:
                    capability = client.server_capabilities.tools
                    if capability is not None and capability.list_changed:
                        group.start_soon(self._watch, client)
                    self.ready.set_result(client)
                    await self.ended.wait()
                    group.cancel_scope.cancel()

    @asynccontextmanager
    async def _transport(self) -> AsyncGenerator[Any]:
        server = self.server
        if not server.is_remote:
            async with pipes(server, self.ended) as streams:
                yield streams
            return
        headers = resolved(server.headers, f"MCP server {server.name!r}")
        timeout = httpx2.Timeout(server.patience, read=server.timeout + 30)
        async with (
            httpx2.AsyncClient(headers=headers, timeout=timeout, transport=Wire(self.ended)) as http,
            streamable_http_client(server.command, http_client=http) as streams,
        ):
            yield streams

    async def _tools(self) -> list[Tool]:
        try:
            async with asyncio.timeout(self.server.patience):
                return await self._pages()
        except TimeoutError:
            what = f"did not list its tools within {self.server.patience:g} s"
        except ValidationError as error:
            what = f"lists its tools in no form that can be read: {str(error)[:500]}"
        raise ToolUnavailable(f"MCP server {self.server.name!r} {what}", fix="check that it runs by itself")

    async def _pages(self) -> list[Tool]:
        client = await self.ready
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) > MOST_TOOLS:
                break
        if cursor is not None or len(found) > MOST_TOOLS:
            raise ToolUnavailable(
                f"MCP server {self.server.name!r} lists more than {MOST_TOOLS} tools",
                fix="use a server that offers what is needed",
            )
        return found

    async def _heard(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.doubt()

    async def _watch(self, client: Client) -> None:
        """Notice that the list changed, where the protocol wants that to be subscribed to."""
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self.doubt()
            except ListenNotSupportedError:
                return  # of the older protocol: it tells without being asked
            except (SubscriptionLost, MCPError, TimeoutError) as error:
                log.info("MCP server %r: no longer told of changes: %s", self.server.name, error)
            self.doubt()
            await asyncio.sleep(_AGAIN)

    def _unreachable(self, found: BaseException | None) -> FlujoError:
        if isinstance(found, FlujoError):
            return found
        what = f"{type(found).__name__}: {found}" if found is not None else "it ended"
        if isinstance(found, TimeoutError):
            what = f"it did not answer within {self.server.patience:g} s"
        return ToolUnavailable(
            f"MCP server {self.server.name!r} cannot be reached: {what}",
            fix="check its command or address, and that it runs by itself",
        )


def _first(error: BaseException | None) -> BaseException | None:
    """Return the first error of those that groups of tasks may have come to together."""
    match error:
        case BaseExceptionGroup(exceptions=(first, *_)):
            return _first(first)
        case _:
            return error

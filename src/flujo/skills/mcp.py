"""Tools of MCP servers, as tools of agents.

See ``docs/guide/mcp.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from flujo.errors import ConfigError
from flujo.pipeline.labels import UNTRUSTED, held_by_results
from flujo.pipeline.tools import FlujoTool
from flujo.skills.mcp_listing import Listed, Listing
from flujo.skills.mcp_results import given_by
from flujo.skills.mcp_server import McpServer
from flujo.skills.mcp_session import Session


@asynccontextmanager
async def mcp_tools(*servers: McpServer | str, **settings: Any) -> AsyncGenerator[list[FlujoTool]]:
    """Give the tools of MCP servers for as long as a block lasts.

    A tool that a server describes otherwise than when the block began is refused.

    Args:
        servers: The servers; a text is the command of one, or its URL.
        settings: What :class:`McpServer` takes beside that, for the servers that are texts.

    Raises:
        ToolUnavailable: A server cannot be reached.
        ConfigError: A server cannot be used as it is declared; or two have one name.
    """
    sessions = [Session(server) for server in named(servers, settings)]
    try:
        listings = await asyncio.gather(*(session.listing() for session in sessions))
        yield [
            tool
            for session, listing in zip(sessions, listings, strict=True)
            for tool in tools_of(session, listing)
        ]
    finally:
        await asyncio.gather(*(session.close() for session in sessions))


def tools_of(session: Session, listing: Listing, key: Callable[[], str] = str) -> list[FlujoTool]:
    """Return the tools of a listing, called by a session.

    Args:
        session: Who calls them.
        listing: What they were when they were listed.
        key: Returns the idempotency key of the call that is made.
    """
    return [_tool(session, listed, key) for listed in listing.tools]


def _tool(session: Session, listed: Listed, key: Callable[[], str]) -> FlujoTool:
    server = session.server

    async def call(**arguments: Any) -> Any:
        return given_by(await session.call(listed, arguments, key()), listed.name, server.largest)

    return FlujoTool(
        call,
        listed.name,
        listed.description or f"The tool {listed.called!r} of {server.name!r}.",
        needs_approval=listed.needs_approval(server.approve, believed=server.believe),
        labels=listed.labels(server),
        gives=held_by_results((UNTRUSTED, *server.labels)),
        effects=listed.effects(believed=server.believe),
        parameters=listed.parameters,
    )


def named(servers: Sequence[McpServer | str], settings: Mapping[str, Any]) -> list[McpServer]:
    """Return servers as they are declared.

    Raises:
        ConfigError: Two have one name.
    """
    found = [McpServer(one, **settings) if isinstance(one, str) else one for one in servers]
    for at, one in enumerate(found):
        if any(other.name == one.name for other in found[:at]):
            raise ConfigError(
                f"two MCP servers are named {one.name!r}", fix="give one of them a name: McpServer(…, name=…)"
            )
    return found

"""Agents with the tools of declared MCP servers: what was listed is recorded with the step."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

from flujo.agents import ModelAgent
from flujo.agents.requests import part
from flujo.errors import PipelineError
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo
from flujo.skills.mcp import named, tools_of
from flujo.skills.mcp_listing import Listing
from flujo.skills.mcp_server import McpServer
from flujo.skills.mcp_session import Session

Out = TypeVar("Out", covariant=True)


class WithMcp(Generic[Out]):
    """An agent that is given the tools of MCP servers when its step begins; see :func:`with_mcp`."""

    def __init__(self, agent: ModelAgent[Out], servers: tuple[McpServer, ...]) -> None:
        self.agent = agent
        self.servers = servers
        self.__name__ = agent.name

    @property
    def described(self) -> Mapping[str, Any]:
        """What tells it from its agent, as JSON."""
        return {"agent": "with_mcp", "mcp_servers": [server.name for server in self.servers]}

    @property
    def run(self) -> Callable[[Any, StepInfo, PipelineContext], Coroutine[Any, Any, Out]]:
        """What a step calls, annotated with what the agent gives."""

        async def run(input: Any, info: StepInfo, context: PipelineContext) -> Out:
            found = list(self.agent.tools)
            run_of.set(info.run_id)
            for server in self.servers:
                session = session_of(server)
                listing = await info.do(f"mcp-{server.name}-tools", listed, server.name, server.command)
                found += tools_of(session, listing, _key)
            return await self.agent.replace(tools=found).run(input, info, context)

        run.__annotations__["return"] = self.agent.output_type
        return run


def with_mcp(agent: ModelAgent[Out], *servers: McpServer | str) -> WithMcp[Out]:
    """Return an agent that may also call the tools of MCP servers.

    The servers are connected to when they are needed, and kept connected until the process ends. What they
    list when a step begins is recorded with it: the step is given the same tools again when it is resumed,
    and a tool that its server describes otherwise by then is refused. So is one that was described otherwise
    to an earlier step of the run in this process.

    Args:
        agent: The agent.
        servers: The servers; a text is the command of one, or its URL.

    Raises:
        PipelineError: There is none, two have one name, or the agent is no ModelAgent.
    """
    if not isinstance(cast("object", agent), ModelAgent):
        raise PipelineError(
            f"with_mcp({agent!r}, …)",
            fix="pass a ModelAgent; for an agent with a role, use mcp_tools and tools=",
        )
    if not servers:
        raise PipelineError("with_mcp(): no server", fix="pass McpServer(…), a command or a URL")
    declared = named(servers, {})
    for server in declared:
        session_of(server)
    return WithMcp(agent, tuple(declared))


run_of: ContextVar[str] = ContextVar("run_of", default="")
"""The run whose step lists tools: no argument of the recorded effect, which forks share with their origin."""

_MOST_PINS = 1000
_pins: OrderedDict[tuple[str, str, str], Listing] = OrderedDict()
_sessions: dict[tuple[int, str, str], Session] = {}
_lock = threading.Lock()


def session_of(server: McpServer) -> Session:
    """Return this process's session with a declared server: one for all that use it.

    Raises:
        PipelineError: The same server was declared otherwise.
    """
    key = (os.getpid(), server.name, server.command)  # after a fork, the connections are the parent's
    with _lock:
        found = _sessions.setdefault(key, Session(server))
    if found.server != server:
        raise PipelineError(
            f"MCP server {server.name!r} is declared twice, with different settings",
            fix="declare it once, or give one of the two another name: McpServer(…, name=…)",
        )
    return found


async def listed(name: str, command: str) -> Listing:
    """Return what a declared server lists now; a tool that the run knows already, as it knows it.

    Raises:
        ToolUnavailable: It cannot be reached.
    """
    now = await _sessions[os.getpid(), name, command].listing()
    key = (run_of.get(), name, command)
    with _lock:
        first = _pins.setdefault(key, now)
        if len(_pins) > _MOST_PINS:
            _pins.popitem(last=False)
    return replace(now, tools=tuple(first.of(one.called) or one for one in now.tools))


async def close_servers() -> None:
    """End the connections to all declared servers of this process; a tool that is called begins another."""
    with _lock:
        sessions = [_sessions.pop(key) for key in list(_sessions) if key[0] == os.getpid()]
    for session in sessions:
        await session.close()


def _key() -> str:
    info = part.get()
    return "" if info is None else info.idempotency_key

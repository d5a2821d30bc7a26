"""A program as an MCP server: started with next to no environment, spoken to over its pipes, ended for sure.

Unlike the transport of the official package it bounds what the program may send: a line without an end would
otherwise fill the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from flujo.skills.mcp_server import McpServer, resolved

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]

LARGEST_MESSAGE = 8 * 2**20
"""How many bytes one message from a server may have."""
GRACE = 2.0
"""Seconds that a program has to end after its input was closed, and again after it was told to."""
_LOOK, _LAST_WORDS, _SAID = 0.02, 0.2, 2000

log = logging.getLogger("flujo.skills")


@asynccontextmanager
async def pipes(server: McpServer, ended: asyncio.Event) -> AsyncGenerator[tuple[Incoming, Outgoing]]:
    """Start a server, and speak with it: one line, one message.

    Args:
        server: The server.
        ended: Set when the server says no more.

    Raises:
        OSError: The program cannot be started.
        ConfigError: A variable that it needs is not set.
    """
    environment = {**get_default_environment(), **resolved(server.environment, f"MCP server {server.name!r}")}
    process = await asyncio.create_subprocess_exec(
        *server.words(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=server.folder or None,
        limit=LARGEST_MESSAGE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    sender, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, receiver = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_read, server, process.stdout, sender, ended)
            group.start_soon(_write, receiver, process.stdin, ended)
            group.start_soon(_note, server, process.stderr)
            group.start_soon(_watch, process, ended)
            try:
                yield incoming, outgoing
            finally:
                group.cancel_scope.cancel()
    finally:
        for stream in (sender, incoming, outgoing, receiver):
            stream.close()
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _read(
    server: McpServer,
    lines: asyncio.StreamReader,
    sender: MemoryObjectSendStream[SessionMessage | Exception],
    ended: asyncio.Event,
) -> None:
    try:
        async with sender:
            while True:
                try:
                    line = await lines.readline()
                except ValueError:
                    log.error("MCP server %r sent more than %d bytes at once", server.name, LARGEST_MESSAGE)
                    return
                if not line:
                    return
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    log.warning("MCP server %r wrote %d bytes that are no message", server.name, len(line))
                    continue
                await sender.send(SessionMessage(message))
    finally:
        ended.set()


async def _write(
    receiver: MemoryObjectReceiveStream[SessionMessage], writer: asyncio.StreamWriter, ended: asyncio.Event
) -> None:
    async with receiver:
        async for item in receiver:
            writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            try:
                await writer.drain()
            except ConnectionError:
                ended.set()
                return


async def _note(server: McpServer, lines: asyncio.StreamReader) -> None:
    """Note what a program says beside the protocol, so that it is never held up by a full pipe.

    It may say anything, and is told only to whoever looks for what is wrong with it.
    """
    while chunk := await lines.read(_SAID):
        log.debug("MCP server %r: %s", server.name, chunk.decode(errors="replace").rstrip())


async def _watch(process: asyncio.subprocess.Process, ended: asyncio.Event) -> None:
    """Notice that a program has ended, though something that it started may hold on to its pipes."""
    while not await _has_ended(process):
        pass
    await asyncio.sleep(_LAST_WORDS)
    ended.set()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and all it started: by closing its input, then by telling it, then by force."""
    if process.stdin is not None:
        process.stdin.close()
    async with anyio.create_task_group() as group:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                group.start_soon(_drain, stream)
        for number in (None, signal.SIGTERM, None if sys.platform == "win32" else signal.SIGKILL):
            if number is not None:
                _signal(process, number)
            if await _has_ended(process):
                break
        if sys.platform != "win32":
            _signal(process, signal.SIGKILL)  # what it left behind
        group.cancel_scope.deadline = (
            anyio.current_time() + GRACE
        )  # until then its pipes are read to their ends
    for _ in range(3):  # asyncio closes in turns of the loop what has ended
        await asyncio.sleep(0)


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read on to the end: a program that is held up by a full pipe does not end."""
    while await stream.read(2**16):
        pass


async def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Say whether a program ends within the grace; what it started may hold on to its pipes for longer."""
    for _ in range(int(GRACE / _LOOK)):
        if process.returncode is not None:
            return True
        await asyncio.sleep(_LOOK)
    return False


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)

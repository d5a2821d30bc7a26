"""Standard input and output as an MCP connection that can be left at any moment.

The transport of the official package reads in a thread, which nothing can end before the client closes its
side; a server that is told to stop must not wait for that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]

LONGEST_MESSAGE = 16 * 2**20
"""How long a line from the client may be, in bytes."""

log = logging.getLogger("flujo.server")


@asynccontextmanager
async def stdio(read: int, write: int) -> AsyncGenerator[tuple[Incoming, Outgoing]]:
    """Speak over two pipes: one line, one message.

    Args:
        read: The descriptor to read from.
        write: The descriptor to write to.
    """
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=LONGEST_MESSAGE)
    source, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(read, "rb", buffering=0)
    )
    sink, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(write, "wb", buffering=0)
    )
    writer = asyncio.StreamWriter(sink, protocol, None, loop)
    sender, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, receiver = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_read, lines, sender)
            group.start_soon(_write, receiver, writer)
            yield incoming, outgoing
            outgoing.close()
            group.cancel_scope.cancel()
    finally:
        for stream in (sender, incoming, outgoing, receiver):
            stream.close()
        source.close()
        sink.close()


async def _read(
    lines: asyncio.StreamReader, sender: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    async with sender:
        while True:
            try:
                line = await lines.readline()
            except ValueError:
                log.error("the client sent a line of more than %d bytes", LONGEST_MESSAGE)
                return
            if not line:
                return
            try:
                message: SessionMessage | Exception = SessionMessage(
                    jsonrpc_message_adapter.validate_json(line, by_name=False)
                )
            except ValueError as error:
                message = error
            await sender.send(message)


async def _write(receiver: MemoryObjectReceiveStream[SessionMessage], writer: asyncio.StreamWriter) -> None:
    async with receiver:
        async for item in receiver:
            line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            writer.write(line.encode() + b"\n")
            try:
                await writer.drain()
            except ConnectionError:  # the client is gone; its end of input says so, too
                return


def are_pipes(*descriptors: int) -> bool:
    """Say whether these are pipes of their own, which can be read and written without blocking anybody."""
    states = [os.fstat(one) for one in descriptors]
    kinds = all(stat.S_ISFIFO(one.st_mode) or stat.S_ISSOCK(one.st_mode) for one in states)
    return kinds and len({one.st_ino for one in states}) == len(states)

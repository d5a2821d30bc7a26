"""Requests over HTTP: what becomes of one is told as an error of its own."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp_types import CONNECTION_CLOSED

from flujo.skills.mcp_pipes import LARGEST_MESSAGE
from flujo.skills.mcp_wire import UNSENT, Wire

CALL: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}}


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[str]:
    """Listen, and answer each request with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"


async def posted(address: str, ended: asyncio.Event, **headers: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(transport=Wire(ended)) as http:
        return json.loads((await http.post(address, json=CALL, headers=headers)).text)


def status(code: int, kind: str = "text/html", body: bytes = b"oops") -> bytes:
    head = f"HTTP/1.1 {code} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (status(401), UNSENT, "does not let us in (HTTP 401)"),
        (status(403), UNSENT, "does not let us in (HTTP 403)"),
        (status(502), CONNECTION_CLOSED, "HTTP 502"),
        (b"", CONNECTION_CLOSED, "disconnected"),
        (b"no HTTP at all\r\n\r\n", CONNECTION_CLOSED, "Protocol"),
    ],
)
async def test_what_became_of_a_request(answer: bytes, code: int, said: str) -> None:
    async with answering(answer) as address:
        told = await posted(address, asyncio.Event())
    assert (told["id"], told["error"]["code"]) == (7, code)
    assert said in told["error"]["message"]


async def test_an_answer_is_bounded_as_it_is_read() -> None:
    """A little that is compressed may be much."""
    said: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "result": {}}
    for body, fits in ((json.dumps(said).encode(), True), (b" " * (LARGEST_MESSAGE + 1), False)):
        packed = gzip.compress(body)
        answer = status(200, "application/json\r\ncontent-encoding: gzip", packed)
        async with answering(answer) as address:
            if fits:
                assert await posted(address, asyncio.Event()) == said
                continue
            with pytest.raises(httpx2.StreamError, match=f"more than {LARGEST_MESSAGE} bytes"):
                await posted(address, asyncio.Event())


async def test_a_server_that_is_not_there_was_sent_nothing(port: int) -> None:
    told = await posted(f"http://127.0.0.1:{port}/mcp", asyncio.Event())
    assert told["error"]["code"] == UNSENT


async def test_a_session_that_is_known_no_more_ends_the_connection() -> None:
    ended = asyncio.Event()
    async with answering(status(404)) as address:
        told = await posted(address, ended, **{"Mcp-Session-Id": "s"})
    assert told["error"]["code"] == UNSENT
    assert ended.is_set()


async def test_an_error_that_the_server_words_itself_is_left_alone() -> None:
    said = {"jsonrpc": "2.0", "id": 7, "error": {"code": -32603, "message": "its own"}}
    async with answering(status(500, "application/json", json.dumps(said).encode())) as address:
        assert await posted(address, asyncio.Event()) == said

"""The requests to an MCP server over HTTP: bounded, and each failing for itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx2
from mcp_types import CONNECTION_CLOSED
from typing_extensions import override

from flujo.skills.mcp_pipes import LARGEST_MESSAGE

UNSENT = -31_001
"""The code of the error that stands for an answer where a request did not reach the server's tools."""

_NOT_LET_IN = (401, 403)


class Wire(httpx2.AsyncHTTPTransport):
    """Sends requests; what becomes of one that has no answer is told as an error of the protocol.

    The protocol's client would end the whole connection for it, and with it the calls that are well.

    Args:
        ended: Set when the server no longer knows this connection.
    """

    def __init__(self, ended: asyncio.Event) -> None:
        super().__init__()
        self._ended = ended

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and bound what is read of the answer."""
        try:
            response = await super().handle_async_request(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return _instead(request, UNSENT, f"it cannot be connected to: {error}", error)
        except httpx2.TransportError as error:
            return _instead(request, CONNECTION_CLOSED, f"{type(error).__name__}: {error}", error)
        kind = response.headers.get("content-type", "").lower()
        if response.status_code == 404 and "mcp-session-id" in request.headers:
            self._ended.set()
            await response.aclose()
            return _instead(request, UNSENT, "it knows this session no more")
        if response.status_code in _NOT_LET_IN:
            await response.aclose()
            return _instead(request, UNSENT, f"it does not let us in (HTTP {response.status_code})")
        if response.status_code >= 500 and not kind.startswith("application/json"):
            await response.aclose()
            return _instead(request, CONNECTION_CLOSED, f"HTTP {response.status_code}")
        if kind.startswith("text/event-stream"):  # the protocol's client bounds each event
            return response
        plain = {"content-encoding", "content-length"}  # of what was sent, and not of what is read
        return httpx2.Response(
            response.status_code,
            headers=[(name, value) for name, value in response.headers.items() if name.lower() not in plain],
            stream=_Bounded(response),
            extensions=response.extensions,
            request=request,
        )


def _instead(
    request: httpx2.Request, code: int, message: str, error: httpx2.TransportError | None = None
) -> httpx2.Response:
    """Return the error of a request as its answer; of what has no answer, as what it is."""
    try:
        number = json.loads(request.content)["id"]
    except (ValueError, KeyError, TypeError, httpx2.RequestNotRead):
        if error is not None:
            raise error from None
        return httpx2.Response(202, request=request)
    said = {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
    return httpx2.Response(200, json=said, request=request)


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer, as long as it is not too long: counted unpacked, for little may hold much."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    @override
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        read = 0
        async for chunk in self._response.aiter_bytes():
            read += len(chunk)
            if read > LARGEST_MESSAGE:
                raise httpx2.StreamError(f"the answer has more than {LARGEST_MESSAGE} bytes")
            yield chunk

    @override
    async def aclose(self) -> None:
        """Close the answer."""
        await self._response.aclose()

"""A provider without a port: a transport that answers a client's requests from a list."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from pydantic_ai.models import Model
from typing_extensions import override

from flujo.testing import UseTool
from tests.wire.protocols import Part, Spoken


@dataclass(frozen=True)
class Fails:
    """An answer with an error status."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Garbled:
    """An answer that says it went well, and is no JSON."""

    body: bytes = b'{"id": "1", "choices": [{"ind'


@dataclass(frozen=True)
class Cut:
    """A stream that ends after so many events, by the connection's end or, clean, without the last events."""

    parts: tuple[Part, ...]
    events: int
    clean: bool = False


@dataclass(frozen=True)
class Raw:
    """A stream of these bytes."""

    events: list[bytes]


def says(*parts: Part) -> tuple[Part, ...]:
    """Return an answer with these parts, whole or streamed as the request wants it."""
    return parts


class Provider:
    """A provider that answers each request with the next of its answers, and counts them.

    Attributes:
        requests: Every request that reached it.
    """

    def __init__(self, spoken: Spoken, *answers: Any) -> None:
        self.spoken = spoken
        self.answers = answers
        self.requests: list[httpx2.Request] = []

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    def model(self) -> Model:
        """Return a model whose client sends everything here; its own retries are as its maker set them."""
        return self.spoken.model(httpx2.AsyncClient(transport=httpx2.MockTransport(self._handle)))

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        assert request.url.path == self.spoken.path
        number = len(self.requests)
        assert number <= len(self.answers), f"request {number}, and there are {len(self.answers)} answers"
        answer = self.answers[number - 1]
        streamed = bool(json.loads(request.content).get("stream"))
        match answer:
            case Exception():
                raise answer
            case Fails(status, headers):
                return httpx2.Response(status, json=self.spoken.error(status), headers=dict(headers))
            case Garbled(body):
                return httpx2.Response(200, content=body, headers={"content-type": "application/json"})
            case Cut(parts, events, clean):
                sent = self.spoken.streamed(list(parts))[:events]
                return _stream(Events(sent, None if clean else httpx2.ReadError("the connection was lost")))
            case Raw(events):
                return _stream(Events(events))
            case parts if streamed:
                return _stream(Events(self.spoken.streamed(self._called(parts))))
            case parts:
                return httpx2.Response(200, json=self.spoken.whole(self._called(parts)))

    def _called(self, parts: tuple[Part, ...]) -> list[Part]:
        """Return an answer with an id for each call, as providers give them."""
        answer = len(self.requests)
        return [
            replace(part, id=part.id or f"call_{answer}_{number}") if isinstance(part, UseTool) else part
            for number, part in enumerate(parts)
        ]


class Events(httpx2.AsyncByteStream):
    """The bytes of a stream, and how they end."""

    def __init__(self, events: list[bytes], end: Exception | None = None) -> None:
        self._events = events
        self._end = end

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event
        if self._end is not None:
            raise self._end


def _stream(events: Events) -> httpx2.Response:
    return httpx2.Response(200, stream=events, headers={"content-type": "text/event-stream"})

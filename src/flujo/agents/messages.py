"""Messages of a conversation: what identifies them, and how they are kept once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, ModelResponsePart
from pydantic_core import from_json, to_json

_PASSING: dict[str, Any] = {
    "timestamp": True,
    "run_id": True,
    "conversation_id": True,
    "parts": {"__all__": {"timestamp"}},
}
"""What differs between two messages that say the same."""

_SHORT = 2000
"""Bytes of a new message that stand in the request's own record; a longer one is kept apart, by content."""

_said: TypeAdapter[list[ModelResponsePart]] = TypeAdapter(list[ModelResponsePart])


def dumped(message: ModelMessage) -> bytes:
    """Return a message as JSON."""
    return ModelMessagesTypeAdapter.dump_json([message])[1:-1]


def lasting(message: ModelMessage) -> bytes:
    """Return a message as JSON without what is of the moment, so that the same words are the same bytes."""
    return ModelMessagesTypeAdapter.dump_json([message], exclude={0: _PASSING})[1:-1]


def loaded(written: Any) -> ModelResponse:
    """Return a response of its parsed JSON.

    Raises:
        ValueError: It is none, or one of another version that cannot be read.
    """
    (message,) = ModelMessagesTypeAdapter.validate_json(to_json([written]))
    if not isinstance(message, ModelResponse):
        raise ValueError("the recorded message is no response")  # as a codec does
    return message


def shown_messages(messages: Sequence[ModelMessage]) -> Any:
    """Return a conversation as JSON, as policies judge it."""
    return from_json(ModelMessagesTypeAdapter.dump_json(list(messages)))


def read_messages(written: Any) -> list[ModelMessage]:
    """Return a conversation of its JSON.

    Raises:
        ValueError: It is none.
    """
    return ModelMessagesTypeAdapter.validate_json(to_json(written))


class Conversation:
    """What an agent's requests have said so far, message by message.

    A request's messages are recorded as how many of the last request's they begin with, and those that are
    new: an answer by the address where it is recorded, another message itself, and a long one by its digest,
    kept once by content. So the journal grows with what is new, however long the conversation.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[ModelMessage, str, bytes]] = {}
        self._answers: dict[int, tuple[ModelMessage, str]] = {}
        self._last: list[str] = []

    def answered(self, response: ModelResponse, address: str) -> None:
        """Note where a response is recorded, so that it is not kept a second time."""
        self._answers[id(response)] = (response, address)

    def later(self, messages: Sequence[ModelMessage]) -> Callable[[], Described]:
        """Return what describes a request's messages, once, where somebody wants to know."""
        whole, known = tuple(messages), list[Described]()

        def described() -> Described:
            if not known:
                known.append(self.describe(whole))
            return known[0]

        return described

    def describe(self, messages: Sequence[ModelMessage]) -> Described:
        """Return what is recorded of a request's messages."""
        digests: list[str] = []
        for message in messages:
            known = self._known.get(id(message))
            if known is None:
                body = self._identity(message)
                known = self._known[id(message)] = (message, sha256(body).hexdigest(), body)
            digests.append(known[1])
        same = 0
        for before, now in zip(self._last, digests, strict=False):
            if before != now:
                break
            same += 1
        self._last = digests
        new = [self._answers.get(id(message), (message, ""))[1] for message in messages[same:]]
        bodies = [self._known[id(message)][2] for message in messages[same:]]
        return Described(sha256("".join(digests).encode()).hexdigest()[:16], same, new, bodies)

    def _identity(self, message: ModelMessage) -> bytes:
        """Return what tells a message from others: of an answer that is recorded, what it says is enough."""
        if isinstance(message, ModelResponse) and id(message) in self._answers:
            return _said.dump_json(list(message.parts), exclude=_PASSING["parts"])
        return lasting(message)


class Described:
    """What is recorded of a request's messages.

    Attributes:
        digest: Of all of them.
        same: How many are the last request's.
        size: How many bytes those have that are new and no answer of the model's.
    """

    def __init__(self, digest: str, same: int, new: list[str], bodies: list[bytes]) -> None:
        self.digest = digest
        self.same = same
        self.size = sum(len(body) for body, address in zip(bodies, new, strict=True) if not address)
        self._new = new
        self._bodies = bodies

    def recorded(self, keep: Callable[[bytes], str]) -> dict[str, Any]:
        """Return how the messages are told in the journal."""
        new = [
            address or (from_json(body) if len(body) <= _SHORT else keep(body))
            for address, body in zip(self._new, self._bodies, strict=True)
        ]
        return {"same": self.same, "new": new}

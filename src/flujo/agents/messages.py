"""Messages of a conversation: what identifies them, and how they are kept once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    ToolCallPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.usage import RequestUsage
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

_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
"""How pydantic-ai writes bytes in its messages."""

_ODD = re.compile(r"[^A-Za-z0-9_-]+")
"""What names of tools may not have: providers refuse a conversation with such a name."""

_responses: TypeAdapter[list[ModelResponse]] = TypeAdapter(list[ModelResponse], config=_BYTES)

_UNSAID = tuple(field.name for field in fields(ModelResponse) if field.default is None)
_UNUSED = tuple(field.name for field in fields(RequestUsage) if not field.default)
"""What most responses say nothing of, and their usage counts none of: it is left out where it is so."""


def dumped(response: ModelResponse) -> bytes:
    """Return a response as JSON that loads as the same."""
    said, used = vars(response), vars(response.usage)
    left_out: dict[str, Any] = {name: True for name in _UNSAID if said[name] is None}
    left_out["usage"] = {name for name in _UNUSED if not used.get(name)}
    return _responses.dump_json([response], exclude={0: left_out})[1:-1]


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
    """Return a conversation as JSON, as policies judge it: the same words are the same at any time."""
    return from_json(ModelMessagesTypeAdapter.dump_json(list(messages), exclude={"__all__": _PASSING}))


def shown_response(response: ModelResponse, offered: ModelRequestParameters) -> Any:
    """Return a response as JSON, as policies judge it.

    The name of a tool that was not offered is the model's own words, and not what ties the call to a tool: it
    stands under ``calls``, where it is looked at like any other words.
    """
    shown = from_json(ModelMessagesTypeAdapter.dump_json([response]))[0]
    known = {tool.name for tool in (*offered.function_tools, *offered.output_tools)}
    for part in shown["parts"]:
        if part["part_kind"] == "tool-call" and part["tool_name"] not in known:
            part["calls"], part["tool_name"] = part["tool_name"], ""
    return shown


def read_response(written: Any) -> ModelResponse:
    """Return a response of its JSON, as policies judged it.

    Raises:
        ValueError: It is none.
    """
    response = loaded(written)
    pairs = zip(response.parts, written["parts"], strict=True)
    return replace(response, parts=[_named(part, told) for part, told in pairs])


def _named(part: ModelResponsePart, told: Mapping[str, Any]) -> ModelResponsePart:
    if not isinstance(part, ToolCallPart) or "calls" not in told:
        return part
    return replace(part, tool_name=_ODD.sub("_", str(told["calls"])))


def read_messages(written: Any) -> list[ModelMessage]:
    """Return a conversation of its JSON.

    Raises:
        ValueError: It is none.
    """
    return ModelMessagesTypeAdapter.validate_json(to_json(written))


def instructed(
    parameters: ModelRequestParameters, before: Sequence[ModelMessage], after: Sequence[ModelMessage]
) -> ModelRequestParameters:
    """Return a request's parameters with the instructions of what takes the place of its messages.

    Models read them from the parameters, and in the messages only where they are not there.
    """
    if after is before or (told := _instructions(after)) == _instructions(before):
        return parameters
    return replace(parameters, instruction_parts=[] if told is None else [InstructionPart(told)])


def _instructions(messages: Sequence[ModelMessage]) -> str | None:
    found = (one.instructions for one in reversed(messages) if isinstance(one, ModelRequest))
    return next((one for one in found if one is not None), None)


class Conversation:
    """What an agent's requests have said so far, message by message.

    A request's messages are recorded as how many of the last request's they begin with, and those that are
    new: an answer by the address where it is recorded, another message itself, and a long one by its digest,
    kept once by content. So the journal grows with what is new, however long the conversation.
    """

    def __init__(self) -> None:
        self._said: list[_Said] = []
        self._answers: dict[int, tuple[ModelResponse, str]] = {}

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
        before, same = self._said, 0
        for known, message in zip(before, messages, strict=False):
            if known.message is not message:
                break
            same += 1
        said, new = before[:same], list[tuple[str, bytes]]()
        digest = said[-1].digest if said else b""
        for place, message in enumerate(messages[same:], same):
            known = before[place] if place < len(before) and not new else None
            if known is None or known.message is not message:
                address, body = self._identity(message)
                digest = sha256(digest + body).digest()
                if known is None or known.digest != digest:
                    new.append((address, body))
                known = _Said(message, digest)
            digest = known.digest
            said.append(known)
        self._said = said
        return Described(digest.hex()[:16], len(said) - len(new), new)

    def _identity(self, message: ModelMessage) -> tuple[str, bytes]:
        """Return where a message is recorded, if it is, and what tells it from others.

        Of an answer that is recorded, that is where.
        """
        answer = self._answers.get(id(message))
        return ("", lasting(message)) if answer is None else (answer[1], answer[1].encode())


class _Said(NamedTuple):
    """A message of the last request, and the digest of it and of all before it."""

    message: ModelMessage
    digest: bytes


class Described:
    """What is recorded of a request's messages.

    Attributes:
        digest: Of all of them.
        same: How many are the last request's.
        size: How many bytes those have that are new and no answer of the model's.
    """

    def __init__(self, digest: str, same: int, new: list[tuple[str, bytes]]) -> None:
        self.digest = digest
        self.same = same
        self.size = sum(len(body) for address, body in new if not address)
        self._new = new

    def recorded(self, keep: Callable[[bytes], str]) -> dict[str, Any]:
        """Return how the messages are told in the journal."""
        new = [
            address or (from_json(body) if len(body) <= _SHORT else keep(body)) for address, body in self._new
        ]
        return {"same": self.same, "new": new}

"""What a scripted model may give: texts, tool calls, errors, and what else a provider sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class UseTool:
    """A call of a tool, as a model asks for it.

    Attributes:
        name: The tool's name; it need not be one that the agent has.
        arguments: What it is called with; a string is sent as it is, also where it is no JSON.
        id: The call's id; left out, it is made of its place in the script: ``call-2-1``.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    id: str = ""


class Malformed(NamedTuple):
    """This text, in the place of the JSON of a structured answer."""

    text: str


class Status(NamedTuple):
    """An HTTP error, raised as the client of a provider raises it.

    Attributes:
        code: The status: 400 to 599.
        retry_after: Seconds that the provider asks to wait.
        message: What it says.
    """

    code: int
    retry_after: float | None = None
    message: str = "scripted"


class Reply:
    """What one request is answered with, where that is more than one thing.

    Args:
        parts: Texts, :class:`UseTool`, :class:`Malformed` and structured answers, in order, each also with a
            delay, as :class:`After`; an exception or a :class:`Status` cuts the answer off there. Texts in
            succession are one text; streamed, each is a chunk of it (one alone is streamed by words).
        input_tokens: What is reported as read; what the model reports otherwise, when left out.
        output_tokens: What is reported as written; likewise.
        cached_tokens: How many of those read came from the provider's cache.
        finish: Why it ended: ``stop``, ``length``, ``content_filter``, ``tool_call`` or ``error``.
    """

    __slots__ = ("cached_tokens", "finish", "input_tokens", "output_tokens", "parts")

    def __init__(
        self,
        *parts: Any,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int = 0,
        finish: str | None = None,
    ) -> None:
        self.parts = parts
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.cached_tokens = cached_tokens
        self.finish = finish


def reply_of(turn: Any) -> Reply:
    """Return a turn of a script as the reply it is short for."""
    match turn:
        case Reply():
            return turn
        case [UseTool(), *rest] if all(isinstance(one, UseTool) for one in rest):
            return Reply(*turn)
        case _:
            return Reply(turn)

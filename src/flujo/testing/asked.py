"""What a scripted model was asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic_ai.messages import ModelMessage, ToolCallPart
from pydantic_ai.settings import ModelSettings
from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a scripted model.

    Attributes:
        messages: The whole conversation, as it was sent.
        tools: The names of the tools it was offered.
        settings: The model settings: temperature, the most tokens, …
        instructions: The system's instructions.
        streamed: Whether the answer was to be streamed.
    """

    messages: tuple[ModelMessage, ...]
    tools: tuple[str, ...] = ()
    settings: ModelSettings | None = None
    instructions: str | None = None
    streamed: bool = False

    @property
    def said(self) -> str:
        """What the last message says: prompts, what tools gave, what was wrong with the last answer."""
        return "\n".join(_texts(self.messages[-1:]))

    @property
    def conversation(self) -> str:
        """What all messages say, with the model's own answers."""
        return "\n".join(_texts(self.messages))


def _texts(messages: tuple[ModelMessage, ...]) -> Iterator[str]:
    for message in messages:
        for part in message.parts:
            match part:
                case ToolCallPart():
                    yield f"{part.tool_name}({part.args_as_json_str()})"
                case _:
                    content = vars(part).get("content")
                    if content is not None:
                        yield content if isinstance(content, str) else to_json(content).decode()

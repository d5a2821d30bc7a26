"""What a model is told: a step's input as a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from pydantic_ai.messages import UserContent
from pydantic_core import to_json

from flujo.errors import PipelineError

_CONTENT = "pydantic_ai."


def prompt_of(value: Any) -> str | Sequence[UserContent]:
    """Return a step's input as a prompt: a text and a list with documents as they are, all else as JSON.

    Raises:
        PipelineError: It cannot be written as JSON.
    """
    if isinstance(value, str):
        return value
    if _is_content(value):
        return [value]
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        if any(_is_content(item) for item in items):
            return [item if _is_content(item) else _told(item) for item in items]
    return _told(value)


def _told(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return to_json(value, indent=2).decode()
    except ValueError as error:
        raise PipelineError(
            f"what an agent is given, {type(value).__qualname__}, cannot be told as JSON: "
            f"{type(error).__name__}",
            fix="give the agent a text or a Pydantic model, in a step before it",
        ) from None


def _is_content(value: Any) -> bool:
    return type(value).__module__.startswith(_CONTENT)

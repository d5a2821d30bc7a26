"""What goes wrong in an agent, in our words: what happened and what to do, and nothing of what was said."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager

from pydantic import ValidationError
from pydantic_ai.exceptions import (
    ContentFilterError,
    FallbackExceptionGroup,
    ModelAPIError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models import Model

from flujo.agents.calls import told_of
from flujo.agents.providers import keys
from flujo.engine.threads import text_of
from flujo.errors import AgentFailed

_KEYS = re.compile(r"(?i)\b(?:(?:sk|pk|rk|gsk|xai|hf|ghp|AIza)[-_][\w-]{12,}|bearer\s+[\w.~+/=-]{8,})")
"""What the keys of providers look like, wherever they came from."""

_NAMES = ("_API_KEY", "_TOKEN", "_SECRET")
_SHORTEST = 8
_REQUESTS = re.compile(r"The next request would exceed the request_limit of (\d+)")
_OUTPUTS = "maximum output retries"
_FIT = "make the output type easier to fill, say in the prompt what is wanted, or allow more retries"
_UNREADABLE = (UnexpectedModelBehavior, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What clients of providers raise of an answer that is not as their protocol says."""


@contextmanager
def in_our_words(agent: str) -> Generator[None]:
    """Tell what pydantic-ai raises in the words of the house.

    What providers raise stays as it is: see :func:`without_keys`.

    Args:
        agent: The agent's name.

    Raises:
        AgentFailed: The agent came to no answer.
    """
    try:
        yield
    except UsageLimitExceeded as error:
        said = _REQUESTS.sub(r"it has asked its model \1 times", error.message.partition(". Consider")[0])
        raise AgentFailed(
            f"agent {agent!r} did not come to an end: {said}",
            fix="raise its max_turns, or look in the journal for why it goes on",
        ) from None
    except FallbackExceptionGroup as group:
        said = "; ".join(f"{type(one).__name__}: {text_of(one)}" for one in group.exceptions)
        raise AgentFailed(f"agent {agent!r}: each of its models failed: {said}") from None
    except ContentFilterError:
        raise AgentFailed(
            f"agent {agent!r}: its provider's filter stopped the answer", fix="look at what it was given"
        ) from None
    except UnexpectedModelBehavior as error:
        raise _unfit(agent, error) from None


@contextmanager
def readable(model: Model) -> Generator[None]:
    """Make of an answer that a provider's client cannot read a request that failed, so that others take over.

    What a model that is reached over no wire raises is its own, and stays as it is.

    Args:
        model: Who answers.

    Raises:
        ModelAPIError: The answer cannot be read.
    """
    try:
        yield
    except _UNREADABLE as error:
        if model.base_url is None:
            raise
        raise ModelAPIError(
            model.model_name,
            f"the answer of {model.model_id!r} cannot be read: {_misread(error)}; see whether "
            f"{model.base_url} speaks as that provider does, or give the agent fallback models",
        ) from None


def _misread(error: Exception) -> str:
    """Return why an answer cannot be read, without what it says."""
    wrong = _invalid(error)
    if wrong is not None:
        return told_of(wrong)
    # What Python says of attributes and types is of the code; others quote what they were given.
    said = f": {error}" if isinstance(error, AttributeError | TypeError) else ""
    return f"{type(error).__name__}{said}"


def legible(response: ModelResponse) -> ModelResponse:
    """Return a response that holds what it is declared to hold; some clients make theirs of anything.

    Raises:
        UnexpectedModelBehavior: It holds something else.
    """
    said: list[object] = [response.model_name or ""]
    for part in response.parts:
        match part:
            case TextPart() | ThinkingPart():
                said.append(part.content)
            case ToolCallPart():
                said += (
                    part.tool_name,
                    part.tool_call_id,
                    "" if isinstance(part.args, dict) else part.args or "",
                )
            case _:
                pass
    if not all(isinstance(one, str) for one in said):
        raise UnexpectedModelBehavior("the answer does not hold what it should")
    return response


def _unfit(agent: str, error: UnexpectedModelBehavior) -> AgentFailed:
    """Return what a model did that no retry mended."""
    said = error.message.partition(" Consider raising")[0]
    invalid = _invalid(error)
    if invalid is None:
        return AgentFailed(f"agent {agent!r}: {said}", fix=_FIT if _OUTPUTS in said else "")
    if _OUTPUTS in said:
        return AgentFailed(f"agent {agent!r} gave no output that fits: {told_of(invalid)}", fix=_FIT)
    said = said.replace(str(invalid), "").rstrip(": ")  # some clients quote it whole, with the input
    return AgentFailed(f"agent {agent!r}: {said}: {told_of(invalid)}")


def _invalid(error: BaseException | None) -> ValidationError | None:
    """Return what did not fit where that is behind an error."""
    while error is not None and not isinstance(error, ValidationError):
        error = error.__cause__ or error.__context__
    return error


def without_keys(error: ModelAPIError) -> ModelAPIError:
    """Return a provider's error; where it repeats a key, with the key made unreadable in it."""
    told = hidden(error.message or "its provider does not say why")
    if told != error.message or hidden(repr(error.body)) != repr(error.body):
        error.message, error.args, error.body = told, (told,), None
        error.__cause__ = error.__context__ = None  # they hold what the provider sent
    return error


def hidden(text: str) -> str:
    """Return a text with whatever is a key, or looks like one, made unreadable."""
    for name, value in os.environ.items():
        if name.endswith(_NAMES) and len(value) >= _SHORTEST:
            text = text.replace(value, f"[{name}]")
    for key in keys:
        text = text.replace(key, "[a key]")
    return _KEYS.sub("[a key]", text)

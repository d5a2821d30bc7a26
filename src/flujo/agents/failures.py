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


def _unfit(agent: str, error: UnexpectedModelBehavior) -> AgentFailed:
    """Return what a model did that no retry mended."""
    said = error.message.partition(" Consider raising")[0]
    invalid: BaseException | None = error.__cause__
    while invalid is not None and not isinstance(invalid, ValidationError):
        invalid = invalid.__cause__ or invalid.__context__
    if invalid is None:
        return AgentFailed(f"agent {agent!r}: {said}", fix=_FIT if _OUTPUTS in said else "")
    # The input is left out: it is what the model said, which may be of a person.
    wrong = invalid.errors(include_url=False, include_context=False, include_input=False)
    parts = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}" for one in wrong)
    if _OUTPUTS in said:
        return AgentFailed(f"agent {agent!r} gave no output that fits: {parts}", fix=_FIT)
    said = said.replace(str(invalid), "").rstrip(": ")  # some clients quote it whole, with the input
    return AgentFailed(f"agent {agent!r}: {said}: {parts}")


def without_keys(error: ModelAPIError) -> ModelAPIError:
    """Return a provider's error; where it repeats a key, with the key made unreadable in it."""
    told = hidden(error.message)
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

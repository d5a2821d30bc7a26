"""The most that a request to a model may cost, whichever agent layer sends it."""

from __future__ import annotations

from flujo.engine.prices import price
from flujo.errors import ConfigError
from flujo.pipeline.info import Usage

OVERHEAD = 256
"""Tokens that a provider may add to what is sent: roles, separators, its own words about tools."""


def upper_bound(model: str, most: int | None, sent: int, *, money: bool) -> Usage:
    """Return the most that a request may cost.

    Args:
        model: Whom it is sent to, as ``provider:model`` where the provider is known.
        most: The most tokens of the answer; None where nothing says so.
        sent: The most tokens that are sent: one a byte, where nothing counted them.
        money: Whether money is limited, so that the model's price must be known.

    Raises:
        ConfigError: Nothing says how long the answer may be, or the model has no known price.
    """
    if not most:
        raise ConfigError(
            f"a quota holds, and nothing says how long an answer of {model} may be",
            fix="set max_tokens in the agent's settings, say to 2000",
        )
    bound = Usage(1, sent + OVERHEAD, most)
    return bound + Usage(cost=price(model, bound)) if money else bound

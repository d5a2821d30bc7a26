"""The most that a request to a model may cost, whichever agent layer sends it."""

from __future__ import annotations

from flujo.engine.prices import price
from flujo.errors import ConfigError
from flujo.pipeline.info import Usage

OVERHEAD = 256
"""Tokens that a provider may add to what is sent: roles, separators, its own words about tools."""


def upper_bound(model: str, most: int | None, sent: int, limits: frozenset[str]) -> Usage:
    """Return the most that a request may cost.

    Args:
        model: Whom it is sent to, as ``provider:model`` where the provider is known.
        most: The most tokens of the answer; None where nothing says so.
        sent: The most tokens that are sent: one a byte, where nothing counted them.
        limits: What is limited: of money, the model's price must be known; of money and of the tokens of
            answers, how long one may be.

    Raises:
        ConfigError: Nothing says how long the answer may be, or the model has no known price.
    """
    if not most and not limits.isdisjoint(("usd", "output_tokens")):
        raise ConfigError(
            f"a quota holds, and nothing says how long an answer of {model} may be",
            fix="set max_tokens in the agent's settings, say to 2000",
        )
    bound = Usage(1, sent + OVERHEAD, most or 0)
    return bound + Usage(cost=price(model, bound)) if "usd" in limits else bound

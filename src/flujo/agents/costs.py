"""What a request to a model may cost, and what it did."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings

from flujo.agents.bounds import upper_bound
from flujo.pipeline.info import FINEST, Usage


def usage_of(response: ModelResponse) -> Usage:
    """Return what a request cost, with the price that its provider's list has for it, cached tokens included.

    A model without a known price costs nothing; where money is limited, no request of it is sent at all.
    """
    spent = response.usage
    return Usage(1, spent.input_tokens, spent.output_tokens, _cost(response))


def _cost(response: ModelResponse) -> Decimal:
    if not response.model_name:
        return Decimal(0)
    try:
        found = response.cost().total_price
    except (LookupError, ValueError):  # no known price, or a provider that does not tell what was used
        return Decimal(0)
    return found.quantize(Decimal(1).scaleb(-FINEST), rounding=ROUND_CEILING)


def bound_of(model: Model, settings: ModelSettings | None, sent: int, limits: frozenset[str]) -> Usage:
    """Return the most that a request may cost; of a model with fallbacks, whichever of them answers.

    Args:
        model: Whom it is sent to.
        settings: Its settings.
        sent: The most tokens that are sent: what the provider counted before, and one a byte of what is new.
        limits: What is limited; see :func:`upper_bound`.

    Raises:
        ConfigError: Nothing says how long the answer may be, or the model has no known price.
    """
    if isinstance(model, FallbackModel):
        bounds = [bound_of(one, settings, sent, limits) for one in model.models]
        most = max(bound.output_tokens for bound in bounds)
        return replace(bounds[0], output_tokens=most, cost=max(bound.cost for bound in bounds))
    longest = (settings or {}).get("max_tokens") or (model.settings or {}).get("max_tokens")
    return upper_bound(model.model_id, longest, sent, limits)

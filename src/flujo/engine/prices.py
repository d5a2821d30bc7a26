"""What a request to a model costs: prices that come with a package, and are not looked up anywhere."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from flujo.errors import ConfigError
from flujo.pipeline.info import FINEST, Usage


def price(model: str, usage: Usage) -> Decimal:
    """Return what a usage of a model costs, in US dollars, rounded up to what quotas count.

    With the tokens of a request and the most that may come back, it is the request's upper bound:
    ``Usage(requests=1, input_tokens=n, output_tokens=most, cost=price("openai:gpt-4o", …))``.

    Args:
        model: The model's name, or ``provider:model``.
        usage: The tokens.

    Raises:
        ConfigError: The model has no known price, or genai-prices is not installed (the extra ``pricing``).
    """
    try:
        from genai_prices import Usage as Tokens
        from genai_prices import calc_price
    except ModuleNotFoundError as error:
        raise ConfigError(
            "prices need the package genai-prices, which is not installed", fix="pip install 'flujo[pricing]'"
        ) from error
    provider, _, name = model.rpartition(":")
    tokens = Tokens(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    try:
        found = calc_price(tokens, name, provider_id=provider or None)
    except LookupError as error:
        raise ConfigError(
            f"the model {model!r} has no known price",
            fix="check its name, as provider:model; or pass its cost yourself: Usage(…, cost=Decimal(…))",
        ) from error
    return found.total_price.quantize(Decimal(1).scaleb(-FINEST), rounding=ROUND_CEILING)


def priced(model: str, usage: Usage) -> Usage:
    """Return a usage with what it costs; as it is, where no price of the model is known."""
    try:
        return usage + Usage(cost=price(model, usage))
    except ConfigError:
        return usage

"""What models cost: the one place that knows prices.

The table holds what RouterBench charged (Hu et al., 2024, arXiv:2403.12031, March 2024), in USD per
million tokens. Prices change: a table of outcomes carries its own costs, and these are used only
where costs have to be worked out from tokens.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from equirouter.errors import ConfigError

__all__ = ["PRICES", "PRICES_DATE", "PRICES_SOURCE", "Price", "cost_usd", "price_of"]

PRICES_SOURCE = "RouterBench, arXiv:2403.12031"
PRICES_DATE = "2024-03"


@dataclass(frozen=True)
class Price:
    """USD per million tokens, of the prompt (input) and of the answer (output).

    Raises ConfigError if a price is negative or not finite.
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float

    def __post_init__(self) -> None:
        for name in ("input_usd_per_mtok", "output_usd_per_mtok"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(
                    f"{name} is {value}; expected USD per million tokens, finite and not negative"
                )


PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "WizardLM/WizardLM-13B-V1.2": Price(0.3, 0.3),
        "claude-instant-v1": Price(0.8, 2.4),
        "claude-v1": Price(8.0, 24.0),
        "claude-v2": Price(8.0, 24.0),
        "gpt-3.5-turbo-1106": Price(1.0, 2.0),
        "gpt-4-1106-preview": Price(10.0, 30.0),
        "meta/code-llama-instruct-34b-chat": Price(0.78, 0.78),
        "meta/llama-2-70b-chat": Price(0.9, 0.9),
        "mistralai/mistral-7b-chat": Price(0.2, 0.2),
        "mistralai/mixtral-8x7b-chat": Price(0.6, 0.6),
        "zero-one-ai/Yi-34B-Chat": Price(0.8, 0.8),
    }
)


def price_of(model: str) -> Price | None:
    """The price of a model by its exact name, None if the table does not have it."""
    return PRICES.get(model)


def cost_usd(price: Price, input_tokens: float, output_tokens: float) -> float:
    """USD of one call with that many tokens in the prompt and in the answer.

    Raises ConfigError if a number of tokens is negative or not finite.
    """
    for name, tokens in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if not (math.isfinite(tokens) and tokens >= 0):
            raise ConfigError(f"{name} is {tokens}; expected a number of tokens, not negative")
    return (
        input_tokens * price.input_usd_per_mtok + output_tokens * price.output_usd_per_mtok
    ) / 1e6

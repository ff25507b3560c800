"""What models cost: the one place that knows prices, in USD per million tokens.

PRICES is what RouterBench charged (Hu et al., 2024, arXiv:2403.12031, March 2024), FLAGSHIP_PRICES
what LLMRouterBench paid OpenRouter (Li et al., 2026, arXiv:2601.07206, the model table of its
README, late 2025). Open models that neither names are priced by their size: price_of_size. Prices
change: a table of outcomes carries its own costs, and these are used only where costs have to be
worked out from tokens.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from equirouter.errors import ConfigError

__all__ = [
    "FLAGSHIP_PRICES",
    "FLAGSHIP_PRICES_DATE",
    "FLAGSHIP_PRICES_SOURCE",
    "PRICES",
    "PRICES_DATE",
    "PRICES_SOURCE",
    "Price",
    "cost_usd",
    "estimated_tokens",
    "price_of",
    "price_of_size",
    "size_of",
]

PRICES_SOURCE = "RouterBench, arXiv:2403.12031"
PRICES_DATE = "2024-03"
FLAGSHIP_PRICES_SOURCE = "LLMRouterBench, arXiv:2601.07206, its README"
FLAGSHIP_PRICES_DATE = "2025-11"


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

FLAGSHIP_PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "claude-sonnet-4": Price(3.0, 15.0),
        "deepseek-r1-0528": Price(0.5, 2.15),
        "deepseek-v3-0324": Price(0.25, 0.88),
        "deepseek-v3.1-terminus": Price(0.27, 1.0),
        "gemini-2.5-flash": Price(0.3, 2.5),
        "gemini-2.5-pro": Price(1.25, 10.0),
        "glm-4.6": Price(0.6, 2.2),
        "gpt-5": Price(1.25, 10.0),
        "gpt-5-chat": Price(1.25, 10.0),
        "intern-s1": Price(0.18, 0.54),
        "kimi-k2-0905": Price(0.5, 2.0),
        "qwen3-235b-a22b-2507": Price(0.09, 0.6),
        "qwen3-235b-a22b-thinking-2507": Price(0.3, 2.9),
    }
)
"""The 13 models of LLMRouterBench that it paid for, under the names of its files."""

# Models of RouterBench that stand for a size, in 1e9 parameters.
_PRICED_SIZES = {
    7.0: "mistralai/mistral-7b-chat",
    13.0: "WizardLM/WizardLM-13B-V1.2",
    34.0: "zero-one-ai/Yi-34B-Chat",
    70.0: "meta/llama-2-70b-chat",
}

# Billions of parameters that the names do not say, as the models were announced; not verified.
_SIZES = {
    "alpaca-native": 7.0,
    "flan-t5-xxl": 11.0,
    "moss-moon-003-sft": 16.0,
    "fin-r1": 7.0,
    "intern-s1-mini": 8.0,
}


def price_of(model: str) -> Price | None:
    """The price of a model by its exact name, None if no table has it."""
    return PRICES.get(model) or FLAGSHIP_PRICES.get(model)


def price_of_size(size: float) -> Price:
    """What RouterBench charged for its open model nearest in size, by ratio: an estimate.

    size: in 1e9 parameters. Up to about 9.5 it is the price of Mistral 7B, to 21 of WizardLM 13B,
    to 49 of Yi 34B, above of Llama 2 70B: too little for models that are much larger.
    Raises ConfigError for a size that is not above 0.
    """
    if not (math.isfinite(size) and size > 0):
        raise ConfigError(f"size is {size}; expected 1e9 parameters, above 0")
    nearest = min(_PRICED_SIZES, key=lambda priced: abs(math.log(priced / size)))
    return PRICES[_PRICED_SIZES[nearest]]


def size_of(model: str) -> float | None:
    """1e9 parameters of a model as its name says, None if the name does not.

    "Llama-3.1-8B-Instruct" is 8, "Mixtral-8x7B" 56 (8 times 7: the shared weights are counted 8
    times), "pythia-410m" 0.41; of two sizes in a name the last counts. Some names that say nothing
    are known.
    """
    known = _SIZES.get(model.rpartition("/")[2].lower())
    if known is not None:
        return known
    found = re.findall(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", model.lower())
    if not found:
        return None
    times, number, unit = found[-1]
    size = float(number) * int(times or 1) / (1 if unit == "b" else 1000)
    return size or None


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its bytes in UTF-8, rounded up.

    Every model has its own tokenizer; four bytes a token is a rule of thumb for English. One rule
    for all models keeps their costs comparable.
    """
    return -(-len(text.encode("utf-8")) // 4)


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

"""Price: what a model costs per million tokens; with the Usage of a call, what the call cost."""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from equirouter.cost.usage import Usage
from equirouter.errors import ConfigError

if TYPE_CHECKING:
    from equirouter.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Price:
    """USD per million tokens, of the prompt (input) and of the answer (output).

    The other fields are for tokens that a provider charges apart; None means that it does not, and
    they cost what the rest of the prompt or the answer costs. cached_input: read from a cache.
    cache_write: written to one; long_cache_write: for the longer of two times, None as cache_write.
    reasoning: generated but not shown. audio_input, audio_output: sound. tiers: what long prompts
    cost, from the lowest limit to the highest. service_tiers: what faster or slower service costs.
    Raises ConfigError if a price is negative or not finite, if the limits do not rise, or if a
    service tier is there twice.
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    long_cache_write_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None
    audio_input_usd_per_mtok: float | None = None
    audio_output_usd_per_mtok: float | None = None
    tiers: tuple["Tier", ...] = ()
    service_tiers: tuple["ServiceTier", ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not field.name.endswith("_usd_per_mtok") or (
                value is None and field.default is None
            ):
                continue
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ConfigError(
                    f"{field.name} is {value}; expected USD per million tokens, finite and not "
                    "negative"
                )
        limits = [tier.above_input_tokens for tier in self.tiers]
        if limits != sorted(set(limits)):
            raise ConfigError(f"tiers start above {limits} tokens; each limit must be higher")
        names = [tier.name for tier in self.service_tiers]
        if len(set(names)) < len(names):
            raise ConfigError(f"the service tiers are {names}; each must be there once")

    def __str__(self) -> str:
        amounts = {
            field.name.removesuffix("_usd_per_mtok"): getattr(self, field.name)
            for field in fields(self)
            if field.name.endswith("_usd_per_mtok")
        }
        known = [f"{name} {value:g}" for name, value in amounts.items() if value is not None]
        known += [f"{len(self.tiers)} tiers"] if self.tiers else []
        known += [f"service tier {tier.name}" for tier in self.service_tiers]
        return f"USD per million tokens: {', '.join(known)}"

    def at(self, input_tokens: float) -> "Price":
        """The price of a whole call with so long a prompt: its tier's, or this one."""
        reached = [tier for tier in self.tiers if input_tokens > tier.above_input_tokens]
        return reached[-1].price if reached else self

    def served(self, service_tier: str | None) -> "Price | None":
        """The price in a service tier, None for one that is not known.

        None, and names such as "auto" and "default", stand for this price unless it says otherwise.
        """
        for tier in self.service_tiers:
            if tier.name == service_tier:
                return tier.price
        return self if service_tier is None or service_tier in _STANDARD_SERVICE else None


_STANDARD_SERVICE = frozenset({"auto", "default", "on_demand", "standard", "standard_only"})


@dataclass(frozen=True)
class ServiceTier:
    """The price of calls in a service tier, by the provider's name for it, such as "priority".

    price: complete in itself; nothing is taken over from the standard price. Raises ConfigError if
    the price has service tiers of its own.
    """

    name: str
    price: Price

    def __post_init__(self) -> None:
        if self.price.service_tiers:
            raise ConfigError(f"the price of the service tier {self.name!r} has service tiers")


@dataclass(frozen=True)
class Tier:
    """The price of all tokens of a call whose prompt is longer than above_input_tokens.

    price: complete in itself; nothing is taken over from the price below. Raises ConfigError if
    the limit is not above 0, or the price has tiers of its own.
    """

    above_input_tokens: int
    price: Price

    def __post_init__(self) -> None:
        if not self.above_input_tokens > 0:
            raise ConfigError(f"above_input_tokens is {self.above_input_tokens}; expected above 0")
        if self.price.tiers or self.price.service_tiers:
            raise ConfigError("the price of a tier has tiers; they belong to the price above it")


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its bytes in UTF-8, rounded up.

    Every model has its own tokenizer; four bytes a token is a rule of thumb for English. One rule
    for all models keeps their costs comparable.
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)  # a table says what is no text


def cost_usd(price: Price, usage: Usage) -> float:
    """USD of one call: every token once, at the price of its kind, in the tier of its prompt."""
    at = price.at(usage.input_tokens)
    write = _or(at.cache_write_usd_per_mtok, at.input_usd_per_mtok)
    charged = (
        (usage.plain_input_tokens, at.input_usd_per_mtok),
        (usage.cached_input_tokens, _or(at.cached_input_usd_per_mtok, at.input_usd_per_mtok)),
        (usage.cache_write_tokens, write),
        (usage.long_cache_write_tokens, _or(at.long_cache_write_usd_per_mtok, write)),
        (usage.audio_input_tokens, _or(at.audio_input_usd_per_mtok, at.input_usd_per_mtok)),
        (usage.plain_output_tokens, at.output_usd_per_mtok),
        (usage.reasoning_tokens, _or(at.reasoning_usd_per_mtok, at.output_usd_per_mtok)),
        (usage.audio_output_tokens, _or(at.audio_output_usd_per_mtok, at.output_usd_per_mtok)),
    )
    return math.fsum(tokens * usd for tokens, usd in charged) / 1e6


def costs_usd(
    price: Price, input_tokens: "FloatArray | IntArray", output_tokens: "FloatArray | IntArray"
) -> "FloatArray":
    """cost_usd of many calls without caches, reasoning and sound: USD, of the arrays' common shape.

    Each call is in the tier of its own prompt. NaN tokens give NaN.
    """
    import numpy as np

    usd = (
        np.asarray(input_tokens) * price.input_usd_per_mtok
        + np.asarray(output_tokens) * price.output_usd_per_mtok
    ) / 1e6
    for tier in price.tiers:
        above = costs_usd(tier.price, input_tokens, output_tokens)
        usd = np.where(np.asarray(input_tokens) > tier.above_input_tokens, above, usd)
    return np.asarray(usd)


def _or(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price

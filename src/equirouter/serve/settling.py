"""Charges for calls: by their usage, by the provider's own figure, or where nobody saw either.

A report that cannot be true is no usage: a number far above what the call could have, none for a
prompt, none for an answer that was generated.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from equirouter.cost.prices import Price
from equirouter.serve.charging import cost_nusd, prices_in, reported
from equirouter.serve.records import ChargedBy, Tokens, nusd

LITELLM_COST = "x-litellm-response-cost"
"""The header in which LiteLLM's proxy states what an answer cost, USD."""

_TIMES_THE_BOUND = 10
"""Hidden instructions, large images and reasoning beside the limit stay below it."""
_ALWAYS_PLAUSIBLE = 4096
_LONGEST_CONTEXT = 10_000_000
_ANY_COST_NUSD = 10_000_000  # 0.01 USD: fees for searches and the like come on top of tokens
_MOST_USD = 1e6
_TOKENS_PER_SECOND = 50
"""About what hosted models generate for one answer."""


@dataclass(slots=True)
class Bounds:
    """The tokens and the cost that a call may come to, as reserved.

    price: standard, of the model. prompt_tokens: counted here. output_tokens: of all answers.
    answers: how many. is_whole: False where the provider adds to the prompt what was not counted.
    service_tier: which was asked for.
    """

    price: Price
    upper_nusd: int
    prompt_tokens: int
    output_tokens: int
    answers: int = 1
    is_whole: bool = True
    service_tier: str | None = None


@dataclass(slots=True)
class Report:
    """An answer's facts about itself. usage: as it came. cost_nusd: the provider's own figure.

    service_tier: in which it was served. output_tokens: estimates those of the answer's text, where
    the usage does not do. is_answer: False for embeddings.
    """

    usage: object
    output_tokens: Callable[[], int]
    cost_nusd: int | None = None
    service_tier: object = None
    is_answer: bool = True


@dataclass(slots=True)
class Charge:
    """The charge for a call: for which tokens, how it was found, and in which service tier."""

    cost_nusd: int
    tokens: Tokens
    by: ChargedBy
    service_tier: str | None


def charge(
    bounds: Bounds,
    report: Report,
    *,
    unknown: Literal["estimate", "bound", "nothing"],
    by_reported_cost: bool,
) -> Charge:
    """The charge for an answered call. unknown: the rule where no usage came with it."""
    service_tier = report.service_tier
    tier = service_tier if isinstance(service_tier, str) and service_tier else bounds.service_tier
    tokens = reported(report.usage, is_answer=report.is_answer)
    is_plausible = tokens is not None and _is_plausible(bounds, report, tokens)
    if tokens is not None and is_plausible:
        used = tokens
    else:
        used = Tokens(bounds.prompt_tokens, report.output_tokens(), estimated=True)
    stated = report.cost_nusd
    if by_reported_cost and stated is not None and _may_cost(bounds, stated):
        return Charge(stated, used, "reported", tier)
    cost = cost_in_tier(bounds.price, used, tier)
    if is_plausible:
        return Charge(cost, used, "usage", tier)
    estimate = min(cost, bounds.upper_nusd)  # a guess takes no more than what was reserved
    if report.usage and isinstance(report.usage, Mapping):
        return Charge(estimate, used, "implausible", tier)
    amounts = {"estimate": estimate, "bound": bounds.upper_nusd, "nothing": 0}
    return Charge(amounts[unknown], used, unknown, tier)


def cost_in_tier(price: Price, tokens: Tokens, service_tier: str | None) -> int:
    """Nano-USD of a call in a service tier, at the highest price for one that is not known."""
    served = price.served(service_tier)
    if served is not None:
        return cost_nusd(served, tokens)
    return max(cost_nusd(known, tokens) for known in prices_in(price, service_tier))


def unseen_nusd(
    bounds: Bounds, seconds: float, unknown: Literal["estimate", "bound", "nothing"]
) -> int:
    """Nano-USD that a call is charged which ran so long and brought no answer.

    The estimate: its prompt, and what is generated in that time, at most the bound.
    """
    if unknown != "estimate":
        return bounds.upper_nusd if unknown == "bound" else 0
    generated = min(bounds.output_tokens, int(seconds * _TOKENS_PER_SECOND) * bounds.answers)
    tokens = Tokens(bounds.prompt_tokens, generated, estimated=True)
    return min(bounds.upper_nusd, cost_in_tier(bounds.price, tokens, bounds.service_tier))


def reported_nusd(usage: object, headers: Mapping[str, str]) -> int | None:
    """Nano-USD that an answer cost as its provider says, None where it says nothing sensible.

    In its usage, or in the header of LiteLLM's proxy. Where OpenRouter called with a key of one's
    own, `cost` is its fee alone, and what the key pays comes on top.
    """
    report = usage if isinstance(usage, dict) else {}
    stated = report.get("cost")
    if isinstance(stated, Mapping):
        stated = stated.get("total_cost")
    if stated is None:
        stated = _number(headers.get(LITELLM_COST))
    if stated is None:
        return None
    parts: list[Any] = [stated]
    if report.get("is_byok") is True:
        details = report.get("cost_details")
        paid = details.get("upstream_inference_cost") if isinstance(details, Mapping) else None
        parts.append(paid)
    if not all(_is_amount(part) for part in parts):
        return None
    return nusd(sum(parts))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _is_amount(value: Any) -> bool:  # noqa: ANN401  # any JSON
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= _MOST_USD


def _is_plausible(bounds: Bounds, report: Report, tokens: Tokens) -> bool:
    most_input = _most(bounds.prompt_tokens) if bounds.is_whole else _LONGEST_CONTEXT
    if not 0 < tokens.input <= most_input:
        return False
    if not report.is_answer:
        return True
    is_left_out = tokens.output == 0 and report.output_tokens() > 0
    return not is_left_out and tokens.output <= _most(bounds.output_tokens)


def _most(bound: int) -> int:
    return max(_TIMES_THE_BOUND * bound, _ALWAYS_PLAUSIBLE)


def _may_cost(bounds: Bounds, stated_nusd: int) -> bool:
    if not bounds.is_whole:
        return True
    return stated_nusd <= max(_TIMES_THE_BOUND * bounds.upper_nusd, _ANY_COST_NUSD)

"""Prices of calls in whole nano-USD: what tokens cost, and the most that they can cost."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from equirouter.cost.price_table import shipped_prices
from equirouter.cost.prices import Price, ServiceTier, cost_usd
from equirouter.cost.usage import Usage, usage_of
from equirouter.errors import ConfigError, DataError
from equirouter.pipeline.evidence import stored_prices
from equirouter.serve.records import Tokens, nusd
from equirouter.serve.setting_types import PriceSettings
from equirouter.serve.settings import GatewaySettings, ModelSettings

_KINDS = tuple(field.name for field in fields(Tokens) if field.name != "estimated")
"""Kinds of tokens, which a usage calls input_tokens and so on."""
_MOST_TOKENS = 10**9
"""A report of more is an error of the provider's: nothing is charged by it."""


def model_prices(settings: GatewaySettings) -> dict[str, Price]:
    """The price of every model of the pool. Raises ConfigError for one that has none."""
    path = settings.pipeline.path
    predicted = {} if path is None else stored_prices(path)
    return {
        name: model_price(name, model, predicted.get(name))
        for name, model in settings.models.items()
    }


def model_price(name: str, model: ModelSettings, predicted: Price | None = None) -> Price:
    """The price of a model.

    As the settings say; else as its costs are predicted, which is the price in the pipeline; else
    by its name in the package's table. That calls cost nothing is for the settings alone to say: a
    budget would not count them.
    """
    if model.price is not None:
        return _given(model.price)
    if predicted is not None and not predicted.input_usd_per_mtok + predicted.output_usd_per_mtok:
        raise ConfigError(
            f"models.{name}: by the pipeline its calls cost nothing, and no budget would count "
            "them. Set price = { input = USD, output = USD } per million tokens; 0 where they are "
            "free"
        )
    if predicted is not None:
        return predicted
    table = shipped_prices()
    price = table.get(model.upstream_model or name) or table.get(name)
    if price is None:
        raise ConfigError(
            f"models.{name}: no price is set, and neither the pipeline nor the package's table of "
            f"{table.as_of} has one for that name. Set price = {{ input = USD, output = USD }} per "
            "million tokens; 0 where the calls are free"
        )
    return price


def _given(price: PriceSettings) -> Price:
    return Price(
        price.input,
        price.output,
        cached_input_usd_per_mtok=price.cached_input,
        cache_write_usd_per_mtok=price.cache_write,
        long_cache_write_usd_per_mtok=price.long_cache_write,
        reasoning_usd_per_mtok=price.reasoning,
        audio_input_usd_per_mtok=price.audio_input,
        audio_output_usd_per_mtok=price.audio_output,
        service_tiers=tuple(
            ServiceTier(name, _given(tier)) for name, tier in price.service_tiers.items()
        ),
    )


def prices_in(price: Price, service_tier: str | None) -> tuple[Price, ...]:
    """The prices that a call which asks for a service tier may have.

    A provider may serve it at the standard price all the same. Of a tier that is not known it may
    be any of them.
    """
    tier = price.served(service_tier)
    if tier is None:
        return (price, *(known.price for known in price.service_tiers))
    return (price,) if tier is price else (price, tier)


def tokens_of(report: Mapping[str, Any], *, is_answer: bool = True) -> Tokens:
    """The `usage` object of an answer as tokens. Raises DataError where it contradicts itself.

    is_answer: False for embeddings, whose report need not have output tokens.
    """
    simple = _simple(report)
    if simple is not None:
        return simple
    if not is_answer:
        report = _of_embeddings(report)
    usage = usage_of(report)
    counts: dict[str, Any] = {kind: int(getattr(usage, f"{kind}_tokens")) for kind in _KINDS}
    return Tokens(**counts)


def _of_embeddings(report: Mapping[str, Any]) -> Mapping[str, Any]:
    if "prompt_tokens" not in report and "input_tokens" not in report and "total_tokens" in report:
        return {"prompt_tokens": report["total_tokens"], "completion_tokens": 0}
    if "prompt_tokens" in report and report.get("completion_tokens") is None:
        return {**report, "completion_tokens": 0}
    return report


def cost_nusd(price: Price, tokens: Tokens) -> int:
    """Nano-USD of a call at the standard price, rounded up."""
    if not price.tiers and _is_plain(tokens):  # nearly all calls, in a tenth of the time
        return nusd(
            (tokens.input * price.input_usd_per_mtok + tokens.output * price.output_usd_per_mtok)
            / 1e6
        )
    usage = Usage(**{f"{kind}_tokens": getattr(tokens, kind) for kind in _KINDS})
    return nusd(cost_usd(price, usage))


def _simple(report: Mapping[str, Any]) -> Tokens | None:
    """A report of nothing but two numbers that add up, which most are; None for any other."""
    given, answered = report.get("prompt_tokens"), report.get("completion_tokens")
    if type(given) is not int or type(answered) is not int or given < 0 or answered < 0:
        return None
    if report.get("total_tokens") != given + answered:
        return None
    if len(report) > len(_TOTALS) and any(report[name] for name in report.keys() - _TOTALS):
        return None
    return Tokens(given, answered)


_TOTALS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def _is_plain(tokens: Tokens) -> bool:
    return not (
        tokens.cached_input
        or tokens.cache_write
        or tokens.long_cache_write
        or tokens.reasoning
        or tokens.audio_input
        or tokens.audio_output
    )


def upper_nusd(
    price: Price, prompt_tokens: int, output_tokens: int, service_tier: str | None = None
) -> int:
    """The most that so many tokens can cost, whatever kind of tokens they are."""
    most = 0
    for applied in prices_in(price, service_tier):
        reached = max_rates(applied, caches=True, audio=True)
        _, of_input, of_output = next(row for row in reversed(reached) if prompt_tokens >= row[0])
        most = max(most, nusd((prompt_tokens * of_input + output_tokens * of_output) / 1e6))
    return most


def max_rates(price: Price, *, caches: bool, audio: bool) -> list[tuple[int, float, float]]:
    """The most that a million tokens of prompt and of answer can cost, USD, by length of prompt.

    A row (from so many tokens on, input, output) per tier, rising. caches: whether the prompt may
    be written to a cache, which some providers charge more for; audio: whether there may be sound.
    """
    rates = [(0, price), *((tier.above_input_tokens + 1, tier.price) for tier in price.tiers)]
    rows: list[tuple[int, float, float]] = []
    for start, tier in rates:
        of_input = [tier.input_usd_per_mtok, tier.cached_input_usd_per_mtok or 0.0]
        of_output = [tier.output_usd_per_mtok, tier.reasoning_usd_per_mtok or 0.0]
        if caches:
            of_input += [tier.cache_write_usd_per_mtok or 0.0]
            of_input += [tier.long_cache_write_usd_per_mtok or 0.0]
        if audio:
            of_input += [tier.audio_input_usd_per_mtok or 0.0]
            of_output += [tier.audio_output_usd_per_mtok or 0.0]
        below = rows[-1] if rows else (0, 0.0, 0.0)
        # the count is an estimate, so a longer prompt is never taken to cost less
        rows.append((start, max(*of_input, below[1]), max(*of_output, below[2])))
    return rows


def reported(report: object, *, is_answer: bool = True) -> Tokens | None:
    """The tokens of a `usage` field, None where there is none that can be counted with.

    is_answer: as for tokens_of.
    """
    if not isinstance(report, dict):
        return None
    try:
        tokens = tokens_of(report, is_answer=is_answer)
    except DataError:
        return None
    return tokens if max(tokens.input, tokens.output) <= _MOST_TOKENS else None

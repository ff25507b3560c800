"""What a call costs, in whole nano-USD."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.cost.prices import Price, ServiceTier, Tier
from equirouter.errors import ConfigError
from equirouter.serve.charging import cost_nusd, model_price, reported, upper_nusd
from equirouter.serve.records import Tokens, nusd
from equirouter.serve.settings import ModelSettings
from equirouter.serve.settling import cost_in_tier

PRICE = Price(
    1.0,
    2.0,
    cached_input_usd_per_mtok=0.1,
    cache_write_usd_per_mtok=1.25,
    long_cache_write_usd_per_mtok=2.0,
)


@pytest.mark.parametrize(
    ("report", "nano_usd"),
    [
        # 100 at 1,000 nano-USD, 50 at 2,000
        ({"prompt_tokens": 100, "completion_tokens": 50}, 200_000),
        # 40 at 1,000, 60 at 100, 50 at 2,000
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
            146_000,
        ),
        # Anthropic: cached and written tokens beside the input: 10 at 1,000, 60 at 100, 8 at 1,250
        (
            {
                "input_tokens": 10,
                "output_tokens": 0,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 8,
            },
            26_000,
        ),
        # LiteLLM's proxy: 1,000 written at 1,250 within the prompt, 200 at 1,000, 10 at 2,000
        (
            {
                "prompt_tokens": 1200,
                "completion_tokens": 10,
                "cache_creation_input_tokens": 1000,
            },
            1_470_000,
        ),
        # kept for an hour: 600 at 2,000 in place of 1,250, 400 at 1,250
        (
            {
                "input_tokens": 0,
                "output_tokens": 0,
                "cache_creation_input_tokens": 1000,
                "cache_creation": {"ephemeral_1h_input_tokens": 600},
            },
            1_700_000,
        ),
    ],
)
def test_usage_is_charged_by_kind(report: dict[str, Any], nano_usd: int) -> None:
    tokens = reported(report)
    assert tokens is not None
    assert cost_nusd(PRICE, tokens) == nano_usd


@pytest.mark.parametrize("report", [{"prompt_tokens": 7, "total_tokens": 7}, {"total_tokens": 7}])
def test_only_embeddings_have_no_answer(report: dict[str, Any]) -> None:
    assert reported(report, is_answer=False) == Tokens(7, 0)
    assert reported(report) is None


@pytest.mark.parametrize(
    "report",
    [
        None,
        {},
        "x",
        {"prompt_tokens": -1},
        {"prompt_tokens": "1"},
        {"prompt_tokens": 10**12, "completion_tokens": 1, "total_tokens": 10**12 + 1},
        {"prompt_tokens": 1, "completion_tokens": 2**63},
        {"prompt_tokens": 1, "completion_tokens": None},
    ],
)
def test_what_cannot_be_counted_with_is_no_report(report: object) -> None:
    assert reported(report) is None


def test_a_part_of_a_nano_usd_is_rounded_up() -> None:
    assert cost_nusd(Price(0.0001, 0), Tokens(1, 0)) == 1


@given(st.floats(0, 1e7))
def test_half_a_thousandth_of_a_nano_usd_is_an_error_of_rounding(amount_usd: float) -> None:
    thousandths = Decimal(amount_usd * 1e9).quantize(Decimal("0.001"))
    assert nusd(amount_usd) == math.ceil(thousandths)


PRICES = st.floats(0, 100)
OPTIONAL = st.none() | PRICES


@given(
    plain=st.builds(Price, PRICES, PRICES, OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL),
    above=st.builds(Price, PRICES, PRICES, OPTIONAL, OPTIONAL),
    fast=st.builds(Price, PRICES, PRICES, OPTIONAL),
    asked=st.sampled_from([None, "default", "fast", "unknown"]),
    counts=st.lists(st.integers(0, 1000), min_size=7, max_size=7),
)
def test_no_call_costs_more_than_its_upper_bound(
    plain: Price, above: Price, fast: Price, asked: str | None, counts: list[int]
) -> None:
    tiers = (ServiceTier("fast", fast),)
    price = replace(plain, tiers=(Tier(500, above),), service_tiers=tiers)
    cached, written, long, audio, rest, reasoning, said = counts
    tokens = Tokens(
        input=cached + written + long + audio + rest,
        output=reasoning + said,
        cached_input=cached,
        cache_write=written,
        long_cache_write=long,
        audio_input=audio,
        reasoning=reasoning,
    )
    upper = upper_nusd(price, tokens.input, tokens.output, asked)
    for served in {asked, "default"}:
        assert cost_in_tier(price, tokens, served) <= upper + 1


def test_a_price_comes_from_the_settings_else_from_the_pipeline_else_from_the_table() -> None:
    set_here = ModelSettings.model_validate({"upstream": "u", "price": {"input": 3, "output": 4}})
    assert model_price("gpt-4o", set_here) == Price(3.0, 4.0)
    assert model_price("gpt-4o", ModelSettings(upstream="u")).input_usd_per_mtok == 2.5
    renamed = ModelSettings(upstream="u", upstream_model="gpt-4o")
    assert model_price("mine", renamed).input_usd_per_mtok == 2.5
    predicted = Price(5.0, 6.0)
    assert model_price("gpt-4o", set_here, predicted) == Price(3.0, 4.0)
    assert model_price("gpt-4o", ModelSettings(upstream="u"), predicted) == predicted
    with pytest.raises(ConfigError, match="no price is set"):
        model_price("mine", ModelSettings(upstream="u"))


def test_that_calls_are_free_is_for_the_settings_to_say() -> None:
    nothing, free = Price(0.0, 0.0), {"upstream": "u", "price": {"input": 0, "output": 0}}
    with pytest.raises(ConfigError, match="mine: by the pipeline its calls cost nothing"):
        model_price("mine", ModelSettings(upstream="u"), nothing)
    assert model_price("mine", ModelSettings.model_validate(free), nothing) == nothing
    half = Price(0.0, 1.0)
    assert model_price("mine", ModelSettings(upstream="u"), half) == half


def test_the_price_of_a_service_tier_comes_from_the_settings() -> None:
    price = {
        "input": 3,
        "output": 4,
        "long_cache_write": 6,
        "service_tiers": {"flex": {"input": 1, "output": 2, "cached_input": 0.5}},
    }
    model = ModelSettings.model_validate({"upstream": "u", "price": price})
    flex = ServiceTier("flex", Price(1.0, 2.0, cached_input_usd_per_mtok=0.5))
    assert model_price("mine", model) == Price(
        3.0, 4.0, long_cache_write_usd_per_mtok=6.0, service_tiers=(flex,)
    )
    tiers = {"flex": {**price, "service_tiers": {"more": {"input": 1, "output": 2}}}}
    with pytest.raises(ValueError, match="'flex' has service tiers of its own"):
        ModelSettings.model_validate({"upstream": "u", "price": {**price, "service_tiers": tiers}})

"""What a call costs, in whole nano-USD."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.cost.prices import Price, Tier
from equirouter.errors import ConfigError
from equirouter.serve.charging import cost_nusd, model_price, reported, upper_nusd
from equirouter.serve.records import Tokens
from equirouter.serve.settings import ModelSettings

PRICE = Price(1.0, 2.0, cached_input_usd_per_mtok=0.1, cache_write_usd_per_mtok=1.25)


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
        # embeddings
        ({"prompt_tokens": 7, "total_tokens": 7}, 7_000),
        ({"total_tokens": 7}, 7_000),
    ],
)
def test_usage_is_charged_by_kind(report: dict[str, Any], nano_usd: int) -> None:
    tokens = reported(report)
    assert tokens is not None
    assert cost_nusd(PRICE, tokens) == nano_usd


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
    ],
)
def test_what_cannot_be_counted_with_is_no_report(report: object) -> None:
    assert reported(report) is None


def test_a_part_of_a_nano_usd_is_rounded_up() -> None:
    assert cost_nusd(Price(0.0001, 0), Tokens(1, 0)) == 1


PRICES = st.floats(0, 100)
OPTIONAL = st.none() | PRICES


@given(
    plain=st.builds(Price, PRICES, PRICES, OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL),
    above=st.builds(Price, PRICES, PRICES, OPTIONAL, OPTIONAL),
    counts=st.lists(st.integers(0, 1000), min_size=6, max_size=6),
)
def test_no_call_costs_more_than_its_upper_bound(
    plain: Price, above: Price, counts: list[int]
) -> None:
    price = replace(plain, tiers=(Tier(500, above),))
    cached, written, audio, rest, reasoning, said = counts
    tokens = Tokens(
        input=cached + written + audio + rest,
        output=reasoning + said,
        cached_input=cached,
        cache_write=written,
        audio_input=audio,
        reasoning=reasoning,
    )
    assert cost_nusd(price, tokens) <= upper_nusd(price, tokens.input, tokens.output) + 1


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

"""The price table."""

import math

import pytest

from equirouter.errors import ConfigError
from equirouter.prices import PRICES, PRICES_DATE, PRICES_SOURCE, Price, cost_usd, price_of


def test_cost_by_hand() -> None:
    price = Price(input_usd_per_mtok=10.0, output_usd_per_mtok=30.0)
    # 400 x 10 / 1e6 + 50 x 30 / 1e6 = 0.004 + 0.0015
    assert cost_usd(price, 400, 50) == pytest.approx(0.0055)
    assert cost_usd(price, 0, 0) == 0.0


def test_the_input_and_the_output_price_are_not_mixed_up() -> None:
    # one million tokens each way: 8 USD in, 24 USD out
    assert cost_usd(PRICES["claude-v2"], 1_000_000, 0) == pytest.approx(8.0)
    assert cost_usd(PRICES["claude-v2"], 0, 1_000_000) == pytest.approx(24.0)


def test_the_eleven_models_of_routerbench() -> None:
    assert len(PRICES) == 11
    assert price_of("gpt-4-1106-preview") == Price(10.0, 30.0)
    assert price_of("gpt-3.5-turbo-1106") == Price(1.0, 2.0)
    assert price_of("claude-instant-v1") == Price(0.8, 2.4)
    assert price_of("mistralai/mistral-7b-chat") == Price(0.2, 0.2)
    assert price_of("WizardLM/WizardLM-13B-V1.2") == Price(0.3, 0.3)
    assert min(PRICES, key=lambda name: PRICES[name].input_usd_per_mtok).startswith("mistralai/")


def test_an_unknown_model_has_no_price() -> None:
    assert price_of("gpt-4") is None  # no guess from a similar name


def test_the_table_says_where_it_is_from_and_cannot_be_changed() -> None:
    assert "arXiv" in PRICES_SOURCE
    assert PRICES_DATE == "2024-03"
    with pytest.raises(TypeError):
        PRICES["free"] = Price(0, 0)  # type: ignore[index]


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_a_price_that_makes_no_sense(wrong: float) -> None:
    with pytest.raises(ConfigError, match=r"output_usd_per_mtok is .*expected USD"):
        Price(1.0, wrong)


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf])
def test_tokens_that_make_no_sense(wrong: float) -> None:
    with pytest.raises(ConfigError, match=r"input_tokens is .*expected a number of tokens"):
        cost_usd(Price(1.0, 1.0), wrong, 1)

"""The price table."""

import math

import pytest

from equirouter.errors import ConfigError
from equirouter.prices import (
    FLAGSHIP_PRICES,
    PRICES,
    PRICES_DATE,
    PRICES_SOURCE,
    Price,
    cost_usd,
    estimated_tokens,
    price_of,
    price_of_size,
    size_of,
)


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


def test_the_models_that_llmrouterbench_paid_for() -> None:
    assert len(FLAGSHIP_PRICES) == 13
    assert price_of("gpt-5") == Price(1.25, 10.0)
    assert price_of("qwen3-235b-a22b-2507") == Price(0.09, 0.6)
    assert not set(FLAGSHIP_PRICES) & set(PRICES)


@pytest.mark.parametrize(
    ("size", "usd"), [(0.4, 0.2), (7, 0.2), (9, 0.2), (10, 0.3), (16, 0.3), (30, 0.8), (400, 0.9)]
)
def test_a_size_has_the_price_of_the_nearest_model(size: float, usd: float) -> None:
    assert price_of_size(size) == Price(usd, usd)  # 9 / 7 < 13 / 9, and 10 / 7 > 13 / 10


@pytest.mark.parametrize("wrong", [0, -7, math.nan, math.inf])
def test_a_size_that_makes_no_sense(wrong: float) -> None:
    with pytest.raises(ConfigError, match="size is"):
        price_of_size(wrong)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", 7),
        ("DeepSeek-R1-0528-Qwen3-8B", 8),
        ("MiMo-7B-RL-0530", 7),
        ("Mixtral-8x7B-Instruct", 56),
        ("pythia-410m", 0.41),
        ("Qwen2.5-0.5B", 0.5),
        ("MiniCPM4.1-8B", 8),
        ("qwen3-235b-a22b-2507", 235),
        ("chavinlo/alpaca-native", 7),
        ("Intern-S1-mini", 8),
        ("gpt2", None),
        ("model-4bit", None),
        ("OpenThinker3-7B", 7),
        ("nothing-0b", None),
    ],
)
def test_the_size_in_a_name(name: str, size: float | None) -> None:
    assert size_of(name) == size


def test_tokens_are_a_quarter_of_the_bytes() -> None:
    assert [estimated_tokens(text) for text in ("", "a", "four", "fives")] == [0, 1, 1, 2]
    assert estimated_tokens("\u6f22\u5b57") == 2  # six bytes

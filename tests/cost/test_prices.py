"""The price table."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.cost.prices import Price, ServiceTier, Tier, cost_usd, costs_usd, estimated_tokens
from equirouter.cost.published_prices import (
    FLAGSHIP_PRICES,
    PRICES,
    price_of,
    price_of_size,
    size_of,
)
from equirouter.cost.usage import Usage
from equirouter.errors import ConfigError


def test_cost_by_hand() -> None:
    price = Price(input_usd_per_mtok=10.0, output_usd_per_mtok=30.0)
    # 400 x 10 / 1e6 + 50 x 30 / 1e6 = 0.004 + 0.0015
    assert cost_usd(price, Usage(400, 50)) == pytest.approx(0.0055)
    assert cost_usd(price, Usage(0, 0)) == 0.0


def test_the_input_and_the_output_price_are_not_mixed_up() -> None:
    # one million tokens each way: 8 USD in, 24 USD out
    assert cost_usd(PRICES["claude-v2"], Usage(1_000_000, 0)) == pytest.approx(8.0)
    assert cost_usd(PRICES["claude-v2"], Usage(0, 1_000_000)) == pytest.approx(24.0)


ALL = Price(
    2.0,
    10.0,
    cached_input_usd_per_mtok=0.2,
    cache_write_usd_per_mtok=2.5,
    long_cache_write_usd_per_mtok=4.0,
    reasoning_usd_per_mtok=5.0,
    audio_input_usd_per_mtok=32.0,
    audio_output_usd_per_mtok=64.0,
)


def test_every_kind_of_token_has_its_price_once() -> None:
    usage = Usage(
        1_000_000,
        1_000_000,
        cached_input_tokens=500_000,
        cache_write_tokens=200_000,
        long_cache_write_tokens=100_000,
        audio_input_tokens=50_000,
        reasoning_tokens=600_000,
        audio_output_tokens=100_000,
    )
    # in:  0.15 x 2 + 0.5 x 0.2 + 0.2 x 2.5 + 0.1 x 4 + 0.05 x 32 = 0.3 + 0.1 + 0.5 + 0.4 + 1.6
    # out: 0.3 x 10 + 0.6 x 5 + 0.1 x 64 = 3 + 3 + 6.4
    assert cost_usd(ALL, usage) == pytest.approx(2.9 + 12.4)


def test_tokens_without_a_price_of_their_own_cost_what_the_others_cost() -> None:
    usage = Usage(
        1000,
        100,
        cached_input_tokens=900,
        cache_write_tokens=10,
        long_cache_write_tokens=10,
        audio_input_tokens=10,
        reasoning_tokens=90,
        audio_output_tokens=5,
    )
    assert cost_usd(Price(2.0, 10.0), usage) == pytest.approx(0.003)  # 1000 x 2 + 100 x 10
    # a long write without a price of its own is a write: 990 x 1 + 10 x 3, the answer free
    written = Usage(1000, 0, long_cache_write_tokens=10)
    assert cost_usd(Price(1.0, 0.0, cache_write_usd_per_mtok=3.0), written) == pytest.approx(
        0.00102
    )


def test_cached_tokens_are_not_charged_twice() -> None:
    # 1,920 of 2,006 tokens from the cache at a tenth: 86 x 2 + 1920 x 0.2 + 300 x 10, not 2006 x 2
    usage = Usage(2006, 300, cached_input_tokens=1920)
    assert cost_usd(ALL, usage) == pytest.approx((172 + 384 + 3000) / 1e6)


def test_a_free_kind_is_not_a_missing_price() -> None:
    price = Price(2.0, 10.0, cached_input_usd_per_mtok=0.0)
    assert cost_usd(price, Usage(10, 0, cached_input_tokens=10)) == 0.0


TIERED = Price(
    1.25,
    10.0,
    cached_input_usd_per_mtok=0.125,
    tiers=(
        Tier(200_000, Price(2.5, 15.0, cached_input_usd_per_mtok=0.25)),
        Tier(500_000, Price(5.0, 20.0)),
    ),
)


def test_a_tier_is_the_price_of_the_whole_call() -> None:
    # at the limit it is the lower price: 0.2 x 1.25 = 0.25; one token more: 200,001 x 2.5 / 1e6
    assert cost_usd(TIERED, Usage(200_000, 0)) == pytest.approx(0.25)
    assert cost_usd(TIERED, Usage(200_001, 0)) == pytest.approx(0.5000025)
    # 0.1 x 2.5 + 0.2 x 0.25 + 0.1 x 15, by the length of all of the prompt, cached tokens included
    usage = Usage(300_000, 100_000, cached_input_tokens=200_000)
    assert cost_usd(TIERED, usage) == pytest.approx(0.25 + 0.05 + 1.5)
    # nothing of a lower tier is taken over: the cached tokens of the last one have no discount
    usage = Usage(600_000, 0, cached_input_tokens=600_000)
    assert cost_usd(TIERED, usage) == pytest.approx(3.0)


@given(
    st.lists(st.tuples(st.integers(0, 900_000), st.integers(0, 50_000)), min_size=1, max_size=20)
)
def test_many_calls_cost_what_each_of_them_costs(tokens: list[tuple[int, int]]) -> None:
    given_tokens, said = np.array(tokens, dtype=np.float64).T
    each = [cost_usd(TIERED, Usage(*both)) for both in tokens]
    np.testing.assert_allclose(costs_usd(TIERED, given_tokens, said), each, rtol=1e-12)


def test_tiers_that_make_no_sense() -> None:
    plain = Price(1.0, 1.0)
    with pytest.raises(ConfigError, match="each limit must be higher"):
        Price(1.0, 1.0, tiers=(Tier(2, plain), Tier(2, plain)))
    with pytest.raises(ConfigError, match="expected above 0"):
        Tier(0, plain)
    with pytest.raises(ConfigError, match="the price of a tier has tiers"):
        Tier(1, TIERED)


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


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PRICES["free"] = Price(0, 0)  # type: ignore[index]


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_a_price_that_makes_no_sense(wrong: float) -> None:
    with pytest.raises(ConfigError, match=r"output_usd_per_mtok is .*expected USD"):
        Price(1.0, wrong)
    with pytest.raises(ConfigError, match=r"cached_input_usd_per_mtok is .*expected USD"):
        Price(1.0, 1.0, cached_input_usd_per_mtok=wrong)


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


def test_a_service_tier_has_a_price_of_its_own() -> None:
    priority, flex = Price(2.0, 8.0), Price(0.5, 2.0)
    tiers = (ServiceTier("priority", priority), ServiceTier("flex", flex))
    price = Price(1.0, 4.0, service_tiers=tiers)
    assert price.served("priority") == priority
    assert price.served("flex") == flex
    assert price.served("ultrafast") is None
    for standard in (None, "auto", "default", "standard"):
        assert price.served(standard) == price
    # a provider whose "auto" costs something else
    assert Price(1.0, 4.0, service_tiers=(ServiceTier("auto", flex),)).served("auto") == flex


def test_service_tiers_are_there_once_and_have_none_of_their_own() -> None:
    tier = ServiceTier("flex", Price(1.0, 2.0))
    with pytest.raises(ConfigError, match=r"\['flex', 'flex'\]; each must be there once"):
        Price(1.0, 2.0, service_tiers=(tier, tier))
    with pytest.raises(ConfigError, match="service tier 'slow' has service tiers"):
        ServiceTier("slow", Price(1.0, 2.0, service_tiers=(tier,)))
    with pytest.raises(ConfigError, match="the price of a tier has tiers"):
        Tier(100, Price(1.0, 2.0, service_tiers=(tier,)))


def test_a_price_in_a_message_is_words() -> None:
    assert str(Price(1.5, 6.0)) == "USD per million tokens: input 1.5, output 6"
    price = Price(
        1.5, 6.0, cached_input_usd_per_mtok=0.15, service_tiers=(ServiceTier("flex", Price(1, 3)),)
    )
    assert str(price) == (
        "USD per million tokens: input 1.5, output 6, cached_input 0.15, service tier flex"
    )

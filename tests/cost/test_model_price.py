"""A change of price changes predicted costs, with tokens and without."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.cost import CostModel, ModelPrice
from equirouter.cost.model_price import input_share, price_that_explains
from equirouter.cost.prices import Price, Tier, costs_usd
from equirouter.errors import ConfigError
from equirouter.testing import make_toy

NAN = float("nan")
OLD = Price(2.0, 10.0)


def moved(now: Price, *, share: float | None = None, trained: Price | None = OLD) -> ModelPrice:
    return ModelPrice("m", trained, now, share)


def test_the_same_price_changes_nothing() -> None:
    assert moved(OLD).factor() == 1.0
    assert ModelPrice("m").factor() == 1.0  # not known, and not changed
    # other prices of cached tokens say nothing about what was paid
    assert moved(Price(2.0, 10.0, cached_input_usd_per_mtok=0.2)).factor() == 1.0


def test_one_ratio_needs_no_share() -> None:
    assert moved(Price(1.0, 5.0)).factor() == pytest.approx(0.5)
    assert moved(Price(0.2, 1.0)).factor_range() == pytest.approx((0.1, 0.1))
    assert moved(Price(0.0, 5.0), trained=Price(0.0, 10.0)).factor() == pytest.approx(0.5)
    assert moved(Price(0.0, 0.0), trained=Price(0.0, 0.0)).factor() == 1.0


def test_two_ratios_are_weighed_by_the_share_of_the_input() -> None:
    # 40 % of a call's cost was for its prompt: 0.4 x 0.5 + 0.6 x 2
    assert moved(Price(1.0, 20.0), share=0.4).factor() == pytest.approx(1.4)
    # with 0.8 or 1.25 tokens to one that was counted: 0.32 and 0.5 of it
    low, high = moved(Price(1.0, 20.0), share=0.4).factor_range()
    assert low == pytest.approx(0.5 * 0.5 + 0.5 * 2)
    assert high == pytest.approx(0.32 * 0.5 + 0.68 * 2)


@pytest.mark.parametrize(
    ("price", "message"),
    [
        (moved(Price(1.0, 20.0)), r"different factors \(0.5 and 2\).*input_tokens and output"),
        (moved(Price(1.0, 5.0), trained=None), "is not known.*--was-input"),
        (moved(Price(1.0, 5.0, tiers=(Tier(10, OLD),))), "has tiers, which need the length"),
        (moved(Price(1.0, 5.0), trained=Price(0.0, 10.0)), "the input of 'm' was free"),
    ],
)
def test_what_cannot_be_said_is_refused(price: ModelPrice, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        price.factor()


def test_the_share_of_the_input_by_hand() -> None:
    # prompts of 100 and 300 tokens at 2 USD a million: 0.0008 of 0.0010 + 0.0006 USD
    tokens, costs = np.array([100.0, 300.0, 9e9]), np.array([0.0010, 0.0006, NAN])
    assert input_share(tokens, costs, OLD) == pytest.approx(0.5)
    # 1.25 of the cost: the model has fewer tokens than were counted; beyond: it cannot be
    assert input_share(tokens, costs / 2.49, OLD) == 1.0
    assert input_share(tokens, costs / 2.6, OLD) is None
    assert input_share(tokens, costs, None) is None
    assert input_share(tokens, costs * 0, OLD) is None


def test_without_tokens_costs_follow_by_a_factor() -> None:
    toy = make_toy(n=100, missing=0.0)
    model = CostModel(hidden=8, epochs=1)
    model.fit(toy.embeddings, toy.cost_usd, rng=np.random.default_rng(0))
    before = model.predict(toy.embeddings)
    half = ModelPrice("1", OLD, Price(1.0, 5.0))
    model.set_prices([ModelPrice("0"), half, ModelPrice("2")])
    np.testing.assert_allclose(model.predict(toy.embeddings), before * [1, 0.5, 1])
    model.set_prices([ModelPrice(str(i)) for i in range(3)])
    assert model.predict(toy.embeddings).tobytes() == before.tobytes()


@given(st.floats(0.01, 50), st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_the_price_is_found_again(per_input: float, per_output: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = (rng.integers(10, 500, 60).astype(float), rng.integers(1, 300, 60).astype(float))
    true = Price(per_input, per_output)
    costs = costs_usd(true, *tokens)
    costs[:5] = NAN
    found = price_that_explains(tokens, costs)
    assert found is not None
    assert found.input_usd_per_mtok == pytest.approx(per_input, rel=1e-4)
    assert found.output_usd_per_mtok == pytest.approx(per_output, rel=1e-4)


def test_a_published_price_that_explains_the_costs_is_taken_whole() -> None:
    rng = np.random.default_rng(0)
    tokens = (rng.integers(10, 500, 60).astype(float), rng.integers(1, 300, 60).astype(float))
    tiered = Price(1.0, 2.0, cached_input_usd_per_mtok=0.1, tiers=(Tier(250, Price(2.0, 4.0)),))
    assert price_that_explains(tokens, costs_usd(tiered, *tokens), (OLD, tiered)) == tiered
    assert price_that_explains(tokens, costs_usd(tiered, *tokens)) is None  # no two numbers do


def test_costs_that_no_price_explains() -> None:
    rng = np.random.default_rng(0)
    tokens = (rng.integers(10, 500, 60).astype(float), rng.integers(1, 300, 60).astype(float))
    assert price_that_explains(tokens, rng.random(60)) is None
    assert price_that_explains((tokens[0], tokens[0] * 2), tokens[0]) is None
    assert price_that_explains((tokens[0] * NAN, tokens[1]), tokens[1]) is None
    only_input = price_that_explains((tokens[0], tokens[1] * 0), tokens[0] * 3e-6)
    assert only_input == Price(3.0, 3.0)

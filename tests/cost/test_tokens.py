"""Tokens that are predicted, times prices."""

import numpy as np
import pytest

from equirouter.cost import ModelPrice, TokenCostModel
from equirouter.cost.prices import Price, Tier, Usage, cost_usd, costs_usd
from equirouter.errors import ConfigError, DataError
from equirouter.testing import make_toy

OLD = Price(2.0, 10.0)


def fitted(
    tokens: tuple[np.ndarray, np.ndarray], embeddings: np.ndarray, prices: list[Price]
) -> TokenCostModel:
    model = TokenCostModel(hidden=16, epochs=40, batch_size=64)
    model.fit(embeddings, tokens, rng=np.random.default_rng(0))
    return model.set_prices([ModelPrice(str(i), p, p) for i, p in enumerate(prices)])


@pytest.fixture(scope="module")
def calls() -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Embeddings, and tokens of two models that follow from them."""
    embeddings = make_toy(n=300, missing=0.0).embeddings
    read = np.round(200 + 100 * embeddings[:, :1] + np.zeros((1, 2)))
    written = np.round(50 + 40 * embeddings[:, 1:3])
    return embeddings, (read, written)


def test_tokens_times_prices(calls: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]) -> None:
    embeddings, tokens = calls
    prices = [OLD, Price(0.1, 0.4)]
    model = fitted(tokens, embeddings, prices)
    amounts = model.amounts(embeddings)
    assert amounts.shape == (300, 4)
    predicted = model.predict(embeddings)
    for row in (0, 7):
        for column, price in enumerate(prices):
            usage = Usage(amounts[row, column], amounts[row, 2 + column])
            assert predicted[row, column] == pytest.approx(cost_usd(price, usage))
    true = np.stack([costs_usd(p, tokens[0][:, i], tokens[1][:, i]) for i, p in enumerate(prices)])
    assert max(model.error(embeddings, true.T).relative) < 0.15


def test_a_new_price_needs_no_training(
    calls: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]],
) -> None:
    embeddings, tokens = calls
    model = fitted(tokens, embeddings, [OLD, OLD])
    before = model.predict(embeddings)
    cheap = Price(1.0, 10.0)
    model.set_prices([ModelPrice("0", OLD, OLD), ModelPrice("1", OLD, cheap)])
    after = model.predict(embeddings)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    read = model.amounts(embeddings)[:, 1]
    np.testing.assert_allclose(before[:, 1] - after[:, 1], read * 1.0 / 1e6, rtol=1e-9)
    tiered = Price(2.0, 10.0, tiers=(Tier(200, Price(4.0, 20.0)),))
    model.set_prices([ModelPrice("0", OLD, OLD), ModelPrice("1", OLD, tiered)])
    doubled = np.where(read > 200, 2.0, 1.0)
    assert {1.0, 2.0} == set(doubled)
    np.testing.assert_allclose(model.predict(embeddings)[:, 1], before[:, 1] * doubled)


def test_restored_tokens_are_the_same_bit_for_bit(
    calls: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]],
) -> None:
    embeddings, tokens = calls
    model = fitted(tokens, embeddings, [OLD, OLD])
    again = TokenCostModel(**model.settings).restore(model.state())
    again.set_prices([ModelPrice("0", OLD, OLD), ModelPrice("1", OLD, OLD)])
    assert again.predict(embeddings).tobytes() == model.predict(embeddings).tobytes()
    with pytest.raises(DataError, match="1 prices for 2 models"):
        again.set_prices([ModelPrice("0", OLD, OLD)])
    with pytest.raises(ConfigError, match="model '1' has no price"):
        again.set_prices([ModelPrice("0", OLD, OLD), ModelPrice("1")])

"""The cost model of App. C.1."""

import numpy as np
import pytest

from equirouter.cost import CostModel, ModelPrice, TokenCostModel
from equirouter.cost.predictor import cost_errors
from equirouter.cost.prices import Price, Tier, cost_usd, costs_usd
from equirouter.cost.usage import Usage
from equirouter.errors import ConfigError, DataError
from equirouter.testing import make_toy

SETTINGS = {"epochs": 40, "batch_size": 64}


def fit(embeddings: np.ndarray, cost_usd: np.ndarray, **settings: int) -> CostModel:
    model = CostModel(**(SETTINGS | settings))  # type: ignore[arg-type]
    return model.fit(embeddings, cost_usd, rng=np.random.default_rng(0))


def test_costs_of_very_different_size_are_all_learned() -> None:
    toy = make_toy(n=600, missing=0.0)
    cost_usd = (1 + 0.5 * toy.embeddings[:, :3].astype(np.float64)) * [1e-6, 1e-3, 1.0]
    model = fit(toy.embeddings[:400], cost_usd[:400])
    error = cost_errors(model.predict(toy.embeddings[400:]), cost_usd[400:])
    spread = np.abs(cost_usd - cost_usd.mean(axis=0)).mean(axis=0) / cost_usd.mean(axis=0)
    assert (error.relative < 0.35 * spread).all()  # far better than the mean alone


def test_predictions_are_never_below_what_was_seen_and_never_negative() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((200, 4)).astype(np.float32)
    cost_usd = np.maximum(embeddings[:, :2].astype(np.float64), 0.0)
    model = fit(embeddings, cost_usd)
    predicted = model.predict(10 * embeddings)  # far outside the training data
    assert predicted.min() >= 0.0
    assert (predicted >= cost_usd.min(axis=0)).all()


def test_missing_costs_take_no_part_and_a_constant_cost_is_exact() -> None:
    toy = make_toy(n=100)
    cost_usd = np.where(np.isnan(toy.cost_usd), np.nan, 0.002)
    predicted = fit(toy.embeddings, cost_usd).predict(toy.embeddings)
    np.testing.assert_allclose(predicted, 0.002, rtol=1e-12)


def test_a_model_without_a_known_cost_is_named_as_that() -> None:
    toy = make_toy(n=50, missing=0.0)
    cost_usd = toy.cost_usd.copy()
    cost_usd[:, 1] = np.nan
    with pytest.raises(DataError, match="model 1 has no cost_usd in the training part"):
        fit(toy.embeddings, cost_usd)


def test_the_error_by_hand() -> None:
    toy = make_toy(n=60, missing=0.0)
    model = fit(toy.embeddings, toy.cost_usd, epochs=1)
    predicted = model.predict(toy.embeddings)
    error = cost_errors(predicted, toy.cost_usd)
    assert error.cells_mse == pytest.approx(((predicted - toy.cost_usd) ** 2).mean())
    first = np.abs(predicted - toy.cost_usd)[:, 0].mean() / toy.cost_usd[:, 0].mean()
    assert error.relative[0] == pytest.approx(first)
    with pytest.raises(DataError, match="no known cost"):
        cost_errors(predicted, np.full_like(toy.cost_usd, np.nan))


def test_a_restored_model_predicts_the_same_bit_for_bit() -> None:
    toy = make_toy(n=60)
    model = fit(toy.embeddings, toy.cost_usd, epochs=2)
    again = CostModel(**model.settings).restore(model.state())
    assert again.predict(toy.embeddings).tobytes() == model.predict(toy.embeddings).tobytes()


OLD = Price(2.0, 10.0)


def fitted(
    tokens: tuple[np.ndarray, np.ndarray], embeddings: np.ndarray, prices: list[Price]
) -> TokenCostModel:
    model = TokenCostModel(hidden=16, epochs=40, batch_size=64)
    model.fit(embeddings, np.hstack(tokens), rng=np.random.default_rng(0))
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
    assert max(cost_errors(predicted, true.T).relative) < 0.15


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


TRUE = np.array([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0]])


def test_errors_by_hand() -> None:
    # model 0: off by 1 and 0 around a mean of 2 and a variance of 1; model 1: off by 1 and -1 where
    # nothing varies; model 2 is free and predicted so
    found = cost_errors([[2.0, 3.0, 0.0], [3.0, 1.0, 0.0]], TRUE)
    np.testing.assert_allclose(found.mean_usd, [2.0, 2.0, 0.0])
    np.testing.assert_allclose(found.mse, [0.5, 1.0, 0.0])
    np.testing.assert_allclose(found.mae_usd, [0.5, 1.0, 0.0])
    np.testing.assert_allclose(found.relative, [0.25, 0.5, np.nan])
    np.testing.assert_allclose(found.unexplained, [0.5, np.nan, np.nan])
    assert found.overall_mse == pytest.approx(0.5)


def test_predicting_the_mean_explains_nothing() -> None:
    found = cost_errors(np.tile(TRUE.mean(axis=0), (2, 1)), TRUE)
    assert found.unexplained[0] == pytest.approx(1.0)


def test_unknown_costs_do_not_count() -> None:
    found = cost_errors([[2.0], [9.0]], [[1.0], [np.nan]])
    assert found.mse.tolist() == [1.0]


@pytest.mark.parametrize(
    ("predicted", "true"),
    [
        (np.ones((2, 3)), np.ones((2, 2))),
        (np.full((2, 3), np.inf), TRUE),
        (np.ones((2, 1)), np.full((2, 1), np.nan)),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted: np.ndarray, true: np.ndarray) -> None:
    with pytest.raises(DataError):
        cost_errors(predicted, true)

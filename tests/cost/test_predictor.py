"""The cost model of App. C.1."""

import numpy as np
import pytest

from equirouter.cost import CostModel
from equirouter.errors import DataError
from equirouter.testing import make_toy

SETTINGS = {"epochs": 40, "batch_size": 64}


def fit(embeddings: np.ndarray, cost_usd: np.ndarray, **settings: int) -> CostModel:
    model = CostModel(**(SETTINGS | settings))  # type: ignore[arg-type]
    return model.fit(embeddings, cost_usd, rng=np.random.default_rng(0))


def test_costs_of_very_different_size_are_all_learned() -> None:
    toy = make_toy(n=600, missing=0.0)
    cost_usd = (1 + 0.5 * toy.embeddings[:, :3].astype(np.float64)) * [1e-6, 1e-3, 1.0]
    model = fit(toy.embeddings[:400], cost_usd[:400])
    error = model.error(toy.embeddings[400:], cost_usd[400:])
    spread = np.abs(cost_usd - cost_usd.mean(axis=0)).mean(axis=0) / cost_usd.mean(axis=0)
    assert (np.array(error.relative) < 0.35 * spread).all()  # far better than the mean alone


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
    error = model.error(toy.embeddings, toy.cost_usd)
    assert error.mse == pytest.approx(((predicted - toy.cost_usd) ** 2).mean())
    first = np.abs(predicted - toy.cost_usd)[:, 0].mean() / toy.cost_usd[:, 0].mean()
    assert error.relative[0] == pytest.approx(first)
    with pytest.raises(DataError, match="no known cost"):
        model.error(toy.embeddings, np.full_like(toy.cost_usd, np.nan))


def test_a_restored_model_predicts_the_same_bit_for_bit() -> None:
    toy = make_toy(n=60)
    model = fit(toy.embeddings, toy.cost_usd, epochs=2)
    again = CostModel(**model.settings).restore(model.state())
    assert again.predict(toy.embeddings).tobytes() == model.predict(toy.embeddings).tobytes()

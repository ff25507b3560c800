import numpy as np
import pytest

from equirouter.evaluation.diagnosis.training_set import prepare_in_sample
from equirouter.evaluation.sweeps import sweep_router
from equirouter.policy import BudgetPolicy, UtilityPolicy
from equirouter.training.fit_router import fit_router
from tests.toys import HashingEncoder, make_table

pytest.importorskip("torch")


def test_every_complete_query_is_trained_on_and_measured() -> None:
    table = make_table(60, incomplete=3)
    embeddings = HashingEncoder().encode(table.texts)
    found = prepare_in_sample(table, embeddings, device="cpu")
    assert found.train.rows.tolist() == list(range(60))
    assert found.test.rows.tolist() == list(range(3, 60))
    assert found.validation.rows.tolist() == found.test.rows.tolist()
    assert found.n_incomplete_test == 3


def test_a_router_that_remembers_is_perfect_on_what_it_saw() -> None:
    # the one nearest neighbour of a query is itself, so its scores are the outcomes
    table = make_table(60, incomplete=0)
    embeddings = np.eye(60, dtype=np.float32)
    prepared = prepare_in_sample(table, embeddings, device="cpu")
    router = fit_router("knn:k=1", prepared, seed=1, device="cpu")
    swept = sweep_router(router, prepared, BudgetPolicy(), seed=1, cost_usd=table.cost_usd)
    assert swept.metric("rci") == 0.0
    assert swept.metric("peak_score") == pytest.approx(table.performance.max(axis=1).mean())


def test_a_sweep_takes_the_costs_and_the_points_that_it_is_given() -> None:
    table = make_table(60, incomplete=0)
    prepared = prepare_in_sample(table, HashingEncoder().encode(table.texts), device="cpu")
    router = fit_router("strongest", prepared, seed=1)
    points = np.array([1e-3, 1.0])
    # costs of 1, 2 and 3 USD: nothing fits a budget of 0.001, so the cheapest is taken, and only
    # the first model fits a budget of 1
    costs = np.tile([1.0, 2.0, 3.0], (60, 1))
    swept = sweep_router(
        router, prepared, BudgetPolicy(), seed=1, cost_usd=costs, points=points, resamples=5
    )
    assert (swept.chosen == 0).all()
    assert swept.share_of(0).tolist() == [1.0, 1.0]
    draws = swept.draws("nauc")
    assert draws is not None
    assert draws.shape == (5,)
    assert sweep_router(router, prepared, UtilityPolicy(), seed=1).draws("nauc") is None

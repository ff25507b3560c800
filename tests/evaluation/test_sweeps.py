"""A router over a sweep: shares, metrics and their draws."""

import numpy as np
import pytest

from equirouter.data.split import split_outcomes
from equirouter.evaluation.curve import measure
from equirouter.evaluation.sweeps import N_POINTS, RouterSweep, sweep_router
from equirouter.policy import BudgetPolicy
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import prepare
from tests.toys import HashingEncoder, make_table

PERFORMANCE = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
COST_USD = np.array([[1.0, 4.0]] * 4)
CHOSEN = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])


def sweep(resamples: int = 0) -> RouterSweep:
    rng = np.random.default_rng(0)
    measured = measure(CHOSEN, PERFORMANCE, COST_USD, resamples=resamples, rng=rng)
    return RouterSweep(np.array([1.0, 2.0, 4.0]), CHOSEN, measured)


def test_shares_and_metrics_by_hand() -> None:
    made = sweep()
    assert made.share_of(1).tolist() == [0.0, 0.25, 0.5]
    assert made.metric("peak_score") == 1.0
    # the strongest has 0.75 at cost 4; the second point has it at 1.75
    assert made.measurement.value("cost_at_quality", "1.00") == 1.75 / 4
    with pytest.raises(AssertionError, match="cost_at_quality is not a single number"):
        made.metric("cost_at_quality")


def test_draws_are_those_of_the_measurement() -> None:
    made, without = sweep(resamples=20).measurement, sweep().measurement
    draws, costs = made.drawn("nauc"), made.drawn("cost_at_quality", "0.95")
    assert draws is not None
    assert draws.shape == (20,)
    assert costs is not None
    assert costs.shape == (20,)
    assert (without.drawn("nauc"), without.drawn("cost_at_quality", "0.95")) == (None, None)


def test_the_oracle_at_two_points_and_at_as_many_as_usual() -> None:
    table, encoder = make_table(), HashingEncoder()
    embeddings = encoder.encode(table.texts)
    prepared = prepare(table, embeddings, split_outcomes(table, seed=42))
    oracle = fit_router("oracle", prepared, seed=42)
    made = sweep_router(oracle, prepared, BudgetPolicy(), seed=42, n_points=2)
    # the least and the largest of all costs: small is all that fits the one, any model the other
    assert made.share_of(0)[0] == 1.0
    best = prepared.test.performance.max(axis=1).mean()
    assert made.measurement.curve.performance[1] == pytest.approx(best)
    assert len(sweep_router(oracle, prepared, BudgetPolicy(), seed=42).points) == N_POINTS

"""The model that qualities are shares of is fixed before the test part, everywhere in a run."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter import benchmark
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.evaluation.sweeps import sweep_router
from equirouter.policy import UtilityPolicy
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import Prepared, prepare
from tests.toys import HashingEncoder, make_table


@pytest.fixture
def table() -> Outcomes:
    """`middle` is the strongest where it is learned, `large` where it is tested (seed 42)."""
    made = make_table(n=200, incomplete=0)
    performance = np.zeros_like(made.performance)
    split = split_outcomes(made, seed=42)
    performance[split.learnable, 1] = 1.0
    performance[split.test, 2] = 1.0
    performance[split.test[:30], 1] = 1.0
    return replace(made, performance=performance)


def prepared(table: Outcomes) -> Prepared:
    embeddings = HashingEncoder().encode(table.texts)
    return prepare(table, embeddings, split_outcomes(table, seed=42), device="cpu")


def test_bench_measures_against_the_strongest_of_training_and_validation(table: Outcomes) -> None:
    results = benchmark(table, HashingEncoder(), routers=["knn:k=5"], n_seeds=1, resamples=20)
    assert results.outcomes.strongest == "large", "of the whole table"
    assert results.reference.per_seed == ("middle",)
    assert results.reference.as_strong == (("middle",),)
    anchor = results.anchors["strongest"]
    assert anchor.strongest_share.mean == 1.0  # all calls go to middle
    assert anchor.peak_quality.mean == 1.0
    # the oracle is right on all queries, middle on 30
    n_test = results.left_out.measured_test_queries
    assert results.anchors["oracle"].peak_quality.mean == pytest.approx(n_test / 30)


def test_a_sweep_measures_against_the_same(table: Outcomes) -> None:
    ready = prepared(table)
    swept = sweep_router(fit_router("strongest", ready, seed=1), ready, UtilityPolicy(), seed=1)
    assert swept.metric("strongest_share") == 1.0


def test_an_anchor_learns_from_the_validation_part_too(table: Outcomes) -> None:
    split = split_outcomes(table, seed=42)
    performance = table.performance.copy()
    performance[split.validation, 0] = 1.0  # small is right nowhere else
    ready = prepared(replace(table, performance=performance))
    scores = fit_router("strongest", ready, seed=1).router.predict(ready.test.embeddings)
    expected = len(split.validation) / len(split.learnable)
    np.testing.assert_allclose(scores[0, 0], expected, rtol=1e-6)

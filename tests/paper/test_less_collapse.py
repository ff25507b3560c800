"""less-collapse: the verdict by the two aims' figures."""

import numpy as np
import pytest

from equirouter.evaluation.aggregate import metrics_over_seeds
from equirouter.evaluation.curve import Measurement, measure
from equirouter.paper.less_collapse import COLLAPSE, COST, _finding
from tests.results_document import build_document, made

# 100 queries; the expensive model is always right, the cheap one on every second query
PERFORMANCE = np.column_stack([np.arange(100) % 2, np.ones(100)]).astype(float)
COST_USD = np.tile([1.0, 4.0], (100, 1))


def at_all(n_wasted: int) -> Measurement:
    """Right everywhere: the expensive model where it is needed, and on n_wasted queries more."""
    chosen = np.where(PERFORMANCE[:, 0] == 1.0, 0, 1)
    chosen[np.flatnonzero(chosen == 0)[:n_wasted]] = 1
    rng = np.random.default_rng(0)
    return measure(chosen[:, None], PERFORMANCE, COST_USD, strongest=1, resamples=50, rng=rng)


@pytest.mark.parametrize(
    ("less", "cost", "verdict"),
    [
        (5, 30, "reproduced"),  # RCI 0.05 against 0.30, beyond chance
        (1, 2, "partly reproduced"),  # one query less: within the interval
        (30, 5, "not reproduced"),
    ],
)
def test_the_verdict_is_of_the_paired_difference(less: int, cost: int, verdict: str) -> None:
    by_aim = {COLLAPSE: [at_all(less)], COST: [at_all(cost)]}
    metrics = {
        aim: metrics_over_seeds(each, ("cheap", "expensive")) for aim, each in by_aim.items()
    }
    # the run's routers have an RCI of 0.5 at every quality
    found, text = _finding(by_aim, metrics, made(build_document()), "knn")
    assert found == verdict
    assert f"RCI is {less / 100:.3f} where predicted collapse is the price" in text
    assert f"the price, {cost / 100:.3f} where predicted cost is" in text
    # on n + 50 queries 4 USD and on the others 1, of 4
    assert f"The cost there is {(250 + 3 * less) / 400:.3f} of the strongest model's" in text

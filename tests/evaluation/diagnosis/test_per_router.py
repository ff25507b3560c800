"""A router beside the `task` anchor."""

import numpy as np
import pytest

from equirouter.evaluation.curve import measure
from equirouter.evaluation.diagnosis.per_router import (
    BothPolicies,
    router_finding,
    text_free_best,
)
from equirouter.evaluation.sweeps import RouterSweep

# 40 queries, a strong model at cost 1 and a free one that is always wrong
PERFORMANCE = np.tile([1.0, 0.0], (40, 1))
COST_USD = np.tile([1.0, 0.0], (40, 1))


def both(*n_strong: int, resamples: int = 0) -> BothPolicies:
    """The strong model on n_strong[t] queries at budget t, counted from 1; equal by lambda."""
    chosen = np.stack([np.arange(40) >= n for n in n_strong], axis=1).astype(np.int64)
    rng = np.random.default_rng(3)
    measured = measure(chosen, PERFORMANCE, COST_USD, resamples=resamples, rng=rng)
    sweep = RouterSweep(np.arange(1.0, len(n_strong) + 1), chosen, measured)
    return BothPolicies(sweep, sweep)


def test_the_budgets_from_which_on_a_router_collapses() -> None:
    finding = router_finding("knn", both(0, 20, 10, 20, 36), both(0, 40), {}, 0)
    # half of the calls at budget 2, but only from budget 4 on without falling back
    assert finding.half_from_usd == 4.0
    assert finding.ninety_from_usd == 5.0
    assert finding.strongest_share == 0.9
    # places 10, 25, 50 and 100 % of the way: 0.4, 1, 2 and 4, rounded
    assert finding.share_at == {1.0: 0.0, 2.0: 0.5, 3.0: 0.25, 5.0: 0.9}
    # 90 % of the strongest's performance is the most of any budget, so it is the strongest itself
    assert finding.budget_cost_at_98 == 1.0
    assert finding.peak_score == pytest.approx(0.9)


def test_without_resamples_there_is_no_interval() -> None:
    finding = router_finding("knn", both(0, 40), both(0, 40), {"0.98": both(0, 40)}, 0)
    assert (finding.nauc_minus_task, finding.cost_minus_text_free) == (None, {"0.98": None})
    assert finding.utility_cost_at_98 == 1.0


def test_differences_from_task_are_taken_on_the_same_resamples() -> None:
    same = router_finding("knn", both(0, 40, resamples=50), both(0, 40, resamples=50), {}, 0)
    assert same.nauc_minus_task == (0.0, 0.0)
    # always the strong model: nAUC 1 in every resample, above the mean height of a ramp
    higher = router_finding("knn", both(40, 40, resamples=50), both(0, 40, resamples=50), {}, 0)
    assert higher.nauc_minus_task is not None
    assert higher.nauc_minus_task[0] > 0.4


def test_costs_are_held_against_the_anchor_without_text_that_needs_least() -> None:
    # 98 % of the strongest needs it for all 40 queries, 95 % for 38, and 90 % for 36
    anchors = {"task": both(0, 36, 40, resamples=50), "mixture": both(0, 38, resamples=50)}
    best = text_free_best(anchors)
    assert best == {"0.98": "task", "0.95": "mixture", "0.90": "task"}
    beside = {level: anchors[name] for level, name in best.items()}
    same = router_finding("knn", anchors["mixture"], anchors["task"], beside, 0)
    assert same.cost_minus_text_free["0.95"] == (0.0, 0.0)
    free = both(0, resamples=50)  # never right, so all it has is always calling the strongest
    costly = router_finding("knn", free, anchors["task"], beside, 0).cost_minus_text_free["0.90"]
    assert costly is not None
    assert costly[1] == pytest.approx(0.1, abs=0.08), "about 1 - 36 / 40 more than task"

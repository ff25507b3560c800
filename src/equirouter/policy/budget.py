"""The paper's policy: drop what costs more than the budget, take the best of the rest."""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.base import (
    Policy,
    WhenNothingFits,
    check_when_nothing_fits,
    columns_in_lists,
)
from equirouter.policy.order import (
    NOTHING_FITS,
    best_column,
    check_inputs,
    columns_by_value,
)
from equirouter.policy.path import DecisionPath

TINY = 1e-12
"""So that rounding does not move a position past its cost."""

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


class BudgetPolicy(Policy):
    """Highest score among models with predicted cost within the budget, ties to the cheaper.

    Eq. 1-3 on predictions. budget_usd: USD for one call, inf for no limit. when_nothing_fits:
    "cheapest" takes the model with the lowest predicted cost although it is over the budget, of
    equal costs the one with the higher score; "refuse" chooses none (-1). Raises ConfigError for a
    budget that is not positive.
    """

    setting = "budget_usd"

    def __init__(
        self, budget_usd: float = math.inf, *, when_nothing_fits: WhenNothingFits = "cheapest"
    ) -> None:
        if not budget_usd > 0:  # also refuses NaN
            raise ConfigError(
                f"the budget is {budget_usd} USD: expected a number above 0, for one call"
            )
        check_when_nothing_fits(when_nothing_fits)
        self.budget_usd = budget_usd
        self.when_nothing_fits = when_nothing_fits

    @classmethod
    def at(cls, value: float, when_nothing_fits: WhenNothingFits = "cheapest") -> Self:
        """A budget of 0 is that of models which cost nothing, as a sweep may begin with it."""
        return cls(max(value, math.ulp(0.0)), when_nothing_fits=when_nothing_fits)

    def choose(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The best column within the budget, ties to the cheaper; see Policy.choose."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        chosen = best_column(scores, cost_usd, allowed & self.within(cost_usd))
        self._answer_all(chosen, scores, cost_usd, allowed)
        return chosen

    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """Columns within the budget by score, ties to the cheaper; see Policy.rank."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        ranked = columns_by_value(scores, cost_usd, allowed & self.within(cost_usd))
        self._answer_all(ranked[:, 0], scores, cost_usd, allowed)
        return ranked

    def rank_one(
        self,
        scores: Sequence[float],
        predicted_cost_usd: Sequence[float],
        allowed: Sequence[bool] | None = None,
    ) -> list[int]:
        """As Policy.rank_one."""
        costs, limit = predicted_cost_usd, self.budget_usd
        limit = float(np.float32(limit)) if limit < LARGEST_FLOAT32 else math.inf  # see within
        fits = [cost <= limit for cost in costs]
        if allowed is not None:
            fits = [fit and may_be for fit, may_be in zip(fits, allowed, strict=True)]
        if self.when_nothing_fits == "cheapest" and not any(fits):
            left = [column for column in range(len(costs)) if allowed is None or allowed[column]]
            return sorted(left, key=lambda column: (costs[column], -scores[column]))[:1]
        return columns_in_lists(scores, costs, fits)

    def within(self, predicted_cost_usd: RealArray) -> BoolArray:
        """Whether a call of such a predicted cost is within the budget, same shape."""
        # a float is rounded to the costs' precision, so that a cost equal to the budget is within
        # it; what float32 cannot hold is no limit
        limit = float(self.budget_usd) if self.budget_usd < LARGEST_FLOAT32 else math.inf
        return np.asarray(predicted_cost_usd <= limit)

    def _answer_all(
        self, chosen: IntArray, scores: RealArray, cost_usd: RealArray, allowed: BoolArray
    ) -> None:
        """Put the cheapest allowed model, in place, where nothing was chosen; or refuse."""
        if self.when_nothing_fits == "refuse":
            return
        stuck = np.flatnonzero(chosen == NOTHING_FITS)
        if stuck.size:
            costs = np.where(allowed[stuck], cost_usd[stuck], np.inf)
            cheapest = allowed[stuck] & (costs == costs.min(axis=1, keepdims=True))
            chosen[stuck] = best_column(scores[stuck], costs, cheapest)

    def points(
        self,
        scores: RealArray,  # noqa: ARG002  # budgets depend on costs alone
        predicted_cost_usd: RealArray,
        n: int = 100,
    ) -> FloatArray:
        """N of the predicted costs, from the smallest to the largest.

        Evenly spaced in the mean of two positions: the share of the costs that a budget covers, and
        their share of the sum of all. So cheap and expensive models are both seen where prices
        differ a thousandfold. Budgets depend on costs alone: they are those of every router.
        """
        costs = np.sort(np.asarray(predicted_cost_usd, dtype=np.float64), axis=None)
        total = costs.sum()
        covered = np.arange(1, len(costs) + 1) / len(costs)
        spent = np.cumsum(costs) / total if total > 0 else covered
        place = np.searchsorted((covered + spent) / 2, np.linspace(0.0, 1.0, n) - TINY)
        place[-1] = len(costs) - 1
        return np.asarray(costs[place])

    def path(self, scores: RealArray, predicted_cost_usd: RealArray) -> DecisionPath | None:
        """Every budget at which a decision changes; None where queries may be refused."""
        if self.when_nothing_fits == "refuse":
            return None
        scores, cost_usd, _ = check_inputs(scores, predicted_cost_usd, None)
        by_cost, place = _best_so_far(scores, cost_usd)
        query, rank = np.nonzero(place[:, 1:] > place[:, :-1])
        before, after = (by_cost[query, place[query, at]] for at in (rank, rank + 1))
        value = cost_usd[query, after].astype(np.float64)
        order = np.argsort(value, kind="stable")  # a query's changes stay in order: costs rise
        return DecisionPath(by_cost[:, 0], query[order], before[order], after[order], value[order])

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """Chosen columns (N, T) for the budgets (T,).

        With a query's models in order of cost, the choice for a budget is the best of the first
        few: one running maximum per query serves all budgets.
        """
        scores, cost_usd, _ = check_inputs(scores, predicted_cost_usd, None)
        by_cost, place = _best_so_far(scores, cost_usd)
        sorted_costs = np.take_along_axis(cost_usd, by_cost, axis=1)
        best_column = np.take_along_axis(by_cost, place, axis=1)  # (N, K)
        limits = points.astype(cost_usd.dtype)  # in the costs' precision, as in choose
        n_within = np.zeros((len(scores), len(points)), dtype=np.int64)
        for column in range(sorted_costs.shape[1]):
            n_within += sorted_costs[:, column, None] <= limits
        chosen = np.take_along_axis(best_column, np.maximum(n_within - 1, 0), axis=1)
        if self.when_nothing_fits == "refuse":
            chosen[n_within == 0] = NOTHING_FITS
        return chosen


class EvenBudgetPolicy(BudgetPolicy):
    """The budget policy as the paper sweeps it: at evenly spaced budgets, and read at these alone.

    Where prices differ a thousandfold nearly all of them lie above what all but the most expensive
    models cost. Source: App. A.1.
    """

    def points(
        self,
        scores: RealArray,  # noqa: ARG002  # budgets depend on costs alone
        predicted_cost_usd: RealArray,
        n: int = 100,
    ) -> FloatArray:
        """From the smallest to the largest predicted cost."""
        return np.linspace(predicted_cost_usd.min(), predicted_cost_usd.max(), n)

    def path(
        self,
        scores: RealArray,  # noqa: ARG002
        predicted_cost_usd: RealArray,  # noqa: ARG002
    ) -> DecisionPath | None:
        """None: the even budgets are all there is."""
        return None


def _best_so_far(scores: RealArray, cost_usd: RealArray) -> tuple[IntArray, IntArray]:
    """(N, K) each: every query's columns from the cheapest on, and the best place up to each place.

    Of equal costs the best comes first, so in choose; an equal score later costs more.
    """
    by_cost = np.lexsort((-scores, cost_usd))
    best = np.maximum.accumulate(np.take_along_axis(scores, by_cost, axis=1), axis=1)
    rises = np.ones(best.shape, dtype=bool)
    rises[:, 1:] = best[:, 1:] > best[:, :-1]
    place = np.maximum.accumulate(np.where(rises, np.arange(best.shape[1]), 0), axis=1)
    return by_cost, place

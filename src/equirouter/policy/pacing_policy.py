"""The pacing policy: a pacer on a stream of queries, for measurements and in one call."""

import math

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.base import Policy
from equirouter.policy.dual import Dual, slope_range, within_carry
from equirouter.policy.order import NOTHING_FITS, best_column, check_inputs
from equirouter.policy.pacer import order_of
from equirouter.policy.utility import UtilityPolicy

__all__ = ["PacingPolicy"]


class PacingPolicy(Policy):
    """Decides rows in their order, so that their mean cost comes to spend_usd: see Pacer.

    spend_usd: USD per query, inf for the best whatever it costs. Every call starts anew, without
    knowing anything of the stream. Costs are taken to be as predicted, but in `replay`. Raises
    ConfigError for a target that is not positive.
    """

    needs = "expected_performance"
    setting = "spend_usd"
    in_order = True

    def __init__(self, spend_usd: float = math.inf) -> None:
        if not spend_usd > 0:  # also refuses NaN
            raise ConfigError(f"the spend is {spend_usd} USD: expected a number above 0, per query")
        self.spend_usd = spend_usd

    def choose(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The column that a pacer chooses for each row in turn; see Policy.choose."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        targets = np.array([self.spend_usd])
        return _Stream(scores, cost_usd, allowed, targets, cost_usd).chosen[:, 0]

    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The order of a pacer for each row in turn; see Policy.rank."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        stream = _Stream(scores, cost_usd, allowed, np.array([self.spend_usd]), cost_usd)
        return order_of(scores - stream.lambdas * cost_usd, cost_usd, allowed, stream.near)

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int = 100) -> FloatArray:
        """Evenly spaced targets from what the cheapest models cost on average to what the best do.

        A stream without costs has one point, as often as asked for.
        """
        scores, cost_usd, _ = check_inputs(scores, predicted_cost_usd, None)
        best = UtilityPolicy().choose(scores, cost_usd)
        most = float(cost_usd[np.arange(len(best)), best].mean())
        least = float(cost_usd.min(axis=1).mean())
        return np.maximum(np.linspace(least, most, n), math.ulp(0.0))

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """Chosen columns (N, T) for the targets (T,), each from its own start."""
        return self.replay(scores, predicted_cost_usd, points, predicted_cost_usd)

    def replay(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        points: FloatArray,
        paid_usd: RealArray,
    ) -> IntArray:
        """Chosen columns (N, T), where each call's cost (N, K) is known before the next query."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, None)
        return _Stream(scores, cost_usd, allowed, np.asarray(points), paid_usd).chosen


class _Stream:
    """Every row (N, K) decided in turn for T targets.

    chosen (N, T). lambdas (N, 1), near (N, K): of the first target, price and what the carry
    allowed.
    """

    def __init__(
        self,
        scores: RealArray,
        cost_usd: RealArray,
        allowed: BoolArray,
        targets: FloatArray,
        paid_usd: RealArray,
    ) -> None:
        dual = Dual(targets)
        self.chosen = np.full((len(scores), len(targets)), NOTHING_FITS)
        self.lambdas = np.zeros((len(scores), 1))
        self.near = allowed.copy()
        some = allowed.any(axis=1)
        low, high = slope_range(scores[some], cost_usd[some], allowed[some])
        for row, (least, most) in zip(
            np.flatnonzero(some).tolist(),
            zip(low.tolist(), high.tolist(), strict=True),
            strict=True,
        ):
            dual.see(least, most)
            lambdas = dual.lambdas()
            costs, may = cost_usd[row][None], allowed[row][None]
            near = within_carry(costs, may, dual.owed, dual.spend_usd, dual.carry)
            chosen = best_column(scores[row] - lambdas[:, None] * costs, costs, near)
            dual.pay(paid_usd[row, chosen])
            self.chosen[row], self.lambdas[row], self.near[row] = chosen, lambdas[0], near[0]

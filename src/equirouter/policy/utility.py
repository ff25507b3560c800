"""Performance minus a price times cost, or times the collapse score; or the strongest model."""

import math
from collections.abc import Sequence

import numpy as np

from equirouter.arrays import FloatArray, IntArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.base import ByValue, columns_in_lists
from equirouter.policy.order import check_inputs
from equirouter.policy.path import DecisionPath, utility_path


class UtilityPolicy(ByValue):
    """Highest expected_performance - lambda_ * predicted_cost_usd, ties to the cheaper.

    lambda_: performance that one USD must buy, 0 or more; 0 takes the best whatever it costs. It
    needs scores that estimate performance: with scores that only rank, the difference from a cost
    has no meaning.
    """

    needs = "expected_performance"
    setting = "lambda"

    def __init__(self, lambda_: float = 0.0) -> None:
        if not 0 <= lambda_ < math.inf:
            raise ConfigError(f"{self.setting} is {lambda_}: expected a finite number of 0 or more")
        self.lambda_ = lambda_

    def value(self, scores: RealArray, cost_usd: RealArray) -> FloatArray:
        """Performance less priced cost (N, K)."""
        return np.asarray(scores.astype(np.float64) - self.lambda_ * cost_usd.astype(np.float64))

    def rank_one(
        self,
        scores: Sequence[float],
        predicted_cost_usd: Sequence[float],
        allowed: Sequence[bool] | None = None,
    ) -> list[int]:
        """As Policy.rank_one."""
        lambda_ = self.lambda_
        value = map(lambda score, cost: score - lambda_ * cost, scores, predicted_cost_usd)
        return columns_in_lists(value, predicted_cost_usd, allowed)

    def path(self, scores: RealArray, predicted_cost_usd: RealArray) -> DecisionPath:
        """Every lambda at which a decision changes, and what changes there."""
        scores, cost_usd, _ = check_inputs(scores, predicted_cost_usd, None)
        return utility_path(scores, cost_usd)

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int = 100) -> FloatArray:
        """N lambdas of the path, falling to 0, evenly spaced along it: see DecisionPath.spread."""
        path = self.path(scores, predicted_cost_usd)
        return path.lambdas()[path.spread(predicted_cost_usd, n)]

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """Chosen columns (N, T) for the lambdas (T,)."""
        scores, cost_usd, _ = check_inputs(scores, predicted_cost_usd, None)
        by_cost = np.argsort(cost_usd, axis=1, kind="stable")  # argmax takes the first of equals
        sorted_scores = np.take_along_axis(scores, by_cost, axis=1)
        sorted_costs = np.take_along_axis(cost_usd, by_cost, axis=1)
        chosen = np.empty((len(scores), len(points)), dtype=np.int64)
        for point, lambda_ in enumerate(points):
            place = (sorted_scores - lambda_ * sorted_costs).argmax(axis=1)
            chosen[:, point] = np.take_along_axis(by_cost, place[:, None], axis=1)[:, 0]
        return chosen


class LessCollapsePolicy(UtilityPolicy):
    """Highest expected_performance - price * predicted collapse score, ties to the less collapsed.

    The price is the performance that one query less without collapse must buy. It avoids calls that
    a cheaper model matches, by number, not by what they cost: less collapse is no saving.
    """

    priced_by = "collapse"
    setting = "collapse_price"


class StrongestPolicy(ByValue):
    """One column wherever it is feasible, then the others by their scores, ties to the cheaper.

    column: of the strongest model. It is no policy of its own to choose by name, but an operating
    point of every pipeline: its setting, `strongest`, has the one value 1.
    """

    setting = "strongest"

    def __init__(self, column: int) -> None:
        self.column = column

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int) -> FloatArray:  # noqa: ARG002
        """The one point there is."""
        return np.ones(1)

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """The column for every query (N, T)."""
        chosen = self.choose(scores, predicted_cost_usd)
        return np.repeat(chosen[:, None], len(points), axis=1)

    def value(self, scores: RealArray, cost_usd: RealArray) -> FloatArray:  # noqa: ARG002
        """The scores (N, K), with the column above all others."""
        value = scores.astype(np.float64)
        value[:, self.column] = np.finfo(np.float64).max
        return value

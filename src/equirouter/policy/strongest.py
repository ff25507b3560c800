"""The strongest model for every query: the operating point that keeps every quality."""

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.policy.base import Policy
from equirouter.policy.order import best_column, check_inputs, columns_by_value

__all__ = ["StrongestPolicy"]


class StrongestPolicy(Policy):
    """One column wherever it is feasible, then the others by their scores, ties to the cheaper.

    column: of the strongest model. It is no policy of its own to choose by name, but an operating
    point of every pipeline: its setting, `strongest`, has the one value 1.
    """

    setting = "strongest"

    def __init__(self, column: int) -> None:
        self.column = column

    def choose(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The column, or the best of the others where it is not feasible."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        return best_column(self._preferred(scores), cost_usd, allowed)

    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The column, then the others by score; see Policy.rank."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        return columns_by_value(self._preferred(scores), cost_usd, allowed)

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int) -> FloatArray:  # noqa: ARG002
        """The one point there is."""
        return np.ones(1)

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """The column for every query (N, T)."""
        chosen = self.choose(scores, predicted_cost_usd)
        return np.repeat(chosen[:, None], len(points), axis=1)

    def _preferred(self, scores: RealArray) -> FloatArray:
        value = scores.astype(np.float64)
        value[:, self.column] = np.finfo(np.float64).max
        return value

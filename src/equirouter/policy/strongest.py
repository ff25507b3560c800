"""The strongest model for every query: the operating point that keeps every quality."""

import numpy as np

from equirouter.arrays import FloatArray, IntArray, RealArray
from equirouter.policy.base import ByValue


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

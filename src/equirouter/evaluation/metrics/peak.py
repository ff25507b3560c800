"""The peak of the performance-cost curve: its height, and what it costs."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import cheapest_reaching, pick_point


class PeakScore(Metric):
    """P_s, the highest mean performance on the curve.

    Unit and range of performance; higher is better. Source: paper, App. A.3.
    """

    direction = 1
    is_paired = True
    columns = (Column("P_s", 4, "The best mean performance anywhere on the curve."),)

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve."""
        return peak(means.cost_usd, means.performance)[0]


def peak(cost_usd: FloatArray, performance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The height of the peak of curves (..., T), and the lowest cost at which it occurs: (...)."""
    score = performance.max(axis=-1)
    return score, pick_point(cost_usd, cheapest_reaching(cost_usd, performance, score))

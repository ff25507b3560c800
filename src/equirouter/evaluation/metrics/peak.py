"""The peak of the performance-cost curve: its height, and what it costs."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import cheapest_reaching, pick_point, share_of


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


class PeakCost(Metric):
    """The lowest mean cost at which the peak occurs, in USD per query; lower is better."""

    direction = -1

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve."""
        return peak(means.cost_usd, means.performance)[1]


class PeakQuality(Metric):
    """The highest quality on the curve: the peak as a share of the reference model's performance.

    Without the operating point that always calls that model. 0 or more, higher is better; NaN where
    the reference scores nothing.
    """

    direction = 1

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve."""
        return share_of(means.performance.max(axis=-1), means.reference_performance)


def peak(cost_usd: FloatArray, performance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The height of the peak of curves (..., T), and the lowest cost at which it occurs: (...)."""
    score = performance.max(axis=-1)
    return score, pick_point(cost_usd, cheapest_reaching(cost_usd, performance, score))

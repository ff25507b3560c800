"""The cost of the peak of the performance-cost curve."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans
from equirouter.evaluation.metrics.peak import peak


class PeakCost(Metric):
    """The lowest mean cost at which the peak occurs, in USD per query; lower is better."""

    direction = -1

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve."""
        return peak(means.cost_usd, means.performance)[1]

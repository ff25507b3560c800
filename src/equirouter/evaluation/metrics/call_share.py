"""The share of the queries that each model gets, and that the strongest one gets."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans


class CallShare(Metric):
    """The share of the queries sent to each model at the largest budget; sums to 1.

    Neither high nor low is better. Source: paper, Fig. 1.
    """

    direction = 0

    def values(self, means: SweepMeans) -> FloatArray:
        """(R, K)."""
        return means.call_share

"""The peak as a share of the reference model's performance."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans
from equirouter.evaluation.metrics.curves import share_of


class PeakQuality(Metric):
    """The highest quality on the curve: the peak as a share of the reference model's performance.

    Without the operating point that always calls that model. 0 or more, higher is better; NaN where
    the reference scores nothing.
    """

    direction = 1

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve."""
        return share_of(means.performance.max(axis=-1), means.reference_performance)

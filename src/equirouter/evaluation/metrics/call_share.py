"""The share of the queries that each model gets."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import STRONGEST, Column, Metric, SweepMeans

__all__ = ["CallShare"]


class CallShare(Metric):
    """The share of the queries sent to each model at the largest budget; sums to 1.

    Neither high nor low is better. Source: paper, Fig. 1.
    """

    direction = 0
    columns = (
        Column(
            "strongest\ncalls",
            3,
            "Share of the queries sent to the strongest model at the largest budget. It describes "
            "a router and is neither good nor bad alone, so no value is marked.",
            key=STRONGEST,
        ),
    )

    def values(self, means: SweepMeans) -> FloatArray:
        """(R, K)."""
        return means.call_share

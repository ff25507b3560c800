"""The share of the queries that the strongest model gets."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans


class StrongestShare(Metric):
    """The share of the queries sent to the reference model at the largest budget, in [0, 1].

    The reference is the strongest model on training and validation part. Neither high nor low is
    better. Source: paper, Fig. 1.
    """

    direction = 0
    columns = (
        Column(
            "strongest\ncalls",
            3,
            "Share of the queries sent to the strongest model at the largest budget. It describes "
            "a router and is neither good nor bad alone, so no value is marked.",
        ),
    )

    def values(self, means: SweepMeans) -> FloatArray:
        """(R,)."""
        return means.call_share[:, means.reference]

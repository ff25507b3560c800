"""The cost at which a router reaches a share of the strongest model's performance."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import share_of


class CostAtQuality(Metric):
    """The lowest cost at which an operating point has a share of the strongest model's performance.

    A value per quality ("1.02", "1.00", "0.99", "0.98", "0.95", "0.90"), as a share of what the
    strongest model costs. The strongest is the reference model, and always calling it is an
    operating point of every router, so a quality up to 1 is always reached, at 1 at most. Lower is
    better, NaN where the strongest model costs nothing, and for 1.02 where it is never reached.
    Source: paper, Fig. 5, but for that operating point.
    """

    direction = -1
    is_paired = True
    columns = (
        Column(
            "cost at\n98 %",
            3,
            "Cost at which the router has 98 % of the strongest model's mean performance, as a "
            "share of that model's cost; 1 where only always calling that model does.",
            key="0.98",
        ),
        Column(
            "cost at\n95 %",
            3,
            "Cost at which it has 95 % of the strongest model's mean performance.",
            key="0.95",
        ),
    )

    def values(self, means: SweepMeans) -> dict[str, FloatArray]:
        """Quality -> (R,)."""
        return {
            name: share_of(point.cost_usd, means.reference_cost_usd)
            for name, point in means.at_quality.items()
        }

"""The cost at which a router reaches a share of the strongest model's performance."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import cost_share, pick_point

__all__ = ["CostAtQuality"]


class CostAtQuality(Metric):
    """The lowest cost at which the curve reaches a share of the strongest model's performance.

    A value per quality ("1.00", "0.99", "0.98", "0.95", "0.90"), as a share of what the strongest
    model costs; lower is better, NaN where the quality is never reached. Source: paper, Fig. 5.
    """

    direction = -1
    columns = (
        Column(
            "cost at\n98 %",
            3,
            "Cost at which the router reaches 98 % of the strongest model's mean performance, as a "
            "share of that model's cost.",
            key="0.98",
        ),
        Column(
            "cost at\n95 %",
            3,
            "Cost at which it reaches 95 % of the strongest model's mean performance.",
            key="0.95",
        ),
    )

    def values(self, means: SweepMeans) -> dict[str, FloatArray]:
        """Quality -> (R,)."""
        return {
            name: cost_share(pick_point(means.cost_usd, point), means.strongest_cost_usd)
            for name, point in means.reaching.items()
        }

"""QNC: the cost at which a router is as good as the strongest model."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import cost_share, pick_point

__all__ = ["QNC"]


class QNC(Metric):
    """The lowest cost at which the curve reaches the strongest model's mean performance.

    A share of what that model costs: QNC / x_max of App. A.3. Lower is better, above 1 is possible,
    NaN where the performance is never reached.
    """

    direction = -1
    columns = (
        Column(
            "QNC",
            3,
            "Cost at which the router matches the strongest model, as a share of that model's "
            "cost; “/” where it never does.",
        ),
    )

    def values(self, means: SweepMeans) -> FloatArray:
        """At quality 1.00."""
        point = means.reaching["1.00"]
        return cost_share(pick_point(means.cost_usd, point), means.strongest_cost_usd)

"""QNC: the cost at which a router is as good as the strongest model."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import cheapest_reaching, pick_point, share_of


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
        """Of the curve, against the model that is strongest in each sample."""
        target = pick_point(means.model_performance, means.strongest)
        point = cheapest_reaching(means.cost_usd, means.performance, target)
        strongest_usd = pick_point(means.model_cost_usd, means.strongest)
        return share_of(pick_point(means.cost_usd, point), strongest_usd)

"""nAUC over a range of costs that all routers of a run share."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans
from equirouter.evaluation.metrics.curves import ROUNDING, pick_point


class CommonNAUC(Metric):
    """The mean height of the curve over a range of costs that all routers of a run share.

    From what always calling the cheapest model costs to what always calling the reference does.
    Both are operating points of every router, and a point counts for all that costs more, if no
    other is better there; between points are straight lines, as of a mixture of the two. Unit and
    range of performance; higher is better, and the oracle's is the highest. Where the reference is
    the cheapest model it is the best performance at its cost.
    """

    direction = 1
    is_paired = True

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve and both ends of the range."""
        cheapest = means.model_cost_usd.argmin(axis=1)
        low = pick_point(means.model_cost_usd, cheapest)
        high = np.maximum(means.reference_cost_usd, low)
        first = pick_point(means.model_performance, cheapest)
        cost_usd = np.column_stack([means.cost_usd, low, means.reference_cost_usd])
        performance = np.column_stack([means.performance, first, means.reference_performance])
        return area_within(cost_usd, performance, low, high)


def area_within(
    cost_usd: FloatArray, performance: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """The mean height (R,) of the best of curves (R, T) so far, over the costs low to high, (R,).

    Both ends are costs of the curves; where they are equal, the best performance at that cost.
    """
    order = np.lexsort((-performance, cost_usd))  # of equal costs the best first
    best = np.maximum.accumulate(np.take_along_axis(performance, order, axis=-1), axis=-1)
    cost = np.take_along_axis(cost_usd, order, axis=-1)
    last = (cost <= high[:, None]).sum(axis=-1) - 1
    area = np.trapezoid(best, np.clip(cost, low[:, None], high[:, None]), axis=-1)
    span = high - low
    is_wide = span > ROUNDING * high
    at_high = pick_point(best, last)
    return np.asarray(np.where(is_wide, area / np.where(is_wide, span, 1.0), at_high))

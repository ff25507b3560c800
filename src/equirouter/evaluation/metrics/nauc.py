"""nAUC: the mean height of the performance-cost curve."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import ROUNDING, pick_point


class NAUC(Metric):
    """The mean height of the performance-cost curve over the costs it spans.

    Points are ordered by cost, those whose costs are equal but for rounding by performance, and
    joined by straight lines; their area is divided by the largest minus the smallest cost. Unit and
    range of performance; higher is better. A curve whose points all share one cost has no width:
    its nAUC is the mean of its performance. Source: paper, App. A.3.
    """

    direction = 1
    is_paired = True
    columns = (
        Column(
            "nAUC",
            4,
            "Area under the curve of mean performance against mean cost, divided by the range of "
            "costs: the average performance over all spending levels.",
        ),
    )

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve."""
        return normalised_area(means.cost_usd, means.performance)


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


def normalised_area(cost_usd: FloatArray, performance: FloatArray) -> FloatArray:
    """The nAUC (...) of curves (..., T)."""
    order = np.argsort(cost_usd, axis=-1)
    x = np.take_along_axis(cost_usd, order, axis=-1)
    costs_more = np.diff(x, axis=-1, prepend=x[..., :1]) > ROUNDING * x[..., -1:]
    y = np.take_along_axis(performance, order, axis=-1)
    # within a group of equal costs by performance, and not by what rounding makes of the costs
    by_performance = np.lexsort((y, np.cumsum(costs_more, axis=-1)), axis=-1)
    y = np.take_along_axis(y, by_performance, axis=-1)
    area = np.trapezoid(y, x, axis=-1)
    span = x[..., -1] - x[..., 0]
    is_wide = span > ROUNDING * x[..., -1]
    return np.asarray(np.where(is_wide, area / np.where(is_wide, span, 1.0), y.mean(axis=-1)))

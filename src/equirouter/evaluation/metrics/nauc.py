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


class OrbitNAUC(Metric):
    """The area under the Pareto front, as the authors' toolbox (ORBIT) computes its AUC.

    The front is the points, by rising cost, that perform better than all before them. One more
    point is added: the performance at the largest spending, at the cost of the strongest model.
    Points are joined by straight lines, and costs are shares of the largest; so nothing is divided
    by a router's own range, and a curve without a cheap end loses what it leaves out. Unit and
    range of performance; higher is better. 0 where all is free.
    Source: https://github.com/LAMDA-Model-Reuse/ORBIT, methods/base.py at d33cb0b.
    """

    direction = 1

    def values(self, means: SweepMeans) -> FloatArray:
        """Of the curve and the added point."""
        cost_usd, performance = pareto_front(means.cost_usd, means.performance)
        added = pick_point(means.model_cost_usd, means.strongest)
        cost_usd = np.column_stack([cost_usd, added])
        performance = np.column_stack([performance, means.performance[:, -1]])
        order = np.argsort(cost_usd, axis=-1, kind="stable")
        cost_usd = np.take_along_axis(cost_usd, order, axis=-1)
        performance = np.take_along_axis(performance, order, axis=-1)
        largest = np.where(cost_usd[:, -1] > 0, cost_usd[:, -1], 1.0)
        return np.asarray(np.trapezoid(performance, cost_usd, axis=-1) / largest)


def pareto_front(cost_usd: FloatArray, performance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Costs and performances (R, T) of the Pareto front, by rising cost.

    A point is on it if it performs better than all points before it. Each of the others is replaced
    by the last before it that is, which adds no area.
    """
    order = np.argsort(cost_usd, axis=-1, kind="stable")
    ordered = np.take_along_axis(performance, order, axis=-1)
    best = np.maximum.accumulate(ordered, axis=-1)
    is_better = np.diff(best, axis=-1, prepend=-np.inf) > 0
    last = np.maximum.accumulate(np.where(is_better, np.arange(best.shape[-1]), 0), axis=-1)
    front = np.take_along_axis(order, last, axis=-1)
    return (
        np.take_along_axis(cost_usd, front, axis=-1),
        np.take_along_axis(performance, front, axis=-1),
    )


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

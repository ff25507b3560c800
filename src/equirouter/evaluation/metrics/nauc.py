"""nAUC: the mean height of the performance-cost curve."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans
from equirouter.evaluation.metrics.curves import ROUNDING


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

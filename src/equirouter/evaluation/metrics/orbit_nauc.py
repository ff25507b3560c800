"""nAUC as the authors' toolbox computes it: the area under the Pareto front."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans
from equirouter.evaluation.metrics.curves import pick_point


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

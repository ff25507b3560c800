"""The metrics of a performance-cost curve: pure functions on arrays.

The last axis of a curve is the operating point (a budget); the axes before it, if any, are
resamples, so that a figure and its bootstrap draws come from the same lines.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from equirouter.arrays import FloatArray, IntArray

__all__ = [
    "QUALITY_LEVELS",
    "cheapest_reaching",
    "cost_share",
    "normalised_area",
    "peak",
    "pick_point",
    "strongest_model",
]

QUALITY_LEVELS: Mapping[str, float] = MappingProxyType(
    {"1.00": 1.0, "0.99": 0.99, "0.98": 0.98, "0.95": 0.95, "0.90": 0.90}
)
"""Shares of the strongest model's mean performance at which cost and collapse are compared."""

_ROUNDING = 1e-12
"""Two means that differ by less (in units of the larger of 1 and the mean) count as equal: means
of the same outcomes, summed in another order, differ by about 1e-15."""


def normalised_area(cost_usd: FloatArray, performance: FloatArray) -> FloatArray:
    """nAUC: the mean height of the performance-cost curve over the costs it spans.

    cost_usd, performance: (..., T), means over queries per operating point. Points are ordered by
    cost, those whose costs are equal but for rounding by performance, and joined by straight lines;
    their area is divided by the largest minus the smallest cost. Returns (...), within the range of
    performance; higher is better. A curve whose points all share one cost has no width: its nAUC is
    the mean of its performance, which is the performance where all points are one. Source: paper,
    App. A.3.
    """
    order = np.argsort(cost_usd, axis=-1)
    x = np.take_along_axis(cost_usd, order, axis=-1)
    is_dearer = np.diff(x, axis=-1, prepend=x[..., :1]) > _ROUNDING * x[..., -1:]
    y = np.take_along_axis(performance, order, axis=-1)
    # within a group of equal costs by performance, and not by what rounding makes of the costs
    by_performance = np.lexsort((y, np.cumsum(is_dearer, axis=-1)), axis=-1)
    y = np.take_along_axis(y, by_performance, axis=-1)
    area = np.trapezoid(y, x, axis=-1)
    span = x[..., -1] - x[..., 0]
    is_wide = span > _ROUNDING * x[..., -1]
    return np.asarray(np.where(is_wide, area / np.where(is_wide, span, 1.0), y.mean(axis=-1)))


def peak(cost_usd: FloatArray, performance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """P_s: the highest performance on the curve, and the lowest cost in USD at which it occurs.

    cost_usd, performance: (..., T). Returns two arrays (...). Higher scores and lower costs are
    better. Source: paper, App. A.3.
    """
    score = performance.max(axis=-1)
    return score, pick_point(cost_usd, cheapest_reaching(cost_usd, performance, score))


def cheapest_reaching(
    cost_usd: FloatArray, performance: FloatArray, target: FloatArray | float
) -> IntArray:
    """The operating point of lowest cost whose performance is at least target; -1 if none is.

    cost_usd, performance: (..., T). target: (...) or a number; a performance short of it by
    rounding alone reaches it. Returns (...) indices into the last axis; of points whose costs are
    equal but for rounding the first. Source: paper, App. A.3 (QNC).
    """
    reached = performance >= _just_below(np.asarray(target, dtype=np.float64))[..., None]
    cost = np.where(reached, cost_usd, np.inf)
    index = (cost <= cost.min(axis=-1, keepdims=True) * (1.0 + _ROUNDING)).argmax(axis=-1)
    return np.asarray(np.where(reached.any(axis=-1), index, -1))


def strongest_model(performance: FloatArray, cost_usd: FloatArray) -> IntArray:
    """The model of highest mean performance; means that are equal but for rounding: the cheapest.

    performance, cost_usd: (..., K), means over queries per model. Returns (...) columns.
    """
    return cheapest_reaching(cost_usd, performance, performance.max(axis=-1))


def pick_point(values: FloatArray, index: IntArray) -> FloatArray:
    """The values (..., T) at index (...): NaN where the index is -1."""
    found = np.take_along_axis(values, np.maximum(index, 0)[..., None], axis=-1)[..., 0]
    return np.asarray(np.where(index < 0, np.nan, found))


def cost_share(cost_usd: FloatArray, reference_usd: FloatArray) -> FloatArray:
    """A cost as a share of the strongest model's: 1 is as dear as that model, lower is better.

    cost_usd, reference_usd: (...), USD, means over queries. Returns (...), never negative. NaN
    where the cost is NaN (the quality was never reached), and where the reference costs nothing,
    so that there is nothing to take a share of. At quality 1.00 this is QNC / x_max of App. A.3.
    """
    is_paid = reference_usd > 0
    return np.asarray(np.where(is_paid, cost_usd / np.where(is_paid, reference_usd, 1.0), np.nan))


def _just_below(value: FloatArray) -> FloatArray:
    return np.asarray(value - _ROUNDING * np.maximum(1.0, np.abs(value)))

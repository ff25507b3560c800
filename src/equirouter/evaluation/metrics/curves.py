"""Functions on performance-cost curves, which metrics are made of.

The last axis of a curve is the operating point (a budget); the axes before it, if any, are
resamples, so that a figure and its bootstrap draws come from the same lines.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from equirouter.arrays import FloatArray, IntArray

QUALITY_LEVELS: Mapping[str, float] = MappingProxyType(
    {"1.02": 1.02, "1.00": 1.0, "0.99": 0.99, "0.98": 0.98, "0.95": 0.95, "0.90": 0.90}
)
"""Shares of the strongest model's mean performance at which cost and collapse are compared."""

ROUNDING = 1e-12
"""Two means that differ by less (in units of the larger of 1 and the mean) count as equal: means
of the same outcomes, summed in another order, differ by about 1e-15."""


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
    index = (cost <= cost.min(axis=-1, keepdims=True) * (1.0 + ROUNDING)).argmax(axis=-1)
    return np.asarray(np.where(reached.any(axis=-1), index, -1))


def strongest_model(performance: FloatArray, cost_usd: FloatArray) -> IntArray:
    """The model of highest mean performance; means that are equal but for rounding: the cheapest.

    performance, cost_usd: (..., K), means over queries per model. Returns (...) columns.
    """
    return cheapest_reaching(cost_usd, performance, performance.max(axis=-1))


def pick_point(values: FloatArray, index: IntArray) -> FloatArray:
    """The values (..., T) at index (...): NaN where the index is -1."""
    at_index = np.take_along_axis(values, np.maximum(index, 0)[..., None], axis=-1)[..., 0]
    return np.asarray(np.where(index < 0, np.nan, at_index))


def share_of(value: FloatArray, reference: FloatArray) -> FloatArray:
    """A cost or a performance as a share of the strongest model's: 1 is what that model has.

    value, reference: (...), means over queries. Returns (...). NaN where the value is NaN (what was
    asked for was never reached), and where the reference is not above 0, so that there is nothing
    to take a share of.
    """
    is_known = reference > 0
    return np.asarray(np.where(is_known, value / np.where(is_known, reference, 1.0), np.nan))


def _just_below(value: FloatArray) -> FloatArray:
    return np.asarray(value - ROUNDING * np.maximum(1.0, np.abs(value)))

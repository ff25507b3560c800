"""Checked inputs, the best column of every row, and all columns from the best down."""

import numpy as np

from equirouter.arrays import BoolArray, IntArray, RealArray
from equirouter.errors import DataError

NOTHING_FITS = -1
"""What stands for a query that no model may answer, and after the last model in an order."""

MANY_COLUMNS = 2048
"""From so many models on two sorts of one row are faster than lexsort: 0.2 ms, not 0.9, at 8,500,
where scores and costs take 4.4 ms; at 1,000 they are slower."""


def check_inputs(
    scores: RealArray, predicted_cost_usd: RealArray, feasible: BoolArray | None
) -> tuple[RealArray, RealArray, BoolArray]:
    """The arrays as floats, 32 bits wide where they were, and bool; all (N, K) with K > 0.

    Raises DataError unless they agree and are finite.
    """
    scores, cost_usd = _floats(scores), _floats(predicted_cost_usd)
    allowed = np.ones(scores.shape, dtype=bool) if feasible is None else np.asarray(feasible)
    if scores.ndim != 2 or cost_usd.shape != scores.shape or allowed.shape != scores.shape:
        raise DataError(
            f"scores {scores.shape}, predicted_cost_usd {cost_usd.shape} and feasible "
            f"{allowed.shape} must all be (n_queries, n_models)"
        )
    if not (_is_finite(scores) and _is_finite(cost_usd)):
        raise DataError("scores and predicted_cost_usd must be finite numbers")
    return scores, cost_usd, allowed


def _is_finite(array: RealArray) -> bool:
    return bool(np.count_nonzero(np.isfinite(array)) == array.size)  # faster than all()


def _floats(array: RealArray) -> RealArray:
    array = np.asarray(array)
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def best_column(value: RealArray, cost_usd: RealArray, fits: BoolArray) -> IntArray:
    """The column (N,) of the highest value (N, K) among those that fit, -1 where none does.

    Ties go to the cheaper, then to the left: the first column of columns_by_value, without a sort.
    """
    reachable = np.where(fits, value, -np.inf)
    top = reachable.max(axis=1)
    is_top = reachable == top[:, None]
    chosen: IntArray = np.where(is_top, cost_usd, np.inf).argmin(axis=1)
    chosen[top == -np.inf] = NOTHING_FITS
    return chosen


def columns_by_value(value: RealArray, cost_usd: RealArray, fits: BoolArray) -> IntArray:
    """Columns (N, K) that fit from the highest value down, ties to the cheaper; the rest is -1.

    value and cost_usd are finite, as check_inputs sees to.
    """
    falling = np.where(fits, -value, np.inf)  # what does not fit comes last
    order = _sorted(falling, cost_usd)
    order[np.arange(fits.shape[1]) >= fits.sum(axis=1)[:, None]] = NOTHING_FITS
    return order


def _sorted(falling: RealArray, cost_usd: RealArray) -> IntArray:
    """Columns (N, K) by rising first key, then by rising cost, then by place."""
    if falling.shape[1] < MANY_COLUMNS:
        return np.lexsort((cost_usd, falling))  # the last key sorts first
    return np.stack([_sorted_row(*keys) for keys in zip(falling, cost_usd, strict=True)])


def _sorted_row(falling: RealArray, cost_usd: RealArray) -> IntArray:
    """Columns of one row (K,) by an unstable sort.

    Columns whose first key is not unique are put into order afterwards, in the places they have.
    """
    order = falling.argsort()
    in_order = falling[order]
    same = np.zeros(len(order) + 1, dtype=bool)  # as the one before
    same[1:-1] = (in_order[1:] == in_order[:-1]) & (in_order[1:] < np.inf)
    places = np.flatnonzero(same[1:] | same[:-1])
    columns = np.sort(order[places])
    order[places] = columns[np.lexsort((cost_usd[columns], falling[columns]))]
    return order

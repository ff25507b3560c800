"""The best column of every row, and all columns from the best down: what policies are made of."""

import numpy as np

from equirouter.arrays import BoolArray, IntArray, RealArray

__all__ = ["NOTHING_FITS", "best_column", "columns_by_value"]

NOTHING_FITS = -1
"""What stands for a query that no model may answer, and after the last model in an order."""

MANY_COLUMNS = 256

SMALL_POOL = 64


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
    if len(value) == 1 and value.size <= SMALL_POOL:
        return _of_one_query(value[0].tolist(), cost_usd[0].tolist(), fits[0].tolist())
    falling = np.where(fits, -value, np.inf)  # what does not fit comes last
    order = _sorted(falling, cost_usd)
    if len(fits) == 1:
        order[0, np.count_nonzero(fits) :] = NOTHING_FITS
    else:
        order[np.arange(fits.shape[1]) >= fits.sum(axis=1)[:, None]] = NOTHING_FITS
    return order


def _sorted(falling: RealArray, cost_usd: RealArray) -> IntArray:
    """Columns (N, K) by rising first key, then by rising cost, then by place."""
    if falling.shape[1] < MANY_COLUMNS:
        return np.lexsort((cost_usd, falling))  # the last key sorts first
    return np.stack([_sorted_row(*keys) for keys in zip(falling, cost_usd, strict=True)])


def _sorted_row(falling: RealArray, cost_usd: RealArray) -> IntArray:
    """The same for one row (K,) by an unstable sort, which is several times faster than lexsort.

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


def _of_one_query(value: list[float], cost_usd: list[float], fits: list[bool]) -> IntArray:
    """The same in plain Python, which a few numbers are too few for NumPy to beat."""
    columns = [column for column, allowed in enumerate(fits) if allowed]
    columns.sort(key=lambda column: (-value[column], cost_usd[column]))
    columns += [NOTHING_FITS] * (len(fits) - len(columns))
    return np.array([columns], dtype=np.int64)

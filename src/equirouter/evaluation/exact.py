"""The curve along a path: its means over queries at every change of a decision, by sums of changes.

A change moves one query from one model to another, so a mean along the path is a running sum. In a
resample each change counts as often as its query was drawn.
"""

from collections.abc import Sequence

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.policy import DecisionPath

__all__ = ["MOST_POINTS", "path_means", "resample_points"]

MOST_POINTS = 1000
"""Operating points of a path in the resamples. Point estimates are read from all of them."""

CELLS_AT_ONCE = 2**22
"""Numbers of one temporary array: 32 MiB."""


def resample_points(path: DecisionPath, cost_usd: FloatArray) -> IntArray:
    """The operating points that resamples are measured at: all, or MOST_POINTS spread along it."""
    n_points = len(path.ends()) + 1
    if n_points <= MOST_POINTS:
        return np.arange(n_points)
    return np.unique(path.spread(cost_usd, MOST_POINTS))


def path_means(
    path: DecisionPath,
    tables: Sequence[FloatArray],
    counts: FloatArray,
    points: IntArray | None = None,
) -> list[FloatArray]:
    """For each table (N, K) its mean over queries at the path's operating points, (R, P) each.

    counts (R, N): how often each query counts, rows that sum to N. points (P,): rising numbers of
    operating points, from 0 to the last; None for all.
    """
    made = np.append(0, path.ends())  # changes made at each point
    if points is not None:
        made = made[points]
    per_table = [np.empty((len(counts), len(made))) for _ in tables]
    at_once = max(1, CELLS_AT_ONCE // max(len(path.query), 1))
    for first in range(0, len(counts), at_once):
        rows = slice(first, first + at_once)
        block = counts[rows]
        drawn = block.take(path.query, axis=1)  # (r, S)
        for into, table in zip(per_table, tables, strict=True):
            at_start = table[np.arange(len(path.start)), path.start]
            into[rows, 0] = block @ at_start
            if len(made) > 1:
                steps = drawn * path.steps(table)
                into[rows, 1:] = np.add.reduceat(steps, made[:-1], axis=1)
    return [np.cumsum(sums, axis=1) / counts.shape[1] for sums in per_table]

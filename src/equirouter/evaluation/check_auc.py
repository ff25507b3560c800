"""Knowledge in a number of whether an answer is right, alone and beyond the router's score."""

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray

GROUPS = 10


def auc(values: FloatArray, right: BoolArray) -> float | None:
    """How often a right answer (n,) has the higher value (n,) than a wrong one; a tie is half.

    0.5 knows nothing, 1 all. None where all are right or none is. Source: Hanley and McNeil 1982.
    """
    pairs = _ordered(values, right)
    return None if pairs is None else pairs[0] / pairs[1]


def auc_beyond(values: FloatArray, right: BoolArray, score: FloatArray) -> float | None:
    """The AUC among answers whose score (n,) is alike: what the values know beyond the score.

    Alike is the same of GROUPS groups of equal size. None where no group has right and wrong ones.
    """
    ordered = [_ordered(values[rows], right[rows]) for rows in _groups(score)]
    known = [pairs for pairs in ordered if pairs is not None]
    return sum(p[0] for p in known) / sum(p[1] for p in known) if known else None


def _ordered(values: FloatArray, right: BoolArray) -> tuple[float, int] | None:
    """Pairs of a right and a wrong answer in the right order, and all pairs; None without any."""
    n_right = int(right.sum())
    n_pairs = n_right * (len(right) - n_right)
    if not n_pairs:
        return None
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # from 1, of equal ones the mean
    above = float(rank[place][right].sum()) - n_right * (n_right + 1) / 2
    return above, n_pairs


def _groups(score: FloatArray) -> list[IntArray]:
    return np.array_split(np.argsort(score, kind="stable"), GROUPS)

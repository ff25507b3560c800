"""When a cheap stage may decide alone: thresholds on its margin, from validation data."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.errors import DataError

__all__ = ["ExitThreshold", "exit_threshold"]

SHARES = tuple(step / 20 for step in range(20, 0, -1))
"""Shares of the decisions that leave early, tried from the largest down."""


@dataclass(frozen=True)
class ExitThreshold:
    """threshold: the least margin at which the cheap stage's decision stands, None for never.

    share: of the validation decisions that leave early with it, over all operating points.
    """

    threshold: float | None
    share: float

    def leaves(self, margin: FloatArray) -> BoolArray:
        """Which decisions the cheap stage takes alone, in the shape of margin."""
        if self.threshold is None:
            return np.zeros(margin.shape, dtype=bool)
        return np.asarray(margin >= self.threshold)


def exit_threshold(
    cheap: IntArray,
    margin: FloatArray,
    full: IntArray,
    performance: FloatArray,
    cost_usd: FloatArray,
) -> ExitThreshold:
    """The largest early share that the noise of the validation queries cannot tell from none.

    cheap, full (V, T): choices of the two stages at T operating points. margin (V, T): of the cheap
    one, see Policy.margin. performance, cost_usd (V, K): the truth. A share passes when, averaged
    over the operating points, performance is not lower by more than one standard error of the
    paired difference, and cost not higher by more than one: the cheapest within one standard error
    is taken (Breiman et al. 1984, section 3.4.3).
    Raises DataError for fewer than two queries.
    """
    if len(full) < 2:
        raise DataError(f"{len(full)} validation queries: at least 2 are needed for a noise")
    rows = np.arange(len(full))[:, None]
    better = performance[rows, cheap] - performance[rows, full]  # (V, T)
    dearer = cost_usd[rows, cheap] - cost_usd[rows, full]
    for share in SHARES:
        tried = _at_share(margin, share)
        leaves = tried.leaves(margin)
        gain = np.where(leaves, better, 0.0).mean(axis=1)  # (V,)
        extra = np.where(leaves, dearer, 0.0).mean(axis=1)
        if gain.mean() >= -_standard_error(gain) and extra.mean() <= _standard_error(extra):
            return tried
    return ExitThreshold(None, 0.0)


def _at_share(margin: FloatArray, share: float) -> ExitThreshold:
    """The threshold that lets a share of the decisions leave, more where margins tie."""
    finite = np.nan_to_num(margin, posinf=np.finfo(np.float64).max)
    threshold = float(np.quantile(finite, 1.0 - share, method="higher"))
    return ExitThreshold(threshold, float((finite >= threshold).mean()))


def _standard_error(values: FloatArray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))

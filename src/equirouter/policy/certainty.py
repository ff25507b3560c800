"""How sure a choice is: the chance that no other model would have answered clearly better."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray, IntArray, RealArray
from equirouter.errors import DataError
from equirouter.policy.order import NOTHING_FITS

WITHIN = 0.02
"""A performance that is lower than the best model's by this much at most is as good."""

MARGIN = 1e-3  # estimates are kept so far from 0 and 1
RIDGE = 1.0  # the prior on the weights, in queries' worth of information
STEPS = 50


@dataclass(frozen=True)
class Certainty:
    """Logistic in two log-odds: of the estimate for the chosen model, and of the highest one.

    The log-odds that the performance of the chosen model is that of the best one, or lower by
    WITHIN at most, are intercept + own * logit(chosen) + best * logit(highest). Where no model
    answers well, any choice is as good as the best. lowest, highest: the range of performance.
    """

    intercept: float
    own: float
    best: float
    lowest: float
    highest: float

    def of(self, estimates: RealArray, chosen: IntArray) -> FloatArray:
        """The probability (N,) for calibrated estimates (N, K) and choices (N,), NaN for none."""
        own, best = _log_odds(estimates, chosen, self.lowest, self.highest)
        z = self.intercept + self.own * own + self.best * best  # no product: bits as if alone
        probability = 1.0 / (1.0 + np.exp(-np.maximum(z, -700.0)))  # beyond that exp overflows
        probability[chosen == NOTHING_FITS] = np.nan
        return np.asarray(probability)

    def of_one(self, estimates: Sequence[float], chosen: int) -> float:
        """The probability of `of` for the estimates of one query (K,), and a model of them."""
        span = (self.highest - self.lowest) or 1.0
        shares = [
            min(max((estimate - self.lowest) / span, MARGIN), 1 - MARGIN)
            for estimate in (estimates[chosen], max(estimates))
        ]
        own, best = [float(np.log(share / (1 - share))) for share in shares]  # not math's bits
        z = self.intercept + self.own * own + self.best * best
        return float(1.0 / (1.0 + np.exp(-max(z, -700.0))))


def fit_certainty(estimates: FloatArray, chosen: IntArray, performance: FloatArray) -> Certainty:
    """Maximum likelihood on validation queries, over all operating points.

    estimates (V, K): calibrated, none from a query's own outcome. chosen (V, T): the choices at T
    operating points; each counts 1 / T. performance (V, K), no NaN. Raises DataError for none.
    """
    if chosen.size == 0:
        raise DataError("no decision on a complete validation query to learn the certainty from")
    lowest, highest = float(performance.min()), float(performance.max())
    n_points = chosen.shape[1]
    pairs = [_log_odds(estimates, column, lowest, highest) for column in chosen.T]
    x = np.concatenate([np.column_stack(pair) for pair in pairs])  # (T V, 2)
    got = np.concatenate([performance[np.arange(len(chosen)), column] for column in chosen.T])
    good = got >= np.tile(performance.max(axis=1), n_points) - WITHIN
    design = np.column_stack([np.ones(len(x)), x])
    prior = np.diag([1e-6, RIDGE, RIDGE])
    coefficients = np.zeros(3)
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-design @ coefficients))
        gradient = design.T @ (p - good) / n_points + prior @ coefficients
        curvature = (design.T * (p * (1 - p))) @ design / n_points + prior
        step = np.clip(np.linalg.solve(curvature, gradient), -1.0, 1.0)
        coefficients -= step
        if np.abs(step).max() < 1e-10:
            break
    intercept, own, best = coefficients.tolist()
    return Certainty(intercept, own, best, lowest, highest)


def _log_odds(
    estimates: RealArray, chosen: IntArray, lowest: float, highest: float
) -> tuple[FloatArray, FloatArray]:
    """Of the chosen model's estimate and of the highest, (N,) each."""
    pair = np.empty((2, len(estimates)))
    pair[0] = estimates[np.arange(len(estimates)), chosen]
    pair[1] = estimates.max(axis=1)
    share = (pair - lowest) / ((highest - lowest) or 1.0)
    share = np.minimum(np.maximum(share, MARGIN), 1 - MARGIN)  # np.clip is slower
    odds = np.log(share / (1 - share))
    return odds[0], odds[1]

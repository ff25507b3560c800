"""A check: how likely each of several things is, by logistic regression on what was seen."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray

LARGEST = 30.0
"""exp(-30) is 1e-13."""


@dataclass(frozen=True, eq=False)
class Check:
    """Logistic regressions of A targets in [0, 1] on F features.

    centre, spread (F,): of the features where they are known; weights (F + 1, A), the first row for
    the level. A feature that is not known takes no part: it counts as its mean.
    """

    centre: FloatArray
    spread: FloatArray
    weights: FloatArray

    def apply(self, features: FloatArray) -> FloatArray:
        """Expected targets (n, A) for features (n, F)."""
        return sigmoid(self.standardised(features) @ self.weights)

    def standardised(self, features: FloatArray) -> FloatArray:
        """The features (n, F + 1) that the weights are for, none of them unknown."""
        known = np.nan_to_num((features - self.centre) / self.spread, nan=0.0)
        return np.hstack([np.ones((len(features), 1)), known])


def sigmoid(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -LARGEST, LARGEST))))

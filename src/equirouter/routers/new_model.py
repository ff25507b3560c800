"""How well a new model does, learned from few labelled queries and from the models that are there.

With some dozens of outcomes little can be learned of a model alone. But it is like other models: a
query that is hard for them is hard for it. So its performance is taken for a mixture of what the
router says of the others, each by how likely it makes the outcomes, plus a constant; and for what
that leaves, a linear function of features of the query, as large as the outcomes give evidence for.
The router's shared parts are not touched. How well it does: docs/benchmarks/new-models.md.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, RealArray
from equirouter.errors import DataError
from equirouter.routers.ridge import spectrum
from equirouter.routers.scale import LogisticScale

LEAST_LABELS = 10
RATIOS = np.logspace(-4, 1, 21)
"""Variance of the linear part at a query of mean length, as a share of the noise's."""


class Labelled(NamedTuple):
    """Outcomes of a new model: embeddings (n, d) of queries, and its performance on them (n,).

    unlabelled: embeddings (V, d) of further queries; unlabelled_scores (V, K): what the router
    says of the other models on these, had it not learned from them. scale: makes the router's
    scores into estimates of performance; it counts where the scores only rank.
    """

    embeddings: Float32Array
    performance: FloatArray
    unlabelled: Float32Array
    unlabelled_scores: Float32Array
    scale: LogisticScale | None


@dataclass(frozen=True, eq=False)
class LinearEstimate:
    """predictions @ weights + features @ coef + level.

    weights (K,): how far it follows each of the other models. coef (F,), level: of its own.
    """

    weights: FloatArray
    coef: FloatArray
    level: float

    def of(self, predictions: RealArray, features: RealArray) -> FloatArray:
        """Estimates (N,) from those of the other models (N, K) and from features (N, F)."""
        return np.asarray(predictions @ self.weights + features @ self.coef + self.level)

    def row(self, coef: RealArray, level: RealArray) -> tuple[FloatArray, float]:
        """As coefficients (F,) and a level, where the others have coef (K, F) and level (K,).

        Their predictions are features @ coef.T + level.
        """
        return self.weights @ coef + self.coef, float(self.weights @ level) + self.level


def fit_estimate(
    predictions: RealArray, features: RealArray, labels: FloatArray, *, scaled: bool = False
) -> LinearEstimate:
    """From predictions (n, K) of the other models and features (n, F) to labels (n,).

    scaled: whether a model may be like another up to a factor (costs), and not only up to a
    constant (performance). Mixture: weights as if each model's residuals were normal with the
    variance of the smallest (Raftery 1995). Linear part: the ridge penalty with the largest
    evidence (MacKay 1992), and none where it does not lower the leave-one-out error.
    Raises DataError for fewer than LEAST_LABELS labels.
    """
    n = len(labels)
    if n < LEAST_LABELS:
        raise DataError(f"{n} labelled queries: at least {LEAST_LABELS} are needed")
    others, x = (np.asarray(array, dtype=np.float64) for array in (predictions, features))
    slopes = _slopes(others, labels) if scaled else np.ones(others.shape[1])
    weights = slopes * _likelihoods(labels[:, None] - slopes * others, labels, scaled=scaled)
    coef, level = _linear(x, labels - others @ weights)
    return LinearEstimate(weights, coef, level)


def _slopes(predictions: FloatArray, labels: FloatArray) -> FloatArray:
    """(K,): the factor by which each column comes closest to the labels, up to a constant."""
    centred = predictions - predictions.mean(axis=0)
    squares = (centred**2).sum(axis=0)
    moments = centred.T @ (labels - labels.mean())
    return np.asarray(np.where(squares > 0, moments / np.where(squares > 0, squares, 1.0), 0.0))


def _likelihoods(residuals: FloatArray, labels: FloatArray, *, scaled: bool) -> FloatArray:
    """(K,) shares of the mixture; what is missing to 1 is the share of a constant."""
    n = len(labels)
    learned = 2 if scaled else 1  # numbers that were fitted to these labels
    errors = residuals.var(axis=0) * (n + learned) / (n - learned)
    errors = np.append(errors, labels.var() * (n + 1) / (n - 1))
    least = max(float(errors.min()), np.finfo(float).tiny)
    shares = np.exp(-0.5 * n * np.minimum((errors - errors.min()) / least, 1e6))
    return np.asarray(shares / shares.sum())[:-1]


def _linear(features: FloatArray, labels: FloatArray) -> tuple[FloatArray, float]:
    """Weights (F,) and level of a ridge regression; weights of 0 where it does not help."""
    centre, mean = features.mean(axis=0), float(labels.mean())
    x, y = features - centre, labels - mean
    n, nothing = len(y), (np.zeros(features.shape[1]), mean)
    length = float((x**2).sum(axis=1).mean())
    if length == 0 or not y.any():
        return nothing
    _, axes, values, back = spectrum(x / np.sqrt(length))
    turned = axes.T @ y  # (m,), along the axes; the rest of y is noise whatever the ratio
    rest = max(float(y @ y - turned @ turned), 0.0)
    gain = 1.0 + np.multiply.outer(RATIOS, values)  # (R, m)
    noise = np.maximum((turned**2 / gain).sum(axis=1) + rest, np.finfo(float).tiny)
    best = int((n * np.log(noise) + np.log(gain).sum(axis=1)).argmin())
    shrunk = 1.0 - 1.0 / gain[best]
    leverage = (axes**2) @ shrunk + 1.0 / n
    missed = (y - axes @ (shrunk * turned)) / np.maximum(1.0 - leverage, 1e-9)
    if (missed**2).mean() >= ((y * n / (n - 1)) ** 2).mean():
        return nothing
    coef = back @ (shrunk * turned) / np.sqrt(length)
    return coef, mean - float(centre @ coef)

"""FactorRouter: a few factors of the query, each with a loading per model, in closed form."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from pydantic import PositiveInt

from equirouter.arrays import Float32Array, FloatArray
from equirouter.routers.base import CheckedRouter, Training
from equirouter.routers.joining import Estimate, Labelled, fit_estimate

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["FactorRouter"]

PENALTIES = np.logspace(0, 4, 13)
"""Embeddings have length 1: from as many queries as it takes to learn a little, to hardly ever."""

SMALLEST = 1e-9  # of the largest eigenvalue: below it a direction is rounding
MOST_PASSES = 50
SETTLED = 1e-4  # mean change of an estimate between two passes


@dataclass(kw_only=True, eq=False)
class FactorRouter(CheckedRouter):
    """Performance of each model: its mean, plus loadings of the model times factors of the query.

    The factors are the principal components of the outcomes: what all models share (how hard a
    query is) comes first, then what sets models apart. Each is predicted from the embedding by
    ridge regression with a penalty of its own, the one under which the training outcomes are most
    likely (the evidence), so a factor that the embedding says nothing about is shrunk to 0, and
    models that differ by chance alone are not told apart. So this is EquiRouter's family (a trunk
    for the query, an embedding per model, a head that all share) with a linear trunk and an inner
    product for a head.

    Cells that are not known take no part: the estimates in their place are made again until they
    settle, which is where the known cells alone are fitted best (expectation maximisation).
    Source: Breiman and Friedman 1997 (shrinking rotated outcomes); MacKay 1992 (evidence).
    """

    model_axes = MappingProxyType({"models_": 0, "level_": 0})

    scores_are = "expected_performance"

    max_factors: PositiveInt = 32
    """How many factors are kept at most, those of the largest variance."""

    def _learn(self, training: Training) -> None:
        """Solve for factors and loadings."""
        embeddings, performance, _ = training.outcomes
        centre = embeddings.mean(axis=0, dtype=np.float64)
        x = embeddings - centre
        values, vectors = np.linalg.eigh(x.T @ x)
        kept = values > SMALLEST * max(values[-1], SMALLEST)
        basis = vectors[:, kept] / np.sqrt(
            values[kept]
        )  # (d, m): x @ basis has orthonormal columns
        known = np.isfinite(performance)
        estimate = np.broadcast_to(np.nanmean(performance, axis=0), performance.shape)
        for _ in range(1 if known.all() else MOST_PASSES):
            filled = np.where(known, performance, estimate)
            noise = np.nanmean((performance - estimate) ** 2, axis=0) * (~known).sum(axis=0)
            factors = _solve(x, basis, values[kept], filled, noise, self.max_factors)
            before, estimate = estimate, x @ factors.trunk.T @ factors.models.T + factors.level
            if np.abs(estimate - before).mean() < SETTLED:
                break
        self.trunk_ = factors.trunk.astype(np.float32)  # (r, d)
        self.models_ = factors.models.astype(np.float32)  # (K, r)
        self.level_ = (factors.level - factors.models @ (factors.trunk @ centre)).astype(np.float32)

    def with_added(self, labelled: Labelled) -> tuple[Self, Estimate, FloatArray]:
        """One more model: loadings on the factors, and a factor of its own if it has one."""
        queries, others = labelled.embeddings, labelled.unlabelled
        estimate = fit_estimate(self.predict(queries), queries, labelled.performance)
        made = self._appended(
            {
                "models_": estimate.weights @ self.models_,
                "level_": float(estimate.weights @ self.level_) + estimate.level,
            }
        )
        if estimate.coef.any():
            own = np.zeros((len(made.models_), 1), dtype=np.float32)
            own[-1] = 1.0
            made.models_ = np.hstack([made.models_, own])
            made.trunk_ = np.vstack([made.trunk_, estimate.coef.astype(np.float32)])
        return made, estimate, estimate.of(self.predict(others), others)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K)."""
        factors = embeddings @ self.trunk_.T  # (N, r)
        return np.asarray(factors @ self.models_.T + self.level_, dtype=np.float32)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """Add the two products."""
        none = np.zeros(len(self.trunk_))
        factors = graph.affine("router.trunk", embeddings, self.trunk_, none)
        return graph.affine("router.models", factors, self.models_, self.level_)


class _Factors(NamedTuple):
    trunk: FloatArray  # (r, d)
    models: FloatArray  # (K, r)
    level: FloatArray  # (K,): at the mean embedding


def _solve(
    x: FloatArray,
    basis: FloatArray,
    values: FloatArray,
    filled: FloatArray,
    noise: FloatArray,
    most: int,
) -> _Factors:
    """Factors of outcomes (n, K) without a gap.

    noise (K,): the squares that the estimates in the gaps lack, as outcomes scatter about them.
    """
    level = filled.mean(axis=0)
    outcomes = filled - level
    spread, rotation = np.linalg.eigh(outcomes.T @ outcomes)
    models = rotation[:, ::-1][:, :most]  # (K, r), the largest variance first
    moments = basis.T @ (x.T @ outcomes) @ models  # (m, r)
    squares = spread[::-1][:most] + (models**2).T @ noise
    penalty = _most_likely(moments, squares, values, len(x))
    shrunk = moments * (values[:, None] / (values[:, None] + penalty))
    return _Factors((basis @ shrunk).T, models, level)


def _most_likely(
    moments: FloatArray, squares: FloatArray, values: FloatArray, n: int
) -> FloatArray:
    """The penalty (r,) of PENALTIES with the largest evidence for each component.

    A component y is taken for x w plus noise, with normal weights whose variance is the noise's
    over the penalty. moments (m, r): of y along the orthonormal directions of x, whose squared
    lengths are `values` (m,); squares (r,): of y; n: queries.
    """
    rest = np.maximum(squares - (moments**2).sum(axis=0), 0.0)
    losses = []
    for penalty in PENALTIES:
        gain = 1.0 + values / penalty
        left = (moments**2 / gain[:, None]).sum(axis=0) + rest
        losses.append(n * np.log(np.maximum(left, np.finfo(float).tiny)) + np.log(gain).sum())
    return np.asarray(PENALTIES[np.argmin(losses, axis=0)])

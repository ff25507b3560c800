"""KNNRouter: a model is as good as it was on the nearest training queries (paper, App. A.2)."""

from typing import Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.routers.base import Router, ScoresAre, Validation, check_training

__all__ = ["KNNRouter"]

BLOCK_ROWS = 1024  # similarities of a block with all training queries are held at once


class KNNRouter(Router):
    """Mean performance over the k nearest training queries by cosine similarity, unweighted.

    k: number of neighbours; fewer training queries than k are all neighbours. A model without a
    known outcome among the neighbours gets its mean over the training part. Source: Stripelis et
    al. 2024; k = 50 in the paper, App. A.2.
    """

    def __init__(self, *, k: int = 50) -> None:
        self.k = k

    @property
    def scores_are(self) -> ScoresAre:
        """Means of observed performance."""
        return "expected_performance"

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,  # noqa: ARG002  # nothing to stop early
        rng: np.random.Generator,  # noqa: ARG002  # nothing random
    ) -> Self:
        """Keep the training queries."""
        if self.k < 1:
            raise ConfigError(f"k is {self.k}: at least one neighbour is needed")
        check_training(embeddings, performance, cost_usd)
        self.embeddings_ = _unit(embeddings)
        self.performance_ = performance.astype(np.float32)
        self.mean_performance_ = np.nanmean(performance, axis=0).astype(np.float32)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Mean performance (N, K) of the neighbours."""
        queries = _unit(embeddings)
        known = np.isfinite(self.performance_)
        values = np.where(known, self.performance_, 0.0)
        k = min(self.k, len(self.embeddings_))
        out = np.empty((len(queries), values.shape[1]), dtype=np.float32)
        for start in range(0, len(queries), BLOCK_ROWS):
            similarity = queries[start : start + BLOCK_ROWS] @ self.embeddings_.T
            nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
            count = known[nearest].sum(axis=1)
            total = values[nearest].sum(axis=1)
            mean = total / np.maximum(count, 1)
            out[start : start + BLOCK_ROWS] = np.where(count > 0, mean, self.mean_performance_)
        return out


def _unit(embeddings: Float32Array) -> Float32Array:
    """Rows scaled to length 1, so that a dot product is the cosine; a zero row stays zero."""
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))

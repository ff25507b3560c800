"""Small made-up problems that several tests use."""

from typing import NamedTuple

import numpy as np

from equirouter.arrays import Float32Array, FloatArray

__all__ = ["Toy", "make_toy"]


class Toy(NamedTuple):
    """Embeddings (N, d) of unit norm, performance and cost (N, K)."""

    embeddings: Float32Array
    performance: FloatArray
    cost_usd: FloatArray


def make_toy(n: int = 240, d: int = 6, k: int = 3, seed: int = 0, missing: float = 0.1) -> Toy:
    """A problem that can be learned: model j is right where the query leans its way.

    Model k - 1 is dearest. A share of the cells is missing, but no column is empty.
    """
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((n, d)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    directions = rng.standard_normal((d, k))
    performance = (embeddings @ directions + rng.normal(0, 0.2, (n, k)) > 0).astype(np.float64)
    cost_usd = np.arange(1, k + 1) * 1e-3 * (1 + 0.3 * embeddings[:, :1])
    hidden = rng.random((n, k)) < missing
    hidden[0] = False
    performance[hidden] = np.nan
    return Toy(embeddings, performance, np.where(hidden, np.nan, cost_usd))

"""Small made-up problems to fit on."""

from typing import NamedTuple

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.routers import DescriptionRouter, Router, Validation


class Toy(NamedTuple):
    """Embeddings (N, d) of unit norm, performance and cost_usd (N, K), NaN = not known."""

    embeddings: Float32Array
    performance: FloatArray
    cost_usd: FloatArray

    def first(self, n: int) -> "Toy":
        """Its first n queries."""
        return self._rows(slice(n))

    def after(self, n: int) -> "Toy":
        """All but its first n queries."""
        return self._rows(slice(n, None))

    def _rows(self, rows: slice) -> "Toy":
        return Toy(self.embeddings[rows], self.performance[rows], self.cost_usd[rows])


def make_toy(n: int = 240, d: int = 6, k: int = 3, seed: int = 0, missing: float = 0.1) -> Toy:
    """A problem that can be learned: model j is right where the query leans its way.

    Model k - 1 is the most expensive. A share of the cells is missing, but no column is empty.
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


def make_descriptions(k: int = 3, d: int = 6) -> Float32Array:
    """Made-up embeddings of the descriptions of k models, (k, d) unit rows."""
    rows = np.random.default_rng(9).standard_normal((k, d)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def fit_described(
    router: Router,
    toy: Toy,
    descriptions: Float32Array | None = None,
    *,
    validation: Validation | None = None,
    rng: np.random.Generator | None = None,
) -> Router:
    """Fit a router, with descriptions (K, d) if it reads them; made-up ones if none are given."""
    rng = np.random.default_rng(0) if rng is None else rng
    if not isinstance(router, DescriptionRouter):
        return router.fit(*toy, validation=validation, rng=rng)
    if descriptions is None:
        descriptions = make_descriptions(toy.performance.shape[1], toy.embeddings.shape[1])
    return router.fit(*toy, descriptions=descriptions, validation=validation, rng=rng)

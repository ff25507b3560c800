"""Which queries are unlike all that a router was trained on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equirouter.arrays import BoolArray, Float32Array, FloatArray
from equirouter.routers.clusters import kmeans

__all__ = ["Familiarity", "fit_familiarity"]

CENTRES = 64
MOST_QUERIES = 20_000
"""Training queries at most that the centres are computed from: an even sample of more."""

USUAL = 0.99
"""The share of validation queries that are not far: what is marked among queries of the same kind
is 1 in 100, so that a mark means something."""


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Centres of the training queries, and how far from all of them is far.

    centres (M, d). threshold: a Euclidean distance.
    """

    centres: Float32Array
    threshold: float

    def distance(self, embeddings: Float32Array) -> FloatArray:
        """To the nearest centre, (N,). One row at a time: its bits depend on no other row."""
        rows = np.ascontiguousarray(embeddings, dtype=np.float32)
        squares = [(self._lengths - 2 * (self.centres @ row)).min() + row @ row for row in rows]
        return np.sqrt(np.maximum(np.array(squares, dtype=np.float64), 0.0))

    @cached_property
    def _lengths(self) -> Float32Array:
        """Squared lengths of the centres, (M,)."""
        return np.asarray((self.centres * self.centres).sum(axis=1))

    def far(self, embeddings: Float32Array) -> BoolArray:
        """Whether queries (N, d) are farther from the training queries than is usual, (N,)."""
        return np.asarray(self.distance(embeddings) > self.threshold)


def fit_familiarity(
    training: Float32Array, validation: Float32Array, rng: np.random.Generator
) -> Familiarity:
    """From embeddings of the training part (n, d), and of the validation part for the threshold.

    Needs the extra `train`.
    """
    step = -(-len(training) // MOST_QUERIES)
    centres, _ = kmeans(training[::step], CENTRES, n_init=1, rng=rng)
    distance = Familiarity(centres, np.inf).distance(validation)
    return Familiarity(centres, float(np.quantile(distance, USUAL)))

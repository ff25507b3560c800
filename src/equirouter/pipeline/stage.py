"""One stage of a pipeline: from the text of a query to scores and predicted costs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray
from equirouter.cost import CostPredictor
from equirouter.encoders.base import Encoder
from equirouter.errors import ConfigError
from equirouter.pipeline.scorer import Scorer
from equirouter.policy import Certainty
from equirouter.policy.base import PricedBy
from equirouter.routers.base import Router, ScoresAre
from equirouter.routers.scale import LogisticScale

FAR_SHARE = 0.01
"""The share of validation queries that are far: what is marked among queries of the same kind is 1
in 100, so that a mark means something."""


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Centres of the training queries, and how far from all of them is far.

    centres (M, d). threshold: a Euclidean distance.
    """

    centres: Float32Array
    threshold: float

    def distance(self, embeddings: Float32Array) -> FloatArray:
        """To the nearest centre, (N,). Each row is a product of its own: no other changes it."""
        rows = np.ascontiguousarray(embeddings, dtype=np.float32)
        if len(rows) == 1:
            return np.array([self._distance_of(rows[0])])
        products = np.matmul(self.centres, rows[:, :, None])[:, :, 0]  # (N, M)
        lengths = np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0]
        away = (self._lengths - 2 * products).min(axis=1) + lengths
        distance: FloatArray = np.sqrt(np.maximum(away.astype(np.float64), 0.0))
        return distance

    def is_far(self, embedding: Float32Array) -> bool:
        """As `far` says of one query (d,)."""
        return self._distance_of(np.asarray(embedding, dtype=np.float32)) > self.threshold

    def _distance_of(self, row: Float32Array) -> float:
        nearest = np.minimum.reduce(self._lengths - 2 * np.dot(self.centres, row))
        return math.sqrt(max(float(nearest + np.dot(row, row)), 0.0))

    @cached_property
    def _lengths(self) -> Float32Array:
        """Squared lengths of the centres, (M,)."""
        return np.asarray((self.centres * self.centres).sum(axis=1))

    def far(self, embeddings: Float32Array) -> BoolArray:
        """Whether queries (N, d) are farther from the training queries than is usual, (N,)."""
        return np.asarray(self.distance(embeddings) > self.threshold)


@dataclass(frozen=True, eq=False)
class Stage:
    """An encoder, and the router and cost model that were fitted on its embeddings."""

    encoder: Encoder
    router: Router
    router_name: str
    """As registered."""
    cost_model: CostPredictor
    scale: LogisticScale | None
    """Makes scores into calibrated estimates of performance; None where they are taken as such."""
    scorer: Scorer
    """Router and cost model made ready to run, once."""
    certainty: Certainty | None
    """How sure a choice is; None where that is not known."""
    familiar: Familiarity
    """Which queries are unlike the training queries."""
    collapse: Router | None = None
    """Predicts 1 - collapse score, for a policy that is priced by it; None under any other."""

    def look(self, queries: Sequence[str], images: Sequence[str | None] | None = None) -> "Seen":
        """Encode and score N queries, and their images if there are any. Errors: Encoder.encode."""
        embeddings = self.encoder.encode(queries, images)
        return Seen(self, embeddings, *self.scorer(embeddings))

    def look_at(self, embeddings: Float32Array) -> "Seen":
        """Score queries that were encoded before, (N, d)."""
        return Seen(self, embeddings, *self.scorer(embeddings))

    def each(self, embeddings: Float32Array, use: "Callable[[slice, Seen], None]") -> None:
        """Score embeddings (N, d), however many, block by block: see Scorer.each."""

        def use_block(rows: slice, scores: Float32Array, costs: Float32Array) -> None:
            use(rows, Seen(self, np.asarray(embeddings[rows]), scores, costs))

        self.scorer.each(embeddings, use_block)


@dataclass(eq=False)
class Seen:
    """N queries as a stage reads them: raw scores and predicted costs in USD, (N, K) each."""

    stage: Stage
    embeddings: Float32Array
    scores: Float32Array
    costs: Float32Array
    _estimates: Float32Array | None = field(default=None, init=False)

    @property
    def estimates(self) -> Float32Array:
        """Calibrated estimates of performance (N, K)."""
        if self._estimates is None:  # cached_property takes a lock in Python 3.11
            scale, scores = self.stage.scale, self.scores
            self._estimates = scores if scale is None else scale.apply(scores).astype(np.float32)
        return self._estimates

    @cached_property
    def far(self) -> BoolArray:
        """Which queries are unlike the training queries, (N,)."""
        return self.stage.familiar.far(self.embeddings)

    def scores_for(self, needs: ScoresAre) -> Float32Array:
        """Scores (N, K) as a policy needs them."""
        return self.estimates if needs == "expected_performance" else self.scores

    def prices_for(self, priced_by: PricedBy) -> Float32Array:
        """Predicted costs or collapse scores (N, K), see Policy.priced_by."""
        return self.costs if priced_by == "cost" else self._collapse

    @cached_property
    def _collapse(self) -> Float32Array:
        router = self.stage.collapse
        if router is None:
            raise ConfigError(
                "the pipeline predicts no collapse scores: train it with --policy less-collapse"
            )
        return np.asarray(np.float32(1.0) - router.predict(self.embeddings))

    def take(self, rows: IntArray) -> "Seen":
        """These queries only."""
        return Seen(self.stage, self.embeddings[rows], self.scores[rows], self.costs[rows])

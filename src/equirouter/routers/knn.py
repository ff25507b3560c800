"""KNNRouter: a model is as good as it was on the nearest training queries (paper, App. A.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import DataError, PipelineError
from equirouter.routers.base import CheckedRouter, Training
from equirouter.routers.neighbours import BLOCK_BYTES, InvertedFile, nearest, unit_copy, unit_rows
from equirouter.routers.new_model import Labelled, LinearEstimate, fit_estimate

EXACT_UP_TO = 50_000
"""Training queries up to which index="auto" compares with all (docs/benchmarks/scale.md)."""


@dataclass(kw_only=True, eq=False)
class KNNRouter(CheckedRouter):
    """Mean performance over the k nearest training queries by cosine similarity, unweighted.

    A model without a known outcome among the neighbours gets its mean over the training part.
    Source: Stripelis et al. 2024; k = 50 in the paper, App. A.2.
    """

    model_axes = MappingProxyType({"performance_": 1, "mean_performance_": 0})

    scores_are = "expected_performance"

    k: PositiveInt = 50
    """Number of neighbours; fewer training queries than this are all neighbours."""

    index: Literal["auto", "exact", "faiss"] = "auto"
    """exact compares a query with every training query, faiss with some groups of them that hold
    99 % of its neighbours; auto is faiss beyond 50,000 training queries. Only fit needs faiss."""

    def _learn(self, training: Training) -> None:
        """Keep the training queries; group them for an index, which is what rng is for.

        Raises MissingExtraError for an index without faiss: the result does not depend on which
        packages happen to be installed.
        """
        embeddings, performance, _ = training.outcomes
        n = len(embeddings)
        self.mean_performance_ = np.nanmean(performance, axis=0).astype(np.float32)
        self.performance_ = performance.astype(np.float32)
        self.index_: dict[str, NDArray[Any]] = {}
        if self.index == "faiss" or (self.index == "auto" and n > EXACT_UP_TO):
            made = InvertedFile.build(embeddings, min(self.k, n), training.rng)
            self.embeddings_ = made.points
            self.performance_ = self.performance_[made.numbers]
            self.index_ = made.state()
        else:
            self.embeddings_ = unit_copy(embeddings)

    def with_added(self, labelled: Labelled) -> tuple[Self, LinearEstimate, FloatArray]:
        """One more model: an outcome for every training query, as it is estimated there.

        Where an outcome of another model is not known, that model's mean stands for it.
        """
        queries, others = unit_rows(labelled.embeddings), unit_rows(labelled.unlabelled)
        estimate = fit_estimate(self.predict(queries), queries, labelled.performance)
        known = np.where(np.isfinite(self.performance_), self.performance_, self.mean_performance_)
        column = estimate.of(known, self.embeddings_)
        made = self._appended({"performance_": column, "mean_performance_": column.mean()})
        return made, estimate, made.predict(others)[:, -1].astype(np.float64)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Mean performance (N, K) of the neighbours; a query's does not depend on the others.

        Raises DataError for an embedding that is not finite or has another length than in training.
        """
        n, width = self.embeddings_.shape
        n_models = self.performance_.shape[1]
        k = min(self.k, n)
        if embeddings.ndim != 2 or embeddings.shape[1] != width:
            raise DataError(f"embeddings {embeddings.shape}: the router was fitted on (N, {width})")
        out = np.empty((len(embeddings), n_models), dtype=np.float32)
        similarities = 9 * (int(self.index_["probes"][0]) * 2 * k if self.index_ else n)
        block = max(1, BLOCK_BYTES // max(similarities, 13 * k * n_models))
        for start in range(0, len(embeddings), block):
            queries = unit_rows(embeddings[start : start + block])
            if not np.isfinite(queries).all():
                row = start + int(np.argmin(np.isfinite(queries).all(axis=1)))
                raise DataError(f"the embedding of query {row} is not finite")
            if self.index_:
                neighbours = self._inverted_file().search(queries, k)
            else:
                neighbours = nearest(queries, self.embeddings_, k)
            out[start : start + block] = self._means(neighbours)
        return out

    def _means(self, neighbours: IntArray) -> Float32Array:
        """(B, K) means of the known outcomes of the neighbours (B, k), added up in their order."""
        outcomes = self.performance_[neighbours]  # (B, k, K)
        known = np.isfinite(outcomes)
        count = known.sum(axis=1)
        total = np.where(known, outcomes, np.float32(0)).sum(axis=1)
        mean = total / np.maximum(count, 1)
        return np.asarray(np.where(count > 0, mean, self.mean_performance_), dtype=np.float32)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave. Raises PipelineError for arrays that do not fit together."""
        self.index_ = {}
        super().restore(state)
        if len(self.performance_) != len(self.embeddings_):
            raise PipelineError(
                f"knn has {len(self.embeddings_)} embeddings and {len(self.performance_)} outcomes"
            )
        if self.index_:
            self._inverted_file().check()
        return self

    def _inverted_file(self) -> InvertedFile:
        try:
            return InvertedFile(self.embeddings_, **self.index_)
        except TypeError as error:
            raise PipelineError(f"the index of knn has other arrays: {[*self.index_]}") from error

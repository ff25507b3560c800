"""AvengersProRouter: a model is as good as it was in the query's cluster (paper, App. A.2)."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
from pydantic import NonNegativeFloat, PositiveInt

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import CheckedRouter, ScoresAre, Training
from equirouter.routers.neighbours import kmeans
from equirouter.routers.networks.forward import product
from equirouter.routers.new_model import Labelled, LinearEstimate, fit_estimate
from equirouter.routers.settings import Iterations


@dataclass(kw_only=True, eq=False)
class AvengersProRouter(CheckedRouter):
    """KMeans on the training queries; a query is scored by the clusters nearest to it.

    A model without a known outcome in a cluster has its mean over the training part there.

    Presets: `default` is the paper's variant (App. A.2): the mean performance in the nearest of 200
    clusters by Euclidean distance. `original` is AvengersPro (Zhang et al. 2025): reciprocal ranks
    in the 3 nearest of 25 clusters by 1 - query . centroid, with sharpness 9. There the rank weighs
    performance against cost; here it is by performance alone, as the policy weighs the cost.
    """

    fitted_with = ("sklearn",)
    presets = MappingProxyType(
        {
            "default": {},
            "original": {
                "n_clusters": 25,
                "n_nearest": 3,
                "sharpness": 9.0,
                "value": "reciprocal_rank",
                "n_init": 10,
                "max_iter": 300,
                "algorithm": "lloyd",
            },
        }
    )

    model_axes = MappingProxyType({"values_": 1})

    n_clusters: PositiveInt = 200
    """How many clusters there are at most; never more than distinct training queries."""

    n_nearest: PositiveInt = 1
    """How many clusters score a query, weighted by softmax(-sharpness * distance)."""

    sharpness: NonNegativeFloat = 9.0
    """How fast the weight of a cluster falls with its distance."""

    value: Literal["performance", "reciprocal_rank"] = "performance"
    """Worth of a model in a cluster: its mean performance, or its reciprocal_rank by that, 1 for
    the best, 1/2 for the next, ties to the lower mean cost."""

    n_init: Iterations | Literal["auto"] = "auto"
    """Runs of KMeans, as scikit-learn has them."""

    max_iter: Iterations = 1000
    """Iterations of KMeans, at most."""

    algorithm: Literal["lloyd", "elkan"] = "elkan"
    """Algorithm of KMeans."""

    @property
    def scores_are(self) -> ScoresAre:
        """Means of observed performance, or means of reciprocal ranks."""
        return "expected_performance" if self.value == "performance" else "ranking"

    def _learn(self, training: Training) -> None:
        embeddings, performance, cost_usd = training.outcomes
        self.centroids_, labels = kmeans(
            embeddings,
            self.n_clusters,
            n_init=self.n_init,
            max_iter=self.max_iter,
            algorithm=self.algorithm,
            rng=training.rng,
        )
        values = cluster_means(performance, labels, len(self.centroids_))
        if self.value == "reciprocal_rank":
            values = _reciprocal_rank(values, cluster_means(cost_usd, labels, len(values)))
        self.values_ = values.astype(np.float32)  # (C, K)

    def with_models(self, columns: IntArray) -> Self:
        """A router of some of the models; ranks are counted anew among those."""
        fewer = super().with_models(columns)
        if self.value == "reciprocal_rank":
            order = np.argsort(-fewer.values_, axis=1, kind="stable")
            fewer.values_ = (1.0 / (np.argsort(order, axis=1) + 1)).astype(np.float32)
        return fewer

    def with_added(self, labelled: Labelled) -> tuple[Self, LinearEstimate, FloatArray]:
        """One more model: a value for every cluster."""
        if self.scores_are == "ranking":
            return super().with_added(labelled)
        queries, others = labelled.embeddings, labelled.unlabelled
        estimate = fit_estimate(self.predict(queries), queries, labelled.performance)
        made = self._appended({"values_": estimate.of(self.values_, self.centroids_)})
        return made, estimate, made.predict(others)[:, -1].astype(np.float64)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Worth of each model in the nearest clusters, (N, K)."""
        queries = np.asarray(embeddings, dtype=np.float32)
        distance = self._distance(queries)
        n_nearest = min(self.n_nearest, len(self.centroids_))
        nearest = np.argpartition(distance, n_nearest - 1, axis=1)[:, :n_nearest]
        closeness = -self.sharpness * np.take_along_axis(distance, nearest, axis=1)
        weight = np.exp(closeness - closeness.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        weighted = weight[:, :, None] * self.values_[nearest]  # (N, n_nearest, K)
        return np.asarray(weighted.sum(axis=1), dtype=np.float32)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str | None:
        """Add a look-up of the nearest cluster; None where several clusters score a query."""
        if min(self.n_nearest, len(self.centroids_)) > 1:
            return None
        # the distance orders centroids as their product with the query less half their squares does
        level = -(self.centroids_ * self.centroids_).sum(axis=1) / 2
        if self.value == "reciprocal_rank":  # there it is the product alone
            level = np.zeros_like(level)
        near = graph.affine("router.near", embeddings, self.centroids_, level)
        place = graph.op("ArgMax", near, axis=1, keepdims=0)
        return graph.op("Gather", graph.const("router.values", self.values_), place, axis=0)

    def _distance(self, queries: Float32Array) -> Float32Array:
        """Distances (N, C) of the queries to the centroids."""
        if self.value == "reciprocal_rank":
            return np.asarray(1 - product(queries, self.centroids_))
        lengths = (self.centroids_ * self.centroids_).sum(axis=1)
        squared = lengths - 2 * (queries @ self.centroids_.T)
        squared += (queries * queries).sum(axis=1, keepdims=True)
        return np.asarray(np.sqrt(np.maximum(squared, 0)))


def _reciprocal_rank(performance: FloatArray, cost_usd: FloatArray) -> FloatArray:
    """1 / rank (C, K) of the models in each cluster: best performance first, then lowest cost."""
    order = np.lexsort((cost_usd, -performance), axis=1)  # the last key sorts first
    rank = np.argsort(order, axis=1) + 1
    return np.asarray(1.0 / rank)


def cluster_means(table: FloatArray, labels: IntArray, n_clusters: int) -> FloatArray:
    """Mean (C, K) over the known cells of table (N, K) in each cluster.

    A model without a known cell in a cluster has its mean over the whole table there.
    """
    known = np.isfinite(table)
    count = np.zeros((n_clusters, table.shape[1]))
    total = np.zeros_like(count)
    np.add.at(count, labels, known)
    np.add.at(total, labels, np.where(known, table, 0.0))
    overall = np.nanmean(table, axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), overall))

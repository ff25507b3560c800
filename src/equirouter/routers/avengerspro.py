"""AvengersProRouter: a model is as good as it was in the query's cluster (paper, App. A.2)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import ConfigError
from equirouter.routers.base import Router, ScoresAre, Validation, check_training
from equirouter.routers.clusters import cluster_means, kmeans, squared_distance
from equirouter.routers.joining import Estimate, Labelled, fit_estimate
from equirouter.routers.networks.forward import product

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["AvengersProRouter"]


class AvengersProRouter(Router):
    """KMeans on the training queries; a query is scored by the clusters nearest to it.

    n_clusters: at most so many, and never more than distinct training queries: with fewer queries
    than clusters each query is a cluster of its own. n_init, max_iter, algorithm: of scikit-learn's
    KMeans. n_nearest: how many clusters score a query, weighted by softmax(-sharpness * distance).
    value: what a cluster says of a model, its mean "performance", or its "reciprocal_rank" by that,
    1 for the best, 1/2 for the next, ties to the lower mean cost. A model without a known outcome
    in a cluster has its mean over the training part there.

    Presets: `default` is the paper's variant (App. A.2): the mean performance in the nearest of 200
    clusters by Euclidean distance. `original` is AvengersPro (Zhang et al. 2025): reciprocal ranks
    in the 3 nearest of 25 clusters by 1 - query . centroid, with sharpness 9. There the rank weighs
    performance against cost; here it is by performance alone, as the policy weighs the cost.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
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

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType({"values_": 1})

    def __init__(
        self,
        *,
        n_clusters: int = 200,
        n_nearest: int = 1,
        sharpness: float = 9.0,
        value: Literal["performance", "reciprocal_rank"] = "performance",
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 1000,
        algorithm: Literal["lloyd", "elkan"] = "elkan",
    ) -> None:
        self.n_clusters = n_clusters
        self.n_nearest = n_nearest
        self.sharpness = sharpness
        self.value = value
        self.n_init = n_init
        self.max_iter = max_iter
        self.algorithm = algorithm

    @property
    def scores_are(self) -> ScoresAre:
        """Means of observed performance, or means of reciprocal ranks."""
        return "expected_performance" if self.value == "performance" else "ranking"

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,  # noqa: ARG002  # nothing to stop early
        rng: np.random.Generator,
    ) -> Self:
        """Cluster the training queries and keep what each cluster says of each model."""
        self._check()
        check_training(embeddings, performance, cost_usd)
        self.centroids_, labels = kmeans(
            embeddings,
            self.n_clusters,
            n_init=self.n_init,
            max_iter=self.max_iter,
            algorithm=self.algorithm,
            rng=rng,
        )
        values = cluster_means(performance, labels, len(self.centroids_))
        if self.value == "reciprocal_rank":
            values = _reciprocal_rank(values, cluster_means(cost_usd, labels, len(values)))
        self.values_ = values.astype(np.float32)  # (C, K)
        return self

    def with_models(self, columns: IntArray) -> Self:
        """See Router.with_models; ranks are counted anew among the models that are left."""
        fewer = super().with_models(columns)
        if self.value == "reciprocal_rank":
            order = np.argsort(-fewer.values_, axis=1, kind="stable")
            fewer.values_ = (1.0 / (np.argsort(order, axis=1) + 1)).astype(np.float32)
        return fewer

    def with_added(self, labelled: Labelled) -> tuple[Self, Estimate, FloatArray]:
        """See Router.with_added: a value for every cluster."""
        if self.scores_are == "ranking":
            return super().with_added(labelled)
        seen, others = labelled.embeddings, labelled.unlabelled
        found = fit_estimate(self.predict(seen), seen, labelled.performance)
        made = self._appended({"values_": found.of(self.values_, self.centroids_)})
        return made, found, made.predict(others)[:, -1].astype(np.float64)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """What the nearest clusters say of each model (N, K)."""
        queries = np.asarray(embeddings, dtype=np.float32)
        distance = self._distance(queries)
        n_nearest = min(self.n_nearest, len(self.centroids_))
        nearest = np.argpartition(distance, n_nearest - 1, axis=1)[:, :n_nearest]
        closeness = -self.sharpness * np.take_along_axis(distance, nearest, axis=1)
        weight = np.exp(closeness - closeness.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        weighted = weight[:, :, None] * self.values_[nearest]  # (N, n_nearest, K)
        return np.asarray(weighted.sum(axis=1), dtype=np.float32)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str | None:
        """The values of the nearest cluster; None where several clusters score a query."""
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
        squared = squared_distance(queries, self.centroids_)
        squared += (queries * queries).sum(axis=1, keepdims=True)
        return np.asarray(np.sqrt(np.maximum(squared, 0)))

    def _check(self) -> None:
        if self.value not in ("performance", "reciprocal_rank"):
            raise ConfigError(f"value {self.value!r}: expected performance or reciprocal_rank")
        if self.n_nearest < 1 or self.sharpness < 0:
            raise ConfigError("n_nearest: expected 1 or more; sharpness: expected 0 or more")


def _reciprocal_rank(performance: FloatArray, cost_usd: FloatArray) -> FloatArray:
    """1 / rank (C, K) of the models in each cluster: best performance first, then lowest cost."""
    order = np.lexsort((cost_usd, -performance), axis=1)  # the last key sorts first
    rank = np.argsort(order, axis=1) + 1
    return np.asarray(1.0 / rank)

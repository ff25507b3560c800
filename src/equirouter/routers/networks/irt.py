"""Item response theory: the abilities of models and the difficulty of queries, read off texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from equirouter.arrays import Float32Array, IntArray
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import DescriptionRouter, Training, check_probabilities
from equirouter.routers.neighbours import BLOCK_BYTES, kmeans, nearest, unit_rows
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import NetworkRouter, Task


@dataclass(kw_only=True, eq=False)
class MIRTRouter(NetworkRouter, DescriptionRouter):
    """Probability sigmoid(alpha . theta_j - b) of a right answer of model j.

    theta_j is linear in the embedding of the model's description, alpha = softplus of a linear map
    of the query's embedding, and the difficulty b is linear in it; no biases. The loss is
    cross-entropy with performance as the probability, so it must lie in [0, 1].

    Presets: `default` is the variant of the paper's authors on the schedule of App. A.2 (30 epochs,
    batch 2048, Adam 1e-3), without the warm-up. Their toolbox steps once per batch and model, here
    a step is for all models; their second network of the same form, for cost, is left out, because
    cost comes from the cost model that all routers share. `original` is MIRT of IRT-Router (Song et
    al. 2025): 9 epochs, warm-up 0.3 with 5 neighbours. Its batches hold 512 pairs of a query and a
    model, which is 25 queries of its 20 models, and so many queries are a batch here. Its trade-off
    with the price per token is left out: that is what a policy does.
    """

    presets = MappingProxyType(
        {
            "default": {},
            "original": {"warm_up": 0.3, "epochs": 9, "batch_size": 25, "patience": None},
        }
    )

    model_axes = MappingProxyType({"weights_.models": 0})
    scores_are = "expected_performance"

    abilities: PositiveInt = 25
    """Length of theta and alpha."""

    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the mean of the nearest training queries in the embedding that is scored; above 0
    the training embeddings are kept."""

    neighbours: PositiveInt = 5
    """How many training queries the warm-up averages."""

    def _task(self, training: Training) -> Task:
        import torch

        from equirouter.routers.fitting import losses, networks

        outcomes, descriptions = training.outcomes, training.descriptions
        check_probabilities(outcomes.performance, router="mirt")
        self.training_: dict[str, NDArray[Any]] = {}
        if self.warm_up > 0:
            self.training_["embeddings"] = unit_rows(outcomes.embeddings)

        def keep(_: object, weights: dict[str, Float32Array]) -> dict[str, Float32Array]:
            weights["models"] = descriptions @ weights.pop("ability.weight").T
            return weights

        return Task(
            lambda: networks.MIRTNet(torch.from_numpy(descriptions), abilities=self.abilities),
            lambda net, batch: losses.cross_entropy(net(batch[0]), batch[1]),
            keep=keep,
        )

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), between 0 and 1."""
        weights = self.weights_
        x = self._warmed(embeddings.astype(np.float32, copy=False))
        # (N, abilities)
        alpha = forward.softplus(forward.product(x, weights["discrimination.weight"]))
        logits = forward.product(alpha, weights["models"])
        return forward.sigmoid(logits - forward.product(x, weights["difficulty.weight"]))

    def _warmed(self, x: Float32Array) -> Float32Array:
        """(N, d), each moved towards the mean of its nearest training queries."""
        if not self.training_:
            return x
        points = self.training_["embeddings"]
        k = min(self.neighbours, len(points))
        out = np.empty_like(x)
        block = max(1, BLOCK_BYTES // (9 * len(points)))
        for start in range(0, len(x), block):
            rows = slice(start, start + block)
            near = points[nearest(unit_rows(x[rows]), points, k)].mean(axis=1)  # (B, d)
            out[rows] = (1 - self.warm_up) * x[rows] + self.warm_up * near
        return out

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave."""
        self.training_ = {}
        return super().restore(state)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str | None:
        """Add the nodes; None with a warm-up, which looks up training queries."""
        if self.training_:
            return None
        weights = self.weights_
        # ONNX Runtime works out a Softplus several numbers at a time, and the last ones otherwise:
        # with abilities of 0 up to a multiple of 16 a row has the same bits wherever it stands
        missing = -len(weights["discrimination.weight"]) % 16
        wide = np.pad(weights["discrimination.weight"], ((0, missing), (0, 0)))
        models = np.pad(weights["models"], ((0, 0), (0, missing)))

        def product(x: str, name: str, weight: Float32Array) -> str:
            return graph.affine(f"router.{name}", x, weight, np.zeros(len(weight)))

        alpha = graph.op("Softplus", product(embeddings, "discrimination", wide))
        difficulty = product(embeddings, "difficulty", weights["difficulty.weight"])
        return graph.op("Sigmoid", graph.op("Sub", product(alpha, "models", models), difficulty))


STEEPEST = np.float32(9.0)  # of the discrimination, as in NIRTNet


@dataclass(kw_only=True, eq=False)
class NIRTRouter(NetworkRouter, DescriptionRouter):
    """Probability of a right answer by the network of NeuralCD, with abilities read from texts.

    A model has abilities theta = sigmoid(affine(description)), a query requires k = sigmoid(affine
    (query)) and discriminates with e = 9 sigmoid(affine(query)). A network with weights that are
    not negative maps e r * (theta - k) to the logit, so more ability never lowers it; r says how
    relevant each ability is to the query. The loss is cross-entropy with performance as the
    probability, so it must lie in [0, 1].

    Presets: `default` is on the schedule of App. A.2 (30 epochs, batch 2048, Adam 1e-3); `original`
    is NIRT of IRT-Router (Song et al. 2025): 5 epochs, batches of 25 queries, which make its 512
    pairs with its 20 models. The network is that of NeuralCD (Wang et al. 2020).

    Deviation, in both: in the sources a language model names the abilities that some queries of
    each cluster need, out of a list of 25, and r is the softmax of those marks. Here no language
    model is asked: an ability belongs to a cluster of training queries (KMeans, `abilities`
    clusters), and r is the query's posterior over the clusters (posterior_layer), which
    needs no softmax, as it sums to 1. Dropout is off in `predict`; the original left it on. Cost
    comes from the cost model that all routers share.
    """

    fitted_with = ("torch", "sklearn")
    presets = MappingProxyType(
        {"default": {}, "original": {"epochs": 5, "batch_size": 25, "patience": None}}
    )

    model_axes = MappingProxyType({"weights_.models": 0})
    scores_are = "expected_performance"

    abilities: PositiveInt = 25
    """How many abilities there are; no more than distinct training queries."""

    hidden: PositiveInt = 512
    """Width of the network."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the hidden units that a training step leaves out."""

    def _task(self, training: Training) -> Task:
        import torch

        from equirouter.routers.fitting import losses, networks

        outcomes, descriptions = training.outcomes, training.descriptions
        check_probabilities(outcomes.performance, router="nirt")
        centroids, labels = kmeans(outcomes.embeddings, self.abilities, rng=training.rng)
        weight, bias = posterior_layer(outcomes.embeddings, centroids, labels)
        self.weights_ = {"cluster.weight": weight, "cluster.bias": bias}
        return Task(
            lambda: networks.NIRTNet(
                torch.from_numpy(descriptions),
                abilities=len(centroids),
                hidden=self.hidden,
                dropout=self.dropout,
            ),
            lambda net, batch: losses.cross_entropy(net(batch[0], batch[2]), batch[1]),
            lambda part: (part.embeddings, part.performance, self._relevance(part.embeddings)),
            keep=lambda _, learned: self._as_used(learned, descriptions),
        )

    def _as_used(
        self, learned: dict[str, Float32Array], descriptions: Float32Array
    ) -> dict[str, Float32Array]:
        """Weights for predict: the models' abilities, and the weights of the monotone network."""
        learned["models"] = forward.sigmoid(forward.linear(learned, "ability", descriptions))
        del learned["ability.weight"], learned["ability.bias"]
        for name in ("hidden.weight", "out.weight"):
            learned[name] = np.abs(learned[name])
        return self.weights_ | learned

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), between 0 and 1."""
        weights, theta = self.weights_, self.weights_["models"]
        x = embeddings.astype(np.float32, copy=False)
        required = forward.sigmoid(forward.linear(weights, "required", x))  # (N, abilities)
        steepness = STEEPEST * forward.sigmoid(forward.linear(weights, "discrimination", x))
        relevant = steepness * self._relevance(x)  # (N, abilities)

        def logit(rows: int | slice, models: int | slice) -> Float32Array:
            gap = relevant[rows] * (theta[models] - required[rows])
            return forward.linear(weights, "out", np.tanh(forward.linear(weights, "hidden", gap)))[
                :, 0
            ]

        return forward.sigmoid(forward.over_pairs(logit, len(x), len(theta)))

    def _relevance(self, x: Float32Array) -> Float32Array:
        """(N, abilities): shares that sum to 1."""
        return forward.softmax(forward.linear(self.weights_, "cluster", x))

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the nodes: (N, d) -> (N, K)."""
        weights, theta = self.weights_, self.weights_["models"]
        affine = partial(forward.add_linear, graph, weights)
        required = graph.op("Sigmoid", affine("required", embeddings))
        steepness = graph.op("Sigmoid", affine("discrimination", embeddings))
        relevance = graph.op("Softmax", affine("cluster", embeddings), axis=-1)
        steepest = graph.op("Mul", steepness, graph.const("router.steepest", STEEPEST))
        relevant = graph.op("Mul", relevance, steepest)  # (N, abilities)
        axis = graph.const("axis_1", np.array([1]))
        spread = graph.op("Unsqueeze", required, axis)  # (N, 1, abilities)
        gap = graph.op("Sub", graph.const("router.models", theta), spread)  # (N, K, abilities)
        weighted = graph.op("Mul", gap, graph.op("Unsqueeze", relevant, axis))
        pairs = graph.rows(weighted, theta.shape[1])  # (N K, abilities)
        logits = affine("out", graph.op("Tanh", affine("hidden", pairs)))
        return graph.op("Sigmoid", graph.rows(logits, len(theta)))


def posterior_layer(
    rows: Float32Array, centroids: Float32Array, labels: IntArray
) -> tuple[Float32Array, Float32Array]:
    """Weight (C, d) and bias (C,) of p(cluster | row) = softmax(row @ weight.T + bias).

    The clusters are taken for round Gaussians of one variance, that of the rows (N, d) around their
    own centroids (C, d); each is as likely beforehand as its share of the rows.
    """
    spread = rows.astype(np.float64) - centroids[labels]
    variance = max(float(np.mean(spread * spread)), 1e-8)  # a row may be its own centroid
    share = np.bincount(labels, minlength=len(centroids)) / len(rows)
    centres = centroids.astype(np.float64)
    bias = np.log(share) - (centres * centres).sum(axis=1) / (2 * variance)
    return (centres / variance).astype(np.float32), bias.astype(np.float32)

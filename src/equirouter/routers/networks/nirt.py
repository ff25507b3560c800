"""NIRTRouter: a monotone network on what a model can do less what a query requires."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.extras import require
from equirouter.routers.base import (
    DescriptionRouter,
    ScoresAre,
    Validation,
    check_descriptions,
    check_probabilities,
    check_training,
)
from equirouter.routers.clusters import kmeans, posterior_layer
from equirouter.routers.networks import forward

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["NIRTRouter"]

STEEPEST = np.float32(9.0)  # of the discrimination, as in NIRTNet


class NIRTRouter(DescriptionRouter):
    """Probability of a right answer by the network of NeuralCD, with abilities read off texts.

    A model has abilities theta = sigmoid(affine(description)), a query requires k = sigmoid(affine
    (query)) and discriminates with e = 9 sigmoid(affine(query)). A network with weights that are
    not negative maps e r * (theta - k) to the logit, so more ability never lowers it; r says how
    relevant each ability is to the query. abilities: their number. hidden: width of the network.
    dropout: in training only. batch_size: in queries, at most a sixth of the training part
    (loop.enough_steps). The loss is cross-entropy with performance as the probability, so it
    must lie in [0, 1]. The rest as in loop.Schedule.

    Presets: `default` is on the schedule of App. A.2 (30 epochs, batch 2048, Adam 1e-3); `original`
    is NIRT of IRT-Router (Song et al. 2025): 5 epochs, batches of 25 queries, which make its 512
    pairs with its 20 models. The network is that of NeuralCD (Wang et al. 2020).

    Deviation, in both: in the sources a language model names the abilities that some queries of
    each cluster need, out of a list of 25, and r is the softmax of those marks. Here no language
    model is asked: an ability belongs to a cluster of training queries (KMeans, `abilities`
    clusters), and r is the query's posterior over the clusters (clusters.posterior_layer), which
    needs no softmax, as it sums to 1. Dropout is off in `predict`; the original left it on. Cost
    comes from the cost model that all routers share.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"default": {}, "original": {"epochs": 5, "batch_size": 25}}
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType({"weights_.models": 0})

    def __init__(
        self,
        *,
        abilities: int = 25,
        hidden: int = 512,
        dropout: float = 0.5,
        epochs: int = 30,
        batch_size: int = 2048,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.abilities = abilities
        self.hidden = hidden
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.device = device

    @property
    def scores_are(self) -> ScoresAre:
        """Probabilities of a right answer."""
        return "expected_performance"

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        descriptions: Float32Array | None = None,
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Cluster the training queries, then train on the known cells of performance.

        Fewer distinct queries than `abilities` make as many abilities as there are queries.
        """
        if self.abilities < 1 or self.hidden < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"abilities={self.abilities}, hidden={self.hidden}, dropout={self.dropout}: "
                "expected 1 or more, 1 or more, and 0 to below 1"
            )
        n, width, n_models = check_training(embeddings, performance, cost_usd)
        described = check_descriptions(descriptions, width, n_models, router="nirt")
        check_probabilities(performance, router="nirt")
        torch = require("torch", extra="train", purpose="train a router")
        from equirouter.routers.fitting import irt_nets, loop, losses

        schedule = loop.Schedule(
            self.epochs,
            loop.enough_steps(self.batch_size, n),
            self.learning_rate,
            self.weight_decay,
            self.patience,
        )
        centroids, labels = kmeans(embeddings, self.abilities, rng=rng)
        weight, bias = posterior_layer(embeddings, centroids, labels)
        self.weights_ = {"cluster.weight": weight, "cluster.bias": bias}
        held_out = None
        if validation is not None:
            x = validation.embeddings
            held_out = (x, validation.performance, self._relevance(x))
        with loop.seeded(rng):
            network = irt_nets.NIRTNet(
                torch.from_numpy(described),
                abilities=len(centroids),
                hidden=self.hidden,
                dropout=self.dropout,
            )
            loop.train(
                network,
                lambda net, batch: losses.cross_entropy(net(batch[0], batch[2]), batch[1]),
                (embeddings, performance, self._relevance(embeddings)),
                schedule,
                device=self.device,
                validation=held_out,
            )
        self._keep(loop.weights_of(network), described)
        return self

    def _keep(self, learned: dict[str, Float32Array], described: Float32Array) -> None:
        """What predict needs: the models' abilities, and the weights as they are used."""
        learned["models"] = forward.sigmoid(forward.linear(learned, "ability", described))
        del learned["ability.weight"], learned["ability.bias"]
        for name in ("hidden.weight", "out.weight"):
            learned[name] = np.abs(learned[name])
        self.weights_ |= learned

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

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The same as ONNX nodes: (N, d) -> (N, K)."""
        weights, theta = self.weights_, self.weights_["models"]

        def affine(name: str, x: str) -> str:
            return graph.affine(
                f"router.{name}", x, weights[f"{name}.weight"], weights[f"{name}.bias"]
            )

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

"""GraphRouter: queries and models as nodes of a graph, an outcome as an edge between them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.extras import require
from equirouter.routers.base import (
    DescriptionRouter,
    ScoresAre,
    Validation,
    check_descriptions,
    check_training,
)
from equirouter.routers.networks import forward
from equirouter.routers.networks.stargraph import add_star, star_scores

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["GraphRouter"]

PAIRS_AT_ONCE = 2**16
"""Pairs of query and model in a batch of stars, at most: 64 MB for each layer of 256."""

SAME_UTILITY = 1e-8  # utilities that differ by less are the same, as in LLMRouterBench


class GraphRouter(DescriptionRouter):
    """Message passing between a query and the models, known by their descriptions.

    graph: "star" is a graph per query, of the query and the K models (stargraph.py); it predicts
    performance with a squared error. "whole" is one graph of all training queries and models, whose
    edges carry utility, cost and performance; half of the edges predict the others, with cross-
    entropy, which model has the highest utility, performance_weight * performance - cost_weight *
    cost, the cost scaled to 0 to 1 over the training part; its scores only rank. width: of every
    layer. batch_size: in queries, None takes them all; a batch of stars has at most a sixth of the
    training part (loop.enough_steps) and PAIRS_AT_ONCE pairs of a query and a model. masks,
    visible (whole): how many choices of visible edges a step averages, and with what probability an
    edge is visible. The rest as in loop.Schedule; patience is for stars only.

    Presets: `default` is the form of the paper's authors, on the schedule of App. A.2 (30 epochs,
    batch 2048, Adam 1e-3): a star, two layers of 256. Theirs predicts cost at the same edge; here
    cost comes from the cost model that all routers share.
    `original` is GraphRouter (Feng et al. 2025) without tasks, as a table has no description of a
    task: a query's vector is all from its text. The other settings are its own: width 16, 32 masks,
    1000 epochs over the whole graph, learning rate 3e-4, weight decay 1e-4, and of its three
    weightings the one for performance. Where utilities tie, each of the best is labelled, as in
    LLMRouterBench's copy; weight decay is Adam's, not AdamW's; and the last epoch's weights are
    kept, not those with the best F1 on validation data. As in the original, training sees half of
    the edges and prediction all of them.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "original": {
                "graph": "whole",
                "width": 16,
                "epochs": 1000,
                "batch_size": None,
                "learning_rate": 3e-4,
                "weight_decay": 1e-4,
            },
        }
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType({"weights_.models": 0})

    def __init__(
        self,
        *,
        graph: Literal["star", "whole"] = "star",
        width: int = 256,
        masks: int = 32,
        visible: float = 0.5,
        performance_weight: float = 1.0,
        cost_weight: float = 0.0,
        epochs: int = 30,
        batch_size: int | None = 2048,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.graph = graph
        self.width = width
        self.masks = masks
        self.visible = visible
        self.performance_weight = performance_weight
        self.cost_weight = cost_weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.device = device

    @property
    def scores_are(self) -> ScoresAre:
        """Of stars estimates of performance; of the whole graph, how likely a model is the best."""
        return "expected_performance" if self.graph == "star" else "ranking"

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
        """Train on the known cells; of stars, validation stops early if patience is set."""
        self._check()
        _, width, n_models = check_training(embeddings, performance, cost_usd)
        described = check_descriptions(descriptions, width, n_models, router="graphrouter")
        require("torch", extra="train", purpose="train a router")
        if self.graph == "star":
            held_out = None
            if validation is not None:
                held_out = (validation.embeddings, validation.performance)
            self.weights_ = self._fit_star(embeddings, performance, described, held_out, rng)
        else:
            self.weights_ = self._fit_whole(embeddings, performance, cost_usd, described, rng)
        return self

    def _check(self) -> None:
        if self.graph not in ("star", "whole"):
            raise ConfigError(f"graph is {self.graph!r}: expected 'star' or 'whole'")
        if self.width < 1 or self.masks < 1 or not 0 < self.visible < 1:
            raise ConfigError(
                f"width={self.width}, masks={self.masks}, visible={self.visible}: expected 1 or "
                "more, 1 or more, and between 0 and 1"
            )
        if self.graph == "whole" and self.patience is not None:
            raise ConfigError(
                "graph='whole' cannot stop early: leave patience out, and choose epochs"
            )

    def _fit_star(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        described: Float32Array,
        held_out: tuple[Float32Array, FloatArray] | None,
        rng: np.random.Generator,
    ) -> dict[str, Float32Array]:
        import torch

        from equirouter.routers.fitting import graph_nets, loop, losses

        most = max(1, PAIRS_AT_ONCE // performance.shape[1])
        asked = most if self.batch_size is None else min(self.batch_size, most)
        batch_size = loop.enough_steps(asked, len(embeddings))
        with loop.seeded(rng):
            network = graph_nets.StarNet(torch.from_numpy(described), width=self.width)
            loop.train(
                network,
                lambda net, batch: losses.masked_mse(net(batch[0]), batch[1]),
                (embeddings, performance),
                self._schedule(batch_size),
                device=self.device,
                validation=held_out,
                validation_rows=most,
            )
        weights = loop.weights_of(network)
        weights["models"] = described @ weights["first.weight"].T
        return weights

    def _fit_whole(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        described: Float32Array,
        rng: np.random.Generator,
    ) -> dict[str, Float32Array]:
        import torch

        from equirouter.routers.fitting import graph_nets, loop

        features, labels = self._edges(performance, cost_usd)
        masks, visible = self.masks, self.visible
        batch_size = len(embeddings) if self.batch_size is None else self.batch_size
        with loop.seeded(rng):
            network = graph_nets.WholeNet(torch.from_numpy(described), width=self.width)
            loop.train(
                network,
                lambda _, batch: graph_nets.edge_loss(network, batch, masks=masks, visible=visible),
                (embeddings, features, labels),
                self._schedule(batch_size),
                device=self.device,
            )
            arrays = (embeddings, features, np.isfinite(labels)[None])
            with torch.no_grad():
                whole = [torch.from_numpy(array.astype(np.float32)) for array in arrays]
                models = network.cpu().model_vectors(*whole)[0]
        weights = loop.weights_of(network)
        models = models / self.width  # the score is the mean over it
        kept = {name: weights[name] for name in ("query.weight", "query.bias")}
        return kept | {"models": np.asarray(models.numpy(), dtype=np.float32)}

    def _schedule(self, batch_size: int) -> Any:  # noqa: ANN401  # training imports torch
        from equirouter.routers.fitting import loop

        return loop.Schedule(
            self.epochs, batch_size, self.learning_rate, self.weight_decay, self.patience
        )

    def _edges(
        self, performance: FloatArray, cost_usd: FloatArray
    ) -> tuple[Float32Array, Float32Array]:
        """Features (N, K, 3) and labels (N, K), NaN where performance or cost is not known."""
        known = np.isfinite(performance) & np.isfinite(cost_usd)
        low, high = np.nanmin(cost_usd), np.nanmax(cost_usd)
        cost = (cost_usd - low) / max(high - low, np.finfo(np.float64).tiny)
        utility = self.performance_weight * performance - self.cost_weight * cost
        utility = np.where(known, utility, -np.inf)
        best = utility.max(axis=1, keepdims=True)
        labels = np.where(known, utility >= best - SAME_UTILITY, np.nan)
        features = np.stack([utility, cost, performance], axis=2)
        features[~known] = 0.0  # such an edge is never visible
        return features.astype(np.float32), labels.astype(np.float32)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), not limited to its range; of the whole graph, in 0 to 1."""
        weights = self.weights_
        x = embeddings.astype(np.float32, copy=False)
        if self.graph == "star":
            return star_scores(weights, x)
        return forward.sigmoid(forward.linear(weights, "query", x) @ weights["models"].T)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The same as ONNX nodes: (N, d) -> (N, K)."""
        weights = self.weights_
        if self.graph == "star":
            return add_star(graph, weights, embeddings)
        query = graph.affine(
            "router.query", embeddings, weights["query.weight"], weights["query.bias"]
        )
        product = graph.op("MatMul", query, graph.const("router.models", weights["models"].T))
        return graph.op("Sigmoid", product)

"""MLPRouter: a two-layer network that predicts every model's performance (paper, App. A.2)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.extras import require
from equirouter.routers.base import Router, ScoresAre, Validation, check_training
from equirouter.routers.joining import Estimate, Labelled, fit_estimate
from equirouter.routers.networks import forward

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["MLPRouter", "fit_mlp", "hidden_units", "mlp_hidden"]


class MLPRouter(Router):
    """Performance of each model by one linear, ReLU, linear network, squared error.

    hidden: width of the hidden layer. The rest as in loop.Schedule; the defaults are those of
    App. A.2 (30 epochs, batch 2048, Adam 1e-3). Source: Stripelis et al. 2024; Hari & Thomson 2023.
    """

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"weights_.out.weight": 0, "weights_.out.bias": 0}
    )

    def __init__(
        self,
        *,
        hidden: int = 256,
        epochs: int = 30,
        batch_size: int = 2048,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.device = device

    @property
    def scores_are(self) -> ScoresAre:
        """Estimates of performance, not limited to its range."""
        return "expected_performance"

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Train on the known cells of performance."""
        check_training(embeddings, performance, cost_usd)
        held_out = None if validation is None else (validation.embeddings, validation.performance)
        self.weights_ = fit_mlp(
            embeddings,
            performance,
            hidden=self.hidden,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            device=self.device,
            validation=held_out,
            rng=rng,
        )
        return self

    def with_added(self, labelled: Labelled) -> tuple[Self, Estimate, FloatArray]:
        """See Router.with_added: a row of the output layer."""
        seen, others = labelled.embeddings, labelled.unlabelled
        hidden = hidden_units(self.weights_, seen)
        found = fit_estimate(self.predict(seen), hidden, labelled.performance)
        row, level = found.row(self.weights_["out.weight"], self.weights_["out.bias"])
        made = self._appended({"weights_.out.weight": row, "weights_.out.bias": level})
        return made, found, found.of(self.predict(others), hidden_units(self.weights_, others))

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K)."""
        return forward.mlp(self.weights_, embeddings)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The two layers; see Router.add_to_graph."""
        hidden = mlp_hidden(self.weights_, graph, "router", embeddings)
        weight, bias = self.weights_["out.weight"], self.weights_["out.bias"]
        return graph.affine("router.out", hidden, weight, bias)


def hidden_units(weights: Mapping[str, Float32Array], embeddings: Float32Array) -> Float32Array:
    """The first half of forward.mlp: (N, d) -> (N, hidden)."""
    x = embeddings.astype(np.float32, copy=False)
    return np.asarray(np.maximum(forward.linear(weights, "hidden", x), np.float32(0)))


def mlp_hidden(
    weights: Mapping[str, Float32Array], graph: "OnnxGraph", name: str, embeddings: str
) -> str:
    """The first half of forward.mlp as ONNX nodes: (N, d) -> (N, hidden)."""
    weight, bias = weights["hidden.weight"], weights["hidden.bias"]
    return graph.op("Relu", graph.affine(f"{name}.hidden", embeddings, weight, bias))


def fit_mlp(
    embeddings: Float32Array,
    target: FloatArray,
    *,
    hidden: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    patience: int | None,
    device: str,
    validation: tuple[Float32Array, FloatArray] | None,
    rng: np.random.Generator,
) -> dict[str, Float32Array]:
    """Train mlp_net.MLP from embeddings (N, d) to target (N, K), NaN = not known.

    Returns the weights that forward.mlp takes. Needs the extra `train`.
    """
    require("torch", extra="train", purpose="train a router or a cost model")
    from equirouter.routers.fitting import loop, losses, mlp_net

    with loop.seeded(rng):
        network = mlp_net.MLP(embeddings.shape[1], hidden, target.shape[1])
        loop.train(
            network,
            lambda net, batch: losses.masked_mse(net(batch[0]), batch[1]),
            (embeddings, target),
            loop.Schedule(epochs, batch_size, learning_rate, weight_decay, patience),
            device=device,
            validation=validation,
        )
    return loop.weights_of(network)

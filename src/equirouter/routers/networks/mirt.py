"""MIRTRouter: item response theory with several abilities, read off what models and queries say."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

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
from equirouter.routers.neighbours import BLOCK_BYTES, nearest, unit_rows
from equirouter.routers.networks import forward

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["MIRTRouter"]


class MIRTRouter(DescriptionRouter):
    """Probability sigmoid(alpha . theta_j - b) of a right answer of model j.

    theta_j is linear in the embedding of the model's description, alpha = softplus of a linear map
    of the query's embedding, and the difficulty b is linear in it; no biases. abilities: the length
    of theta and alpha. warm_up: share in [0, 1) of the mean of the `neighbours` nearest training
    queries in the embedding that `predict` uses; above 0 the training embeddings are kept.
    batch_size: in queries, at most a sixth of the training part (loop.enough_steps). The loss
    is cross-entropy with performance as the probability, so it must lie in [0, 1]. The rest as in
    loop.Schedule.

    Presets: `default` is the variant of the paper's authors on the schedule of App. A.2 (30 epochs,
    batch 2048, Adam 1e-3), without the warm-up. Their toolbox steps once per batch and model, here
    a step is for all models; their second network of the same form, for cost, is left out, because
    cost comes from the cost model that all routers share. `original` is MIRT of IRT-Router (Song et
    al. 2025): 9 epochs, warm-up 0.3 with 5 neighbours. Its batches hold 512 pairs of a query and a
    model, which is 25 queries of its 20 models, and so many queries are a batch here. Its trade-off
    with the price per token is left out: that is what a policy does.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"default": {}, "original": {"warm_up": 0.3, "epochs": 9, "batch_size": 25}}
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType({"weights_.models": 0})

    def __init__(
        self,
        *,
        abilities: int = 25,
        warm_up: float = 0.0,
        neighbours: int = 5,
        epochs: int = 30,
        batch_size: int = 2048,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.abilities = abilities
        self.warm_up = warm_up
        self.neighbours = neighbours
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
        """Train on the known cells of performance; validation stops early if patience is set."""
        if self.abilities < 1 or self.neighbours < 1 or not 0 <= self.warm_up < 1:
            raise ConfigError(
                f"abilities={self.abilities}, neighbours={self.neighbours}, warm_up={self.warm_up}:"
                " expected 1 or more, 1 or more, and 0 to below 1"
            )
        n, width, n_models = check_training(embeddings, performance, cost_usd)
        described = check_descriptions(descriptions, width, n_models, router="mirt")
        check_probabilities(performance, router="mirt")
        torch = require("torch", extra="train", purpose="train a router")
        from equirouter.routers.fitting import irt_nets, loop, losses

        schedule = loop.Schedule(
            self.epochs,
            loop.enough_steps(self.batch_size, n),
            self.learning_rate,
            self.weight_decay,
            self.patience,
        )
        held_out = None if validation is None else (validation.embeddings, validation.performance)
        with loop.seeded(rng):
            network = irt_nets.MIRTNet(torch.from_numpy(described), abilities=self.abilities)
            loop.train(
                network,
                lambda net, batch: losses.cross_entropy(net(batch[0]), batch[1]),
                (embeddings, performance),
                schedule,
                device=self.device,
                validation=held_out,
            )
        self.weights_ = loop.weights_of(network)
        self.weights_["models"] = described @ self.weights_.pop("ability.weight").T
        self.training_: dict[str, NDArray[Any]] = {}
        if self.warm_up > 0:
            self.training_["embeddings"] = unit_rows(embeddings)
        return self

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

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str | None:
        """The same as ONNX nodes; None with a warm-up, which looks up training queries."""
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

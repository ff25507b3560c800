"""EmbedLLMRouter: queries and models share a space; their product says who answers right."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.extras import require
from equirouter.routers.base import (
    Router,
    ScoresAre,
    Validation,
    check_probabilities,
    check_training,
)
from equirouter.routers.networks import forward

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["EmbedLLMRouter"]


class EmbedLLMRouter(Router):
    """Probability of a right answer from a projected query times a learned model embedding.

    width: of the shared space. noise: standard deviation of the noise on the embeddings during
    training. classifier: how the product becomes a logit, see EmbedLLMNet. The loss is
    cross-entropy with performance as the probability, so it must lie in [0, 1]. The rest as in
    loop.Schedule.

    Presets: `default` is the variant of the paper's authors: width 256, a bias per model, noise
    0.001 on queries and models; the schedule is the one of App. A.2. `original` is EmbedLLM
    (Zhuang et al. 2024): width 232, a classifier that the models share, noise 0.05 on queries,
    50 epochs, Adam 1e-4 with weight decay 1e-5. Its batches hold 2048 pairs of query and model,
    which is 18 queries of its 112 models, and so many queries are a batch here, in random order;
    its labels are 0 or 1 only.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "original": {
                "width": 232,
                "noise": 0.05,
                "classifier": True,
                "epochs": 50,
                "batch_size": 18,
                "learning_rate": 1e-4,
                "weight_decay": 1e-5,
            },
        }
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"weights_.models": 0, "weights_.bias": 0}
    )

    def __init__(
        self,
        *,
        width: int = 256,
        noise: float = 0.001,
        classifier: bool = False,
        epochs: int = 30,
        batch_size: int = 2048,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.width = width
        self.noise = noise
        self.classifier = classifier
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
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Train on the known cells of performance; validation stops early if patience is set."""
        if self.width < 1 or self.noise < 0:
            raise ConfigError("width: expected 1 or more; noise: expected 0 or more")
        _, n_in, n_models = check_training(embeddings, performance, cost_usd)
        check_probabilities(performance, router="embedllm")
        require("torch", extra="train", purpose="train a router")
        from equirouter.routers.fitting import embedllm_net, loop, losses

        schedule = loop.Schedule(
            self.epochs, self.batch_size, self.learning_rate, self.weight_decay, self.patience
        )
        held_out = None if validation is None else (validation.embeddings, validation.performance)
        with loop.seeded(rng):
            network = embedllm_net.EmbedLLMNet(
                n_in, n_models, width=self.width, noise=self.noise, classifier=self.classifier
            )
            loop.train(
                network,
                lambda net, batch: losses.cross_entropy(net(batch[0]), batch[1]),
                (embeddings, performance),
                schedule,
                device=self.device,
                validation=held_out,
            )
        self.weights_ = loop.weights_of(network)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), between 0 and 1."""
        weights = self.weights_
        projected = forward.linear(weights, "query", embeddings.astype(np.float32, copy=False))
        if self.classifier:
            wrong, right = weights["classifier.weight"]
            bias = weights["classifier.bias"][1] - weights["classifier.bias"][0]
            logits = (projected * (right - wrong)) @ weights["models"].T + bias
        else:
            logits = projected @ weights["models"].T + weights["bias"]
        return forward.sigmoid(logits)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The projection and the logits; see Router.add_to_graph."""
        weights, models = self.weights_, self.weights_["models"]
        query = graph.affine(
            "router.query", embeddings, weights["query.weight"], weights["query.bias"]
        )
        if self.classifier:
            wrong, right = weights["classifier.weight"]
            bias = weights["classifier.bias"][1] - weights["classifier.bias"][0]
            models, offset = models * (right - wrong), np.full(len(models), bias)
        else:
            offset = weights["bias"]
        return graph.op("Sigmoid", graph.affine("router.models", query, models, offset))

"""RouterDCRouter: model embeddings learned by two contrastive losses on frozen query embeddings."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.extras import require
from equirouter.routers.base import Router, ScoresAre, Validation, check_training
from equirouter.routers.clusters import kmeans

if TYPE_CHECKING:
    from torch import Tensor, nn

    from equirouter.onnxgraph import OnnxGraph

__all__ = ["RouterDCRouter"]

SLOW = np.float32(0.1)  # of RouterDCNet, which a process that only decides cannot import


class RouterDCRouter(Router):
    """A model scores by the cosine between its learned embedding and the query's.

    The first loss sets each of a query's n_top best models against its n_bottom worst, see
    sample_llm_loss. With projection, a square matrix turns the queries, and a second loss, times
    sample_weight, sets a query of the same cluster against n_negatives of other clusters, see
    sample_sample_loss; without it that loss compares frozen embeddings, has nothing to learn and is
    left out. temperature divides all cosines. n_clusters: of KMeans on the training queries. The
    rest as in loop.Schedule; validation is judged by the first loss alone.

    RouterDC (Chen et al. 2024) trains the encoder itself. Here it is frozen, and the matrix stands
    in for it; the clusters are made on the embeddings, without t-SNE; a negative must be worse than
    its positive, so that two models are enough; of equally good models the positives are drawn at
    random. Cost takes no part: the policy weighs it.

    Presets: `default` is the form of the paper's authors, who train the model embeddings only, with
    5 best, 5 worst and temperature 0.07; the paper itself does not measure RouterDC. `original` has
    both losses and the source's numbers: 3 best, 3 worst, temperature 1, 8 clusters, 3 negatives,
    batches of 16. Learning rate and epochs are made for a frozen encoder in both. On validation
    parts, five seeds, nAUC is 0.846 without the matrix and 0.830 with it on a part of RouterBench,
    0.725 and 0.724 on MMLU + GSM8K.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "original": {
                "projection": True,
                "temperature": 1.0,
                "n_top": 3,
                "n_bottom": 3,
                "n_clusters": 8,
                "n_negatives": 3,
                "batch_size": 16,
                "epochs": 10,
            },
        }
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType({"weights_.models": 0})

    def __init__(
        self,
        *,
        projection: bool = False,
        temperature: float = 0.07,
        n_top: int = 5,
        n_bottom: int = 5,
        n_clusters: int = 20,
        n_negatives: int = 30,
        sample_weight: float = 1.0,
        epochs: int = 30,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.projection = projection
        self.temperature = temperature
        self.n_top = n_top
        self.n_bottom = n_bottom
        self.n_clusters = n_clusters
        self.n_negatives = n_negatives
        self.sample_weight = sample_weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.device = device

    @property
    def scores_are(self) -> ScoresAre:
        """Cosines: the losses compare models, and no level is learned."""
        return "ranking"

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
        self._check()
        _, n_in, n_models = check_training(embeddings, performance, cost_usd)
        require("torch", extra="train", purpose="train a router")
        from equirouter.routers.fitting import loop, routerdc_net

        schedule = loop.Schedule(
            self.epochs, self.batch_size, self.learning_rate, self.weight_decay, self.patience
        )
        labels = np.zeros(len(embeddings), dtype=np.int64)
        held_out = None
        if self._has_second_loss:
            _, labels = kmeans(embeddings, self.n_clusters, rng=rng)
        if validation is not None:
            unused = np.zeros(len(validation.embeddings))  # the second loss is for training only
            held_out = (validation.embeddings, validation.performance, unused)
        with loop.seeded(rng):
            network = routerdc_net.RouterDCNet(n_in, n_models, projection=self.projection)
            loop.train(
                network,
                self._loss_of,
                (embeddings, performance, labels),
                schedule,
                device=self.device,
                validation=held_out,
            )
        self.weights_ = loop.weights_of(network)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Cosines (N, K) divided by the temperature."""
        queries = np.asarray(embeddings, dtype=np.float32)
        if self.projection:
            queries = queries + SLOW * (queries @ self.weights_["turn"].T)
        cosine = _unit(queries) @ _unit(self.weights_["models"]).T
        return np.asarray(cosine / np.float32(self.temperature))

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The turn of the query and the cosines; see Router.add_to_graph."""
        queries = embeddings
        if self.projection:
            turn = SLOW * self.weights_["turn"]
            moved = graph.affine("router.turn", queries, turn, np.zeros(len(turn)))
            queries = graph.op("Add", queries, moved)
        models = _unit(self.weights_["models"]) / np.float32(self.temperature)
        product = graph.affine("router.models", queries, models, np.zeros(len(models)))
        axis = graph.const("axis_1", np.array([1]))
        length = graph.op("ReduceL2", queries, axis)  # (N, 1)
        least = graph.const("router.least", np.float32(1e-12))
        return graph.op("Div", product, graph.op("Max", length, least))

    def _loss_of(self, network: "nn.Module", batch: "Sequence[Tensor]") -> "Tensor":
        from equirouter.routers.fitting.routerdc_net import sample_llm_loss, sample_sample_loss

        embeddings, performance, cluster = batch
        cosine, turned = network(embeddings)
        k = performance.shape[1]
        loss = sample_llm_loss(
            cosine / self.temperature,
            performance,
            n_top=min(self.n_top, k),
            n_bottom=min(self.n_bottom, k),
        )
        if not (network.training and self._has_second_loss):
            return loss  # the first alone ranks models: it says when to stop
        similarity = turned @ turned.T / self.temperature
        second = sample_sample_loss(similarity, cluster, n_negatives=self.n_negatives)
        return loss + self.sample_weight * second

    @property
    def _has_second_loss(self) -> bool:
        """Without the matrix it compares queries by their frozen embeddings: nothing to learn."""
        return self.projection and self.sample_weight > 0

    def _check(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"temperature {self.temperature}: expected a number above 0")
        if min(self.n_top, self.n_bottom, self.n_clusters, self.n_negatives) < 1:
            raise ConfigError("n_top, n_bottom, n_clusters and n_negatives: expected 1 or more")
        if self.sample_weight < 0:
            raise ConfigError(f"sample_weight {self.sample_weight}: expected 0 or more")


def _unit(rows: Float32Array) -> Float32Array:
    """Rows scaled to length 1; a zero row stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, np.float32(1e-12)))

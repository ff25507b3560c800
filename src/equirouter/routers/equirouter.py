"""EquiRouter: learn the ranking of the models per query (paper, section 4, Eq. 5-8)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.extras import require
from equirouter.routers.base import Router, ScoresAre, Validation, check_training
from equirouter.routers.forward import gelu, layer_norm, linear

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["EquiRouter"]

BLOCK_ROWS = 4096  # (rows, D) blocks of 2 MB: they stay in the processor's cache


class EquiRouter(Router):
    """One score per query and model from a shared trunk, model embeddings and a shared head.

    trunk: widths of the query trunk f, the last one is D. model_width: d_m, the width of the model
    embeddings m_j. head_width: hidden width of the head g. joint_feature: Eq. 7; False is the
    ablation of Table 1 that scores [z, e_j] instead. loss: "ranking" is Eq. 8, "mse" is the other
    ablation, "ranking+mse" is mse + ranking_weight * ranking. tie_weight: how much a pair counts
    that is ordered by cost alone; 1.0 is Eq. 8 as written, 0 ignores ties (docs/decisions.md tells
    what 1.0 does). dropout in [0, 1). epochs, batch_size, learning_rate, weight_decay (the L2
    penalty of section 4.3), patience: see Schedule. device: auto, cpu or cuda, for fitting only.

    Presets: `paper` has the settings of App. A.2 and, where the paper is silent (D, d_m, the head,
    the L2 weight), the choices written here; `default` is what was best on validation data.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "paper": {
                "trunk": (256, 128),
                "model_width": 64,
                "head_width": 128,
                "joint_feature": True,
                "loss": "ranking",
                "tie_weight": 1.0,
                "dropout": 0.0,
                "weight_decay": 1e-5,
                "epochs": 30,
                "batch_size": 2048,
                "learning_rate": 1e-3,
                "patience": None,
            },
        }
    )

    def __init__(
        self,
        *,
        trunk: Sequence[int] = (128, 64),
        model_width: int = 32,
        head_width: int = 64,
        joint_feature: bool = True,
        loss: Literal["ranking", "mse", "ranking+mse"] = "ranking",
        ranking_weight: float = 1.0,
        tie_weight: float = 0.01,
        dropout: float = 0.2,
        epochs: int = 60,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-5,
        patience: int | None = 10,
        device: str = "auto",
    ) -> None:
        self.trunk = trunk
        self.model_width = model_width
        self.head_width = head_width
        self.joint_feature = joint_feature
        self.loss = loss
        self.ranking_weight = ranking_weight
        self.tie_weight = tie_weight
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.device = device

    @property
    def scores_are(self) -> ScoresAre:
        """A ranking loss alone leaves the scale of the scores open; a squared error fixes it."""
        return "ranking" if self.loss == "ranking" else "expected_performance"

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Train on the known cells; validation, if given, stops the training early."""
        self._check()
        _, n_in, n_models = check_training(embeddings, performance, cost_usd)
        require("torch", extra="train", purpose="train a router")
        from equirouter.routers import networks, training

        schedule = training.Schedule(
            self.epochs, self.batch_size, self.learning_rate, self.weight_decay, self.patience
        )
        with training.seeded(rng):
            network = networks.EquiRouterNet(
                n_in,
                n_models,
                trunk=self.trunk,
                model_width=self.model_width,
                head_width=self.head_width,
                dropout=self.dropout,
                joint_feature=self.joint_feature,
            )
            training.train(
                network,
                self._loss_of,
                (embeddings, performance, cost_usd),
                schedule,
                device=self.device,
                validation=validation,
            )
        self.weights_ = training.weights_of(network)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Scores (N, K); they estimate performance unless the loss is "ranking" alone."""
        parts = _ModelParts(self.weights_, joint_feature=self.joint_feature)
        x = np.ascontiguousarray(embeddings, dtype=np.float32)
        blocks = [
            parts.scores(self._encode(x[start : start + BLOCK_ROWS]))
            for start in range(0, len(x), BLOCK_ROWS)
        ]
        return np.concatenate(blocks) if blocks else np.empty((0, parts.n_models), np.float32)

    def _encode(self, x: Float32Array) -> Float32Array:
        """The trunk f: (B, d) -> (B, D)."""
        for layer in range(len(self.trunk)):
            x = gelu(linear(self.weights_, f"trunk.{layer}", x))
            x = layer_norm(self.weights_, f"trunk_norm.{layer}", x)
        return x

    def _loss_of(self, network: "nn.Module", batch: "Sequence[Tensor]") -> "Tensor":
        from equirouter.routers.losses import masked_mse, pairwise_ranking

        embeddings, performance, cost_usd = batch
        scores = network(embeddings)
        if self.loss == "mse":
            return masked_mse(scores, performance)
        ranking = pairwise_ranking(scores, performance, cost_usd, self.tie_weight)
        if self.loss == "ranking":
            return ranking
        return masked_mse(scores, performance) + self.ranking_weight * ranking

    def _check(self) -> None:
        if self.loss not in ("ranking", "mse", "ranking+mse"):
            raise ConfigError(f"loss {self.loss!r}: expected ranking, mse or ranking+mse")
        if not self.trunk or min(*self.trunk, self.model_width, self.head_width) < 1:
            raise ConfigError("trunk, model_width and head_width: expected widths of at least 1")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout {self.dropout}: expected 0 to below 1")
        if self.tie_weight < 0 or self.ranking_weight < 0:
            raise ConfigError("tie_weight and ranking_weight: expected 0 or more")


class _ModelParts:
    """What the head needs of each model, computed once; EquiRouterNet explains the algebra."""

    def __init__(self, weights: Mapping[str, Float32Array], *, joint_feature: bool) -> None:
        self.weights = weights
        models = weights["models"]
        self.n_models = len(models)
        e = linear(weights, "psi", models)  # (K, D)
        head, bias = weights["head.weight"], weights["head.bias"]
        if joint_feature:
            self.gamma, self.beta = np.split(linear(weights, "phi", models), 2, axis=1)
            w1, w2, w3, self.w4 = np.split(head, 4, axis=1)  # (H, D) each
            mixed = w1 + w3 * e[:, None, :]  # (K, H, D)
            self.matrix = mixed * self.gamma[:, None, :]
            self.constant = np.einsum("khd,kd->kh", mixed, self.beta) + e @ w2.T + bias
            self.e: Float32Array | None = e
        else:
            w_query, w_model = np.split(head, 2, axis=1)
            self.matrix = np.broadcast_to(w_query, (self.n_models, *w_query.shape))
            self.constant = e @ w_model.T + bias
            self.e = None

    def scores(self, z: Float32Array) -> Float32Array:
        """(B, D) -> (B, K)."""
        out = np.empty((len(z), self.n_models), dtype=np.float32)
        for model in range(self.n_models):
            hidden = z @ self.matrix[model].T + self.constant[model]
            if self.e is not None:
                offset = np.abs(self.gamma[model] * z + (self.beta[model] - self.e[model]))
                hidden += offset @ self.w4.T
            hidden = layer_norm(self.weights, "head_norm", gelu(hidden))
            out[:, model] = linear(self.weights, "score", hidden)[:, 0]
        return out

"""EquiRouter: learn the ranking of the models per query (paper, section 4, Eq. 5-8)."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import ConfigError
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import ScoresAre, Training, Validation
from equirouter.routers.networks.forward import LAYER_NORM_EPSILON, gelu, layer_norm, linear
from equirouter.routers.networks.pool_head import FirstStage, Head, distilled
from equirouter.routers.networks.template import NetworkRouter, Task
from equirouter.routers.new_model import Labelled, LinearEstimate, fit_estimate
from equirouter.routers.settings import Iterations

if TYPE_CHECKING:
    from torch import Tensor, nn

PAPER: dict[str, Any] = {
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
}
"""The preset `paper`: App. A.2 and, where the paper is silent, this package's choices."""

ORIGINAL: dict[str, Any] = {
    "trunk": (1024, 512, 512),
    "model_width": 128,
    "head_width": 512,
    "loss": "mse+ranking",
    "dropout": 0.0,
    "weight_decay": 0.0,
    "epochs": 5,
    "batch_size": 128,
    "learning_rate": 1e-4,
    "patience": None,
}
"""The preset `original`: github.com/LAMDA-Model-Reuse/ORBIT, configs/routers/EquiRouter.json."""

RANKING_WEIGHT = 50.0  # of the ranking loss in mse+ranking

LARGE_POOL = 1000
FIRST_STAGE_MODELS = 256
FIRST_STAGE_QUERIES = 1024  # at most so many training queries show it what the head says
VALIDATION_CELLS = 2**17  # queries x models whose loss is computed at once
MOST_DISTILLED = 1000  # queries on which a new model's embedding is fitted to its estimates
BLOCK_ROWS = 4096  # (rows, D) blocks of 2 MB: they stay in the processor's cache


@dataclass(kw_only=True, eq=False)
class EquiRouter(NetworkRouter):
    """One score per query and model from a shared trunk, model embeddings and a shared head.

    Presets: `paper` has the settings of App. A.2 and, where the paper is silent (D, d_m, the head,
    the L2 weight), the choices written here; `original` is what the authors' toolbox (ORBIT) does:
    a wider network, another loss, 5 epochs at a tenth of the learning rate, no early stopping.
    `default` is what was best on validation data. The ablations of Table 1 differ from `paper` or
    `default` in one setting: `paper-without-joint-feature` and `without-joint-feature` in
    joint_feature=False, `paper-without-ranking-loss` and `without-ranking-loss` in loss="mse".
    """

    presets = MappingProxyType(
        {
            "default": {},
            "paper": PAPER,
            "original": ORIGINAL,
            "paper-without-joint-feature": PAPER | {"joint_feature": False},
            "paper-without-ranking-loss": PAPER | {"loss": "mse"},
            "without-joint-feature": {"joint_feature": False},
            "without-ranking-loss": {"loss": "mse"},
        }
    )

    model_axes = MappingProxyType({"weights_.models": 0})

    trunk: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (64, 64)
    """Widths of the layers of the query trunk f; the last one is D."""

    model_width: PositiveInt = 32
    """Width d_m of the model embeddings m_j."""

    head_width: PositiveInt = 32
    """Width of the hidden layer of the head g."""

    joint_feature: bool = True
    """Whether the head scores the joint feature of Eq. 7; false is the ablation of Table 1, which
    scores [z, e_j]."""

    loss: Literal["ranking", "mse", "mse+ranking"] = "ranking"
    """ranking is Eq. 8; mse, the squared error, is the other ablation of Table 1; mse+ranking, of
    the authors' toolbox, is the squared error plus 50 times the mean logistic loss of all pairs in
    the batch that differ in performance, without a tie-break."""

    tie_weight: NonNegativeFloat = 0.01
    """How much a pair counts in Eq. 8 that is ordered by cost alone; 1.0 is as written (what that
    does: docs/decisions.md), 0 ignores ties."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the hidden units that a training step leaves out."""

    epochs: Iterations = 60

    batch_size: PositiveInt = 128

    weight_decay: NonNegativeFloat = 1e-5
    """The L2 penalty of section 4.3, as Adam applies it."""

    max_models_per_step: Annotated[int, Field(ge=2)] = 128
    """Of more models than this, a training step draws this many at random. Their loss is an
    unbiased estimate (losses.pairwise_ranking), so time and memory of a step do not grow with the
    number of pairs."""

    first_stage: Literal[0] | Annotated[int, Field(ge=2)] | None = None
    """How many models of a pool are scored in full for a query, chosen by a dot product
    (pool_head.py); the others get estimates. 0 scores all; null scores 256 in pools of more than
    1,000 models, and all in others."""

    @property
    def scores_are(self) -> ScoresAre:
        """Estimates of performance where the loss is a squared error alone.

        Eq. 8 leaves the scale of the scores open. In mse+ranking the ranking outweighs the squared
        error by so much that the scores spread far beyond the outcomes.
        """
        return "expected_performance" if self.loss == "mse" else "ranking"

    def _learn(self, training: Training) -> None:
        super()._learn(training)
        embeddings, _, cost_usd = training.outcomes
        self.first_stage_: dict[str, NDArray[Any]] = self._fit_first_stage(embeddings, cost_usd)

    def _task(self, training: Training) -> Task:
        from equirouter.routers.fitting import equirouter_net

        part = training.outcomes
        n_in, n_models = part.embeddings.shape[1], part.performance.shape[1]
        return Task(
            lambda: equirouter_net.EquiRouterNet(
                n_in,
                n_models,
                trunk=self.trunk,
                model_width=self.model_width,
                head_width=self.head_width,
                dropout=self.dropout,
                joint_feature=self.joint_feature,
            ),
            self._loss_of,
            _training_arrays,
            validation_rows=self._validation_rows(n_models),
        )

    def _fit_first_stage(
        self, embeddings: Float32Array, cost_usd: FloatArray
    ) -> dict[str, NDArray[Any]]:
        """The arrays of a FirstStage; none where every query scores every model in full."""
        if not self._n_full(cost_usd.shape[1]):
            return {}
        step = -(-len(embeddings) // FIRST_STAGE_QUERIES)
        z = self._encode(np.ascontiguousarray(embeddings[::step], dtype=np.float32))
        return FirstStage.fit(z, self._head().scores, np.nanmean(cost_usd, axis=0)).state()

    def _n_full(self, n_models: int) -> int:
        """How many models a query scores in full after a first stage; 0: all, there is none."""
        large = FIRST_STAGE_MODELS if n_models > LARGE_POOL else 0
        n_full = large if self.first_stage is None else self.first_stage
        return n_full if n_full < n_models else 0

    def _validation_rows(self, n_models: int) -> int:
        """Validation queries at once: of a sample of models, more blocks see more models."""
        rows = max(1, VALIDATION_CELLS // min(n_models, self.max_models_per_step))
        return rows if n_models <= self.max_models_per_step else min(rows, self.batch_size)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Scores (N, K); they estimate performance with the loss "mse"."""
        head = self._head()
        x = np.ascontiguousarray(embeddings, dtype=np.float32)
        if self.first_stage_:
            return self._predict_in_two_stages(x)
        blocks = [
            head.scores(self._encode(x[start : start + BLOCK_ROWS]))
            for start in range(0, len(x), BLOCK_ROWS)
        ]
        return np.concatenate(blocks) if blocks else np.empty((0, head.n_models), np.float32)

    def _predict_in_two_stages(self, x: Float32Array) -> Float32Array:
        """Query by query, as each scores other models: so its scores depend on it alone."""
        head = self._head()
        stage = FirstStage.restore(self.first_stage_, head.n_models)
        n_full = self._n_full(head.n_models)
        out = np.empty((len(x), head.n_models), dtype=np.float32)
        for row in range(len(x)):
            z = self._encode(x[row : row + 1])[0]
            estimates = stage.estimates(z)
            columns = stage.promising(estimates, n_full)
            out[row] = stage.completed(estimates, columns, head.scores_at(z, columns))
        return out

    def with_models(self, columns: IntArray) -> Self:
        """A router of some of the models; a first stage stays where it still leaves models out."""
        first = self.first_stage_
        fewer = super().with_models(columns)
        fewer.first_stage_ = {}
        if first and fewer._n_full(len(columns)):
            place = np.empty(len(columns), dtype=np.int64)  # of a column among the cheapest
            rank = np.argsort(first["by_cost"])[columns]
            place[np.argsort(rank, kind="stable")] = np.arange(len(columns))
            fewer.first_stage_ = {
                "vectors": first["vectors"][columns],
                "level": first["level"][columns],
                "by_cost": np.argsort(place),
            }
        return fewer

    def with_added(self, labelled: Labelled) -> tuple[Self, LinearEstimate, FloatArray]:
        """One more model: an embedding m_j, fitted to the scores that its estimates call for.

        Where scores only rank, the target is the score that the curve of all models together takes
        for the estimated performance. Raises ConfigError for a router with a first stage.
        """
        if self.first_stage_:
            raise ConfigError(
                "an EquiRouter with a first stage cannot take in a model: train again"
            )
        queries = np.concatenate([labelled.embeddings, labelled.unlabelled])
        n = len(labelled.performance)
        scores = self.predict(queries).astype(np.float64)
        z = self._encode(np.ascontiguousarray(queries, dtype=np.float32))
        scale = labelled.scale if self.scores_are == "ranking" else None
        others = scores if scale is None else scale.apply(scores)
        estimate = fit_estimate(others[:n], z[:n], labelled.performance)
        estimates = estimate.of(others, z)
        targets = estimates if scale is None else scale.score_of(estimates, scores)
        learned = distilled(
            self.weights_,
            z[-MOST_DISTILLED:],
            targets[-MOST_DISTILLED:],
            estimate.weights @ self.weights_["models"],
            joint_feature=self.joint_feature,
        )
        return self._appended({"weights_.models": learned}), estimate, estimates[n:]

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave. Returns self."""
        self.first_stage_ = {}
        return super().restore(state)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str | None:
        """Add the trunk and the head; None where a first stage chooses models."""
        if self.first_stage_:
            return None
        x = embeddings
        for layer in range(len(self.trunk)):
            name, norm = f"trunk.{layer}", f"trunk_norm.{layer}"
            weight, bias, scale, shift = (
                self.weights_[f"{part}.{kind}"]
                for part in (name, norm)
                for kind in ("weight", "bias")
            )
            x = graph.op("Gelu", graph.affine(name, x, weight, bias), approximate="tanh")
            x = graph.layer_norm(norm, x, scale, shift, float(LAYER_NORM_EPSILON))
        return self._head().add_to_graph(graph, x)

    def _head(self) -> Head:
        """The part of predict that depends on the models alone; made again for other weights."""
        arrays = list(self.weights_.values())
        of, known = vars(self).get("_known_head", ([], None))
        if known is not None and len(of) == len(arrays) and all(map(operator.is_, of, arrays)):
            return cast(Head, known)
        head = Head(self.weights_, joint_feature=self.joint_feature)
        self._known_head = (arrays, head)
        return head

    def _encode(self, x: Float32Array) -> Float32Array:
        """The trunk f: (B, d) -> (B, D)."""
        for layer in range(len(self.trunk)):
            x = gelu(linear(self.weights_, f"trunk.{layer}", x))
            x = layer_norm(self.weights_, f"trunk_norm.{layer}", x)
        return x

    def _loss_of(self, network: "nn.Module", batch: "Sequence[Tensor]") -> "Tensor":
        from equirouter.routers.fitting import losses

        embeddings, performance, cost_usd, n_pairs, n_known = batch
        n_models = performance.shape[1]
        columns = self._sampled(n_models)
        if columns is not None:
            columns = columns.to(performance.device)
            performance, cost_usd = performance[:, columns], cost_usd[:, columns]
        scores = network(embeddings, columns)
        if self.loss == "ranking":
            return losses.pairwise_ranking(
                scores, performance, cost_usd, self.tie_weight, n_pairs=n_pairs, n_models=n_models
            )
        error = losses.masked_mse(scores, performance, n_known=n_known, n_models=n_models)
        if self.loss == "mse":
            return error
        return error + RANKING_WEIGHT * losses.strict_ranking(scores, performance)

    def _sampled(self, n_models: int) -> "Tensor | None":
        """The columns of one step in rising order, from torch's generator; None: all."""
        import torch

        if n_models <= self.max_models_per_step:
            return None
        return torch.randperm(n_models)[: self.max_models_per_step].sort().values


def _training_arrays(part: Validation) -> tuple[NDArray[np.generic], ...]:
    """Arrays for the loss, a row per query; the pairs are counted once here, over all models."""
    from equirouter.routers.fitting.losses import count_pairs

    embeddings, performance, cost_usd = part
    n_known = performance.shape[1] - np.isnan(performance).sum(axis=1)
    return embeddings, performance, cost_usd, count_pairs(performance, cost_usd), n_known

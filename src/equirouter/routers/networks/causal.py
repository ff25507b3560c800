"""CausalRouter: the choice with the least regret."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.extras import require
from equirouter.routers.base import Router, ScoresAre, Validation, check_training
from equirouter.routers.logged import complete_logged
from equirouter.routers.networks import forward

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["CausalRouter"]

TIE = 1e-6
"""Of a performance of 1, what the spread in cost counts between models that are equal otherwise."""


class CausalRouter(Router):
    """A network whose softmax choice has the least expected regret.

    The utility of a model is performance - trade_off * cost_usd / spread, where spread is the
    median over training queries of dearest minus cheapest model: trade_off is the performance that
    this spread must buy. At 0, the default, performance alone counts, cost is left to the policy.
    loss: "softmax" is the expected regret sum_j softmax(f / temperature)_j * (max_k u_k - u_j);
    "classification" is the cross-entropy to the model of the highest utility, an upper bound of it;
    ties go to the cheaper model. hidden: width of the second hidden layer, the first is twice as
    wide. clip: see logged.complete_logged. The rest as in loop.Schedule; a batch holds at most
    a sixth of the training part (loop.enough_steps).

    Logged data: where every training query knows one outcome at most, that of the model that
    answered it, all get doubly robust estimates of every model's outcome (logged.complete_logged).
    Any other table is used as it is: a model whose outcome is not known does not count there.

    Presets: `default` has the regret of the softmax and the schedule of App. A.2, `original` the
    cross-entropy and 300 epochs. Source: Tsiourvas, Sun and Perakis 2025 (arXiv:2505.16037), who
    also give trade-offs to one network and interpolate between two of them. That is not built:
    trained for all trade-offs at once, a network read at 0 called the strongest model nowhere on
    validation parts of two data sets, and lost 8 to 9 % of its performance. The paper only says
    that the router predicts performance with causal-style features, which none of these forms does.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"default": {}, "original": {"loss": "classification", "epochs": 300}}
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"weights_.out.weight": 0, "weights_.out.bias": 0}
    )

    def __init__(
        self,
        *,
        loss: Literal["softmax", "classification"] = "softmax",
        temperature: float = 1.0,
        trade_off: float = 0.0,
        hidden: int = 256,
        clip: float = 0.02,
        epochs: int = 30,
        batch_size: int = 2048,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.loss = loss
        self.temperature = temperature
        self.trade_off = trade_off
        self.hidden = hidden
        self.clip = clip
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.device = device

    @property
    def scores_are(self) -> ScoresAre:
        """Logits of a choice: they order the models and have no scale."""
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
        """Train on the known cells; validation stops early if patience is set."""
        self._check()
        n_queries, n_in, n_models = check_training(embeddings, performance, cost_usd)
        require("torch", extra="train", purpose="train a router")
        from equirouter.routers.fitting import causal_net, loop

        seen = performance
        performance, cost_usd = complete_logged(
            embeddings, performance, cost_usd, clip=self.clip, rng=rng
        )
        if performance is not seen and self.patience is not None:
            raise ConfigError(
                "patience needs validation outcomes of several models per query, and this is a log "
                "with one: leave patience out"
            )
        spread = _spread(cost_usd)
        utility = self._utility(performance, cost_usd, spread)
        held_out = None
        if validation is not None:
            held_out = (
                validation.embeddings,
                self._utility(validation.performance, validation.cost_usd, spread),
            )
        schedule = loop.Schedule(
            self.epochs,
            loop.enough_steps(self.batch_size, n_queries),
            self.learning_rate,
            self.weight_decay,
            self.patience,
        )

        with loop.seeded(rng):
            network = causal_net.CausalNet(n_in, self.hidden, n_models)
            loop.train(
                network,
                lambda net, batch: causal_net.regret_of(
                    net(batch[0]) / self.temperature,
                    batch[1],
                    as_classes=self.loss == "classification",
                ),
                (embeddings, utility),
                schedule,
                device=self.device,
                validation=held_out,
            )
        self.weights_ = loop.weights_of(network)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Logits (N, K)."""
        x = embeddings.astype(np.float32, copy=False)
        for name in ("first", "second"):
            x = np.maximum(forward.linear(self.weights_, name, x), np.float32(0.0))
        return forward.linear(self.weights_, "out", x)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The three layers; see Router.add_to_graph."""
        x = embeddings
        for name in ("first", "second", "out"):
            weight, bias = self.weights_[f"{name}.weight"], self.weights_[f"{name}.bias"]
            x = graph.affine(f"router.{name}", x, weight, bias)
            if name != "out":
                x = graph.op("Relu", x)
        return x

    def _utility(self, performance: FloatArray, cost_usd: FloatArray, spread: float) -> FloatArray:
        """(N, K), NaN where performance is not known, or cost is not and counts."""
        if self.loss == "classification":  # so little cost that it decides between equals only
            tie_break = np.nan_to_num(cost_usd) / spread * TIE
            performance = performance - tie_break
        if self.trade_off == 0:
            return performance
        return performance - self.trade_off * cost_usd / spread

    def _check(self) -> None:
        if self.loss not in ("softmax", "classification"):
            raise ConfigError(f"loss {self.loss!r}: expected softmax or classification")
        if not self.temperature > 0 or not 0 <= self.trade_off < np.inf:
            raise ConfigError("temperature: expected above 0; trade_off: expected 0 or more")
        if self.hidden < 1:
            raise ConfigError(f"hidden {self.hidden}: expected at least 1")


def _spread(cost_usd: FloatArray) -> float:
    """The median over queries of dearest minus cheapest known cost; 1 where all cost the same."""
    known = np.isfinite(cost_usd).any(axis=1)
    if not known.any():
        return 1.0
    gaps = np.nanmax(cost_usd[known], axis=1) - np.nanmin(cost_usd[known], axis=1)
    return float(np.median(gaps)) or 1.0

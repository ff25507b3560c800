"""CausalRouter: the choice with the least regret."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.routers.base import Validation
from equirouter.routers.logged import complete_logged
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import NetworkRouter, Task

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["CausalRouter"]

TIE = 1e-6
"""Performance that the spread in cost counts as, between models that are equal otherwise."""


@dataclass(kw_only=True, eq=False)
class CausalRouter(NetworkRouter):
    """A network whose softmax choice has the least expected regret.

    The utility of a model is performance - trade_off * cost_usd / spread, where spread is the
    median over training queries of the cost of the most expensive less that of the cheapest model.
    A batch holds at most a sixth of the training part (loop.enough_steps).

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

    presets = MappingProxyType(
        {"default": {}, "original": {"loss": "classification", "epochs": 300}}
    )

    model_axes = MappingProxyType({"weights_.out.weight": 0, "weights_.out.bias": 0})
    scores_are = "ranking"

    loss: Literal["softmax", "classification"] = "softmax"
    """softmax is the expected regret sum_j softmax(f / temperature)_j * (max_k u_k - u_j);
    classification is the cross-entropy to the model of the highest utility u, an upper bound of the
    regret, where ties go to the cheaper model."""

    temperature: PositiveFloat = 1.0
    """Divides the logits in the loss."""

    trade_off: NonNegativeFloat = 0.0
    """Performance that the spread in cost must buy; at 0 performance alone counts, and cost is left
    to the policy."""

    hidden: PositiveInt = 256
    """Width of the second hidden layer; the first is twice as wide."""

    clip: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Of a log, chances of a call below this count as this: less variance, more bias."""

    def _task(self, training: Validation, rng: np.random.Generator) -> Task:
        from equirouter.routers.fitting import causal_net, loop

        performance, cost_usd = complete_logged(*training, clip=self.clip, rng=rng)
        if performance is not training.performance and self.patience is not None:
            raise ConfigError(
                "patience needs validation outcomes of several models per query, and this is a log "
                "with one: leave patience out"
            )
        spread = _spread(cost_usd)

        def rows(part: Validation) -> tuple[Float32Array, FloatArray]:
            outcomes = (performance, cost_usd) if part is training else part[1:]
            return part.embeddings, self._utility(*outcomes, spread)

        return Task(
            lambda: causal_net.CausalNet(
                training.embeddings.shape[1], self.hidden, performance.shape[1]
            ),
            lambda net, batch: causal_net.regret_of(
                net(batch[0]) / self.temperature,
                batch[1],
                as_classes=self.loss == "classification",
            ),
            rows,
            batch_size=loop.enough_steps(self.batch_size, len(performance)),
        )

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Logits (N, K)."""
        x = embeddings.astype(np.float32, copy=False)
        for name in ("first", "second"):
            x = np.maximum(forward.linear(self.weights_, name, x), np.float32(0.0))
        return forward.linear(self.weights_, "out", x)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """Add the three layers."""
        x = embeddings
        for name in ("first", "second", "out"):
            x = forward.add_linear(graph, self.weights_, name, x)
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


def _spread(cost_usd: FloatArray) -> float:
    """Median over queries of the highest less the lowest known cost; 1 where all cost the same."""
    known = np.isfinite(cost_usd).any(axis=1)
    if not known.any():
        return 1.0
    gaps = np.nanmax(cost_usd[known], axis=1) - np.nanmin(cost_usd[known], axis=1)
    return float(np.median(gaps)) or 1.0

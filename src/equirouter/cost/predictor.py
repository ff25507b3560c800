"""The cost model: what each model's answer to a query will cost (paper, App. C.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import DataError
from equirouter.routers import forward
from equirouter.routers.base import check_training
from equirouter.routers.mlp import fit_mlp, mlp_hidden

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["CostError", "CostModel"]


@dataclass(frozen=True)
class CostError:
    """How far predicted costs are from true ones; 0 is exact.

    mse: USD squared, mean over all cells. relative: per model, mean absolute error as a share of
    the model's mean cost, NaN for a model whose calls cost nothing.
    """

    mse: float
    relative: tuple[float, ...]


class CostModel:
    """A two-layer ReLU network on costs that are standardised per model with training statistics.

    hidden, epochs, batch_size, learning_rate, patience, device: as for MLPRouter; the schedule is
    the routers' (App. C.1), the hidden width H is open there. A prediction is never below the
    lowest cost that was seen of that model in training, so never negative.
    """

    def __init__(
        self,
        *,
        hidden: int = 64,
        epochs: int = 30,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        patience: int | None = None,
        device: str = "auto",
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.device = device

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that make an equal, unfitted cost model."""
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}

    def fit(
        self,
        embeddings: Float32Array,
        cost_usd: FloatArray,
        *,
        validation: tuple[Float32Array, FloatArray] | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from embeddings (N, d) and cost_usd (N, K), NaN = not known. Returns self."""
        check_training(embeddings, cost_usd, cost_usd)
        self.mean_usd_ = np.nanmean(cost_usd, axis=0)
        self.spread_usd_ = np.nanstd(cost_usd, axis=0)  # 0 for a constant cost: exact then
        self.lowest_usd_ = np.nanmin(cost_usd, axis=0)
        held_out = None
        if validation is not None:
            held_out = (validation[0], self._standardised(validation[1]))
        self.weights_ = fit_mlp(
            embeddings,
            self._standardised(cost_usd),
            hidden=self.hidden,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            patience=self.patience,
            device=self.device,
            validation=held_out,
            rng=rng,
        )
        return self

    def _standardised(self, cost_usd: FloatArray) -> FloatArray:
        scale = np.where(self.spread_usd_ > 0, self.spread_usd_, 1.0)
        return np.asarray((cost_usd - self.mean_usd_) / scale)

    def predict(self, embeddings: Float32Array) -> FloatArray:
        """Predicted cost_usd (N, K), not negative."""
        standardised = forward.mlp(self.weights_, embeddings).astype(np.float64)
        predicted = standardised * self.spread_usd_ + self.mean_usd_
        return np.asarray(np.maximum(predicted, self.lowest_usd_))

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """Add the nodes that compute what `predict` does, up to rounding to float32.

        embeddings: the name of an input (N, d) float32. Returns the name of the costs (N, K). The
        standardisation is part of the second layer.
        """
        hidden = mlp_hidden(self.weights_, graph, "cost", embeddings)
        weight = self.weights_["out.weight"] * self.spread_usd_[:, None]
        bias = self.weights_["out.bias"] * self.spread_usd_ + self.mean_usd_
        lowest = graph.const("cost.lowest", self.lowest_usd_.astype(np.float32))
        return graph.op("Max", graph.affine("cost.out", hidden, weight, bias), lowest)

    def error(self, embeddings: Float32Array, cost_usd: FloatArray) -> CostError:
        """Compare with true cost_usd (N, K) over the known cells."""
        difference = self.predict(embeddings) - cost_usd
        if np.isnan(difference).all(axis=0).any():
            raise DataError("a model has no known cost among the queries to compare with")
        mean_usd = np.nanmean(cost_usd, axis=0)
        is_paid = mean_usd > 0
        missed = np.nanmean(np.abs(difference), axis=0) / np.where(is_paid, mean_usd, 1.0)
        relative = np.where(is_paid, missed, np.nan)
        return CostError(float(np.nanmean(difference**2)), tuple(relative.tolist()))

    def state(self) -> dict[str, NDArray[Any]]:
        """All that `fit` learned, as arrays by name."""
        arrays: dict[str, NDArray[Any]] = {f"weights_.{k}": v for k, v in self.weights_.items()}
        return arrays | {
            "mean_usd_": self.mean_usd_,
            "spread_usd_": self.spread_usd_,
            "lowest_usd_": self.lowest_usd_,
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave. Returns self."""
        prefix = "weights_."
        self.weights_ = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        self.mean_usd_ = state["mean_usd_"]
        self.spread_usd_ = state["spread_usd_"]
        self.lowest_usd_ = state["lowest_usd_"]
        return self

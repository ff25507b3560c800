"""CostModel: predicts the cost of each model's answer to a query (paper, App. C.1)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, RealArray
from equirouter.cost.base import CostPredictor
from equirouter.cost.model_price import ModelPrice
from equirouter.routers.base import check_training

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["CostModel"]


class CostModel(CostPredictor):
    """Learns the costs of calls as they were paid; see CostPredictor for the settings.

    Where a price changes, the costs of that model change by a factor: ModelPrice.factor.
    """

    predicts: ClassVar[Literal["cost_usd", "tokens"]] = "cost_usd"
    per_model: ClassVar[int] = 1
    output: ClassVar[str] = "predicted_cost_usd"

    _factors: FloatArray | None = None

    def fit(
        self,
        embeddings: Float32Array,
        cost_usd: FloatArray,
        *,
        validation: tuple[Float32Array, FloatArray] | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from embeddings (N, d) and cost_usd (N, K), NaN = not known. Returns self."""
        check_training(embeddings, np.zeros(np.shape(cost_usd)), cost_usd)
        self._learn(embeddings, cost_usd, validation, rng)
        self._factors = None
        return self

    def set_prices(self, prices: Sequence[ModelPrice]) -> Self:
        """The factors of these prices; see CostPredictor.set_prices."""
        factors = np.array([price.factor() for price in prices])
        self._factors = None if (factors == 1.0).all() else factors
        return self

    def usd(self, amounts: RealArray) -> RealArray:
        """The costs as they were paid, times the factor of each model."""
        return amounts if self._factors is None else np.asarray(amounts * self._factors)

    def add_usd_to_graph(self, graph: "OnnxGraph", amounts: str) -> str:
        """Multiply by the factors, if any; returns the name of the costs."""
        if self._factors is None:
            return amounts
        factors = graph.const("cost.factors", self._factors.astype(np.float32))
        return graph.op("Mul", amounts, factors)

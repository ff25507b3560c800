"""TokenCostModel: predicts the tokens of a call and multiplies them by today's prices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, RealArray
from equirouter.cost.base import CostPredictor
from equirouter.cost.model_price import ModelPrice
from equirouter.cost.prices import Price, costs_usd
from equirouter.errors import DataError
from equirouter.routers.base import check_training

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["TokenCostModel", "Tokens"]

Tokens = tuple[FloatArray, FloatArray]
"""Input and output tokens of calls, (N, K) each, NaN = not known."""


class TokenCostModel(CostPredictor):
    """Learns tokens and multiplies by prices; see CostPredictor for the settings.

    A price's tiers count. Its prices of cached, reasoning and audio tokens do not: how many of a
    call's tokens are such is not predicted, so all have the input or the output price.
    """

    predicts: ClassVar[Literal["cost_usd", "tokens"]] = "tokens"
    per_model: ClassVar[int] = 2
    output: ClassVar[str] = "predicted_tokens"

    _prices: tuple[Price, ...]

    def fit(
        self,
        embeddings: Float32Array,
        tokens: Tokens,
        *,
        validation: tuple[Float32Array, Tokens] | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from embeddings (N, d) and tokens; prices are given apart. Returns self."""
        for side in tokens:
            check_training(embeddings, side, side)
        held_out = None if validation is None else (validation[0], np.hstack(validation[1]))
        self._learn(embeddings, np.hstack(tokens), held_out, rng)
        return self

    def set_prices(self, prices: Sequence[ModelPrice]) -> Self:
        """The prices as they are now; see CostPredictor.set_prices."""
        if len(prices) != self.n_models:
            raise DataError(f"{len(prices)} prices for {self.n_models} models")
        self._prices = tuple(price.known() for price in prices)
        self._per_mtok = np.array(
            [[price.input_usd_per_mtok, price.output_usd_per_mtok] for price in self._prices]
        ).T  # (2, K)
        return self

    def usd(self, amounts: RealArray) -> RealArray:
        """Tokens (N, 2 K), input and then output, times prices."""
        read, written = np.hsplit(np.asarray(amounts, dtype=np.float64), 2)
        costs = (read * self._per_mtok[0] + written * self._per_mtok[1]) / 1e6
        for column, price in enumerate(self._prices):
            if price.tiers:
                costs[:, column] = costs_usd(price, read[:, column], written[:, column])
        return np.asarray(costs)

    def add_usd_to_graph(self, graph: "OnnxGraph", amounts: str) -> str:
        """Add tokens times prices; returns the name of the costs."""
        k = self.n_models
        read, written = (
            graph.op("Gather", amounts, graph.const(f"cost.{side}", columns), axis=1)
            for side, columns in (("input", np.arange(k)), ("output", np.arange(k, 2 * k)))
        )
        costs = self._at(graph, "cost.price", self._per_mtok, read, written)
        limits = sorted({tier.above_input_tokens for p in self._prices for tier in p.tiers})
        for limit in limits:
            at = [price.at(limit + 1) for price in self._prices]
            table = np.array([[p.input_usd_per_mtok, p.output_usd_per_mtok] for p in at]).T
            above = self._at(graph, f"cost.price_above_{limit}", table, read, written)
            is_above = graph.op("Greater", read, graph.const(f"limit_{limit}", np.float32(limit)))
            costs = graph.op("Where", is_above, above, costs)
        return costs

    def _at(self, graph: "OnnxGraph", name: str, per_mtok: FloatArray, *tokens: str) -> str:
        usd = [
            graph.op("Mul", used, graph.const(f"{name}.{side}", (row / 1e6).astype(np.float32)))
            for side, used, row in zip(("input", "output"), tokens, per_mtok, strict=True)
        ]
        return graph.op("Add", *usd)

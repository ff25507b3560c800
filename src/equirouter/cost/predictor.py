"""Cost models: amounts predicted from the embedding, and prices that may change.

CostModel learns the costs of calls as they were paid, TokenCostModel learns tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray, RealArray
from equirouter.cost.model_price import ModelPrice
from equirouter.cost.prices import Price, costs_usd
from equirouter.errors import DataError, PipelineError
from equirouter.routers.base import LearnedState, Validation, check_training
from equirouter.routers.networks import forward
from equirouter.routers.networks.mlp import MLPRouter
from equirouter.routers.new_model import fit_estimate
from equirouter.routers.ridge import fit_lines, spectrum

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph


@dataclass(frozen=True, eq=False)
class CostErrors:
    """How far predicted costs are from true ones, per model: (K,) each.

    mean_usd: of the true costs. mse: mean squared error, USD squared. mae_usd: mean absolute error.
    relative: mae_usd as a share of mean_usd; 0 is exact, NaN for a model that costs nothing.
    unexplained: mse as a share of the variance of the true costs; 1 is what predicting the mean
    does, 0 is exact, NaN for a model whose every call costs the same. cells_mse: mean squared error
    over all known cells, whichever model they are of.
    """

    mean_usd: FloatArray
    mse: FloatArray
    mae_usd: FloatArray
    relative: FloatArray
    unexplained: FloatArray
    cells_mse: float

    @property
    def overall_mse(self) -> float:
        """The mean over models, USD squared: the figure that the paper gives (Fig. A4)."""
        return float(self.mse.mean())


def cost_errors(predicted_cost_usd: ArrayLike, cost_usd: ArrayLike) -> CostErrors:
    """Compare predicted with true costs, both (N, K) in USD, over the cells that are known.

    Raises DataError for other shapes, a prediction that is not finite, or a model without a known
    cost. Source: paper, App. C.2; the relative figures are there because a squared error in USD is
    small wherever calls are cheap.
    """
    predicted = np.asarray(predicted_cost_usd, dtype=np.float64)
    true = np.asarray(cost_usd, dtype=np.float64)
    if predicted.ndim != 2 or predicted.shape != true.shape or not predicted.size:
        raise DataError(
            f"predicted costs have shape {predicted.shape}, true ones {true.shape}; expected two "
            "arrays (n_queries, n_models) of one shape"
        )
    if not np.isfinite(predicted).all():
        raise DataError("a predicted cost is not a finite number")
    if np.isnan(true).all(axis=0).any():
        model = int(np.flatnonzero(np.isnan(true).all(axis=0))[0])
        raise DataError(f"model {model} has no known cost among the queries to compare with")
    missed = predicted - true
    mean_usd, mse = np.nanmean(true, axis=0), np.nanmean(missed**2, axis=0)
    mae_usd, variance = np.nanmean(np.abs(missed), axis=0), np.nanvar(true, axis=0)
    # the variance of equal numbers may come out as 1e-40 and not as 0
    varies = np.nanmax(true, axis=0) > np.nanmin(true, axis=0)
    return CostErrors(
        mean_usd=mean_usd,
        mse=mse,
        mae_usd=mae_usd,
        relative=_share(mae_usd, mean_usd, mean_usd > 0),
        unexplained=_share(mse, variance, varies),
        cells_mse=float(np.nanmean(missed**2)),
    )


def _share(part: FloatArray, whole: FloatArray, known: BoolArray) -> FloatArray:
    return np.asarray(np.where(known, part / np.where(known, whole, 1.0), np.nan))


@dataclass(kw_only=True, eq=False)
class CostPredictor(LearnedState, ABC):
    """A function from embeddings to amounts, which prices make into USD.

    Linear, in closed form; or, with hidden units, the paper's two-layer ReLU network on amounts
    that are standardised per column (App. C.1). An amount is never below the lowest that was seen
    in training, so never negative. Amounts do not depend on prices. The linear one knows `held_out`
    amounts (N, A).
    hidden: the width of the hidden layer, open in the paper; 0: linear, and the other settings do
    not count. epochs, batch_size, learning_rate, patience, device: as for MLPRouter, the schedule
    being the routers'.
    """

    predicts: ClassVar[Literal["cost_usd", "tokens"]]
    """The unit of the amounts."""

    per_model: ClassVar[int]
    """Amounts of each model: A is K times this."""

    output: ClassVar[str]
    """The name of the amounts in a graph."""

    hidden: int = 0
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    patience: int | None = None
    device: str = "auto"

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that make an equal, unfitted one; where it is fitted is no part."""
        return {name: value for name, value in super().settings.items() if name != "device"}

    @property
    def n_models(self) -> int:
        """K."""
        return len(self.mean_) // self.per_model

    @property
    def width(self) -> int:
        """d: how wide the embeddings are."""
        return int(self.weights_["hidden.weight" if self.hidden else "out.weight"].shape[1])

    def fit(
        self,
        embeddings: Float32Array,
        amounts: FloatArray,
        *,
        validation: tuple[Float32Array, FloatArray] | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from embeddings (N, d) and amounts (N, A), NaN = not known. Returns self.

        validation: for a network that stops early. Prices are given apart.
        """
        for side in np.hsplit(amounts, self.per_model):
            check_training(embeddings, np.zeros(side.shape), side)
        self.mean_ = np.nanmean(amounts, axis=0)
        self.spread_ = np.nanstd(amounts, axis=0)  # 0 for a constant amount: exact then
        self.lowest_ = np.nanmin(amounts, axis=0)
        if self.hidden:
            self._train(embeddings, amounts, validation, rng)
        else:
            self._solve(embeddings, amounts)
        return self

    @abstractmethod
    def set_prices(self, prices: Sequence[ModelPrice]) -> Self:
        """Take the prices (K of them) of which `usd` makes costs. Returns self.

        Raises ConfigError where a model's price does not say what its calls cost now.
        """

    @abstractmethod
    def usd(self, amounts: RealArray) -> RealArray:
        """Costs (N, K) of amounts (N, A), each row by itself."""

    @abstractmethod
    def add_usd_to_graph(self, graph: "OnnxGraph", amounts: str) -> str:
        """Add the nodes that compute what `usd` does; returns the name of the costs."""

    def columns_of(self, models: IntArray) -> IntArray:
        """Where the amounts of these models (M,) are among all, (M * per_model,)."""
        return np.concatenate([models + side * self.n_models for side in range(self.per_model)])

    def with_models(self, columns: IntArray) -> Self:
        """One of these of its models only, columns (M,), in this order; prices are set anew."""
        at = self.columns_of(columns)
        made = type(self)(**self.settings)
        made.weights_ = self.weights_ | {
            name: np.ascontiguousarray(self.weights_[name][at])
            for name in ("out.weight", "out.bias")
        }
        made.mean_, made.spread_ = self.mean_[at], self.spread_[at]
        made.lowest_ = self.lowest_[at]
        return made

    def with_added(self, embeddings: Float32Array, amounts: FloatArray) -> Self:
        """One with a further model, as its last, from the amounts of some calls of it.

        embeddings (n, d), amounts (n, per_model), no NaN. Only the model's own rows of the output
        layer are learned, as far as possible from those of similar models; prices are set anew.
        Raises DataError for too few calls.
        """
        hidden = self._hidden(embeddings)
        others = self._standard(embeddings)
        k = self.n_models
        made = type(self)(**self.settings)
        made.weights_ = dict(self.weights_)
        rows, levels = self.weights_["out.weight"], self.weights_["out.bias"]
        mean, spread = amounts.mean(axis=0), amounts.std(axis=0)
        ends = [k * (side + 1) for side in range(self.per_model)]
        new_rows, new_levels = [], []
        for side, end in enumerate(ends):
            own = slice(end - k, end)
            labels = (amounts[:, side] - mean[side]) / (spread[side] or 1.0)
            estimate = fit_estimate(others[:, own], hidden, labels, scaled=True)
            row, level = estimate.row(rows[own], levels[own])
            new_rows.append(row)
            new_levels.append(level)
        made.weights_["out.weight"] = np.insert(rows, ends, np.array(new_rows), axis=0)
        made.weights_["out.bias"] = np.insert(levels, ends, np.array(new_levels))
        made.mean_ = np.insert(self.mean_, ends, mean)
        made.spread_ = np.insert(self.spread_, ends, spread)
        made.lowest_ = np.insert(self.lowest_, ends, amounts.min(axis=0))
        return made

    def _train(
        self,
        embeddings: Float32Array,
        amounts: FloatArray,
        validation: tuple[Float32Array, FloatArray] | None,
        rng: np.random.Generator,
    ) -> None:
        held_out = None
        if validation is not None:
            expected = self._standardised(validation[1])
            held_out = Validation(validation[0], expected, expected)
        target = self._standardised(amounts)
        network = MLPRouter(**self.settings | {"device": self.device})
        network.fit(embeddings, target, target, validation=held_out, rng=rng)
        self.weights_ = network.weights_

    def _solve(self, embeddings: Float32Array, amounts: FloatArray) -> None:
        lines = fit_lines(spectrum(embeddings), self._standardised(amounts))
        self.weights_ = {
            "out.weight": np.ascontiguousarray(lines.coef, dtype=np.float32),
            "out.bias": lines.level.astype(np.float32),
        }
        self.held_out = np.maximum(lines.held_out * self.spread_ + self.mean_, self.lowest_)

    def _hidden(self, embeddings: Float32Array) -> Float32Array:
        """The input of the output layer (N, H)."""
        return forward.hidden_units(self.weights_, embeddings) if self.hidden else embeddings

    def _standard(self, embeddings: Float32Array) -> Float32Array:
        """Standardised amounts (N, A)."""
        if self.hidden:
            return forward.mlp(self.weights_, embeddings)
        outputs = forward.product(embeddings, self.weights_["out.weight"])
        return np.asarray(outputs + self.weights_["out.bias"])

    def _standardised(self, amounts: FloatArray) -> FloatArray:
        scale = np.where(self.spread_ > 0, self.spread_, 1.0)
        return np.asarray((amounts - self.mean_) / scale)

    def amounts(self, embeddings: Float32Array) -> FloatArray:
        """Predicted amounts (N, A), not negative."""
        standardised = self._standard(embeddings).astype(np.float64)
        return np.asarray(np.maximum(standardised * self.spread_ + self.mean_, self.lowest_))

    def predict(self, embeddings: Float32Array) -> FloatArray:
        """Predicted cost_usd (N, K), not negative."""
        return self.usd(self.amounts(embeddings)).astype(np.float64, copy=False)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """Add the nodes that compute what `amounts` does, up to rounding to float32.

        embeddings: the name of an input (N, d) float32. Returns the name of the amounts (N, A). The
        standardisation is part of the output layer.
        """
        hidden = embeddings
        if self.hidden:
            hidden = forward.add_hidden_units(graph, self.weights_, embeddings, part="cost")
        weight = self.weights_["out.weight"] * self.spread_[:, None]
        bias = self.weights_["out.bias"] * self.spread_ + self.mean_
        lowest = graph.const("cost.lowest", self.lowest_.astype(np.float32))
        return graph.op("Max", graph.affine("cost.out", hidden, weight, bias), lowest)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave. Raises PipelineError for arrays that do not fit together."""
        super().restore(state)
        if not len(self.mean_) == len(self.spread_) == len(self.lowest_):
            raise PipelineError("the arrays of the cost model do not fit together: train again")
        return self


class CostModel(CostPredictor):
    """Learns the costs of calls as they were paid; see CostPredictor for the settings.

    Where a price changes, the costs of that model change by a factor: ModelPrice.factor.
    """

    predicts: ClassVar[Literal["cost_usd", "tokens"]] = "cost_usd"
    per_model: ClassVar[int] = 1
    output: ClassVar[str] = "predicted_cost_usd"

    _factors: FloatArray | None = None

    def set_prices(self, prices: Sequence[ModelPrice]) -> Self:
        """Take the factor of each of these prices. Raises as CostPredictor says."""
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

    def set_prices(self, prices: Sequence[ModelPrice]) -> Self:
        """Take the prices as they are now. Raises as CostPredictor says."""
        if len(prices) != self.n_models:
            raise DataError(f"{len(prices)} prices for {self.n_models} models")
        self._prices = tuple(price.known() for price in prices)
        self._per_mtok = np.array(
            [[price.input_usd_per_mtok, price.output_usd_per_mtok] for price in self._prices]
        ).T  # (2, K)
        return self

    def usd(self, amounts: RealArray) -> RealArray:
        """Tokens (N, 2 K), input and then output, times prices."""
        tokens: FloatArray = np.asarray(amounts, dtype=np.float64)
        read, written = tokens[:, : self.n_models], tokens[:, self.n_models :]
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

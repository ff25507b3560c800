"""CausalRouter: the choice with the least regret, learned from full outcomes or from a log.

A log shows the outcome of the model that was called, and which one that was may depend on the
query. The mean of the known outcomes then favours models that got the easy queries; doubly robust
estimates (routers/linear.py) do not.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import DataError
from equirouter.extras import require
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import Training, Validation
from equirouter.routers.linear import cross_fitted, doubly_robust
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import NetworkRouter, Task

TIE = 1e-6
"""Performance that the spread in cost counts as, between models that are equal otherwise."""


@dataclass(kw_only=True, eq=False)
class CausalRouter(NetworkRouter):
    """A network whose softmax choice has the least expected regret in performance.

    Cost is left to the policy.

    Logged data: where every training query knows one outcome at most, that of the model that
    answered it, all get doubly robust estimates of every model's outcome (complete_logged).
    Any other table is used as it is: a model whose outcome is not known does not count there.
    A validation part that is a log shows no regret, so it does not stop the training.

    Presets: `default` has the regret of the softmax and the schedule of App. A.2, `original` the
    cross-entropy and 300 epochs. Source: Tsiourvas, Sun and Perakis 2025 (arXiv:2505.16037), who
    also give trade-offs to one network and interpolate between two of them. That is not built:
    trained for all trade-offs at once, a network read at 0 called the strongest model nowhere on
    validation parts of two data sets, and lost 8 to 9 % of its performance. The paper only says
    that the router predicts performance with causal-style features, which none of these forms does.
    """

    fitted_with = ("torch", "sklearn")
    presets = MappingProxyType(
        {
            "default": {},
            "original": {"loss": "classification", "epochs": 300, "patience": None},
        }
    )

    model_axes = MappingProxyType({"weights_.out.weight": 0, "weights_.out.bias": 0})
    scores_are = "ranking"

    loss: Literal["softmax", "classification"] = "softmax"
    """softmax is the expected regret sum_j softmax(f / temperature)_j * (max_k u_k - u_j);
    classification is the cross-entropy to the model of the highest utility u, an upper bound of the
    regret, where ties go to the cheaper model."""

    temperature: PositiveFloat = 1.0
    """Divides the logits in the loss."""

    hidden: PositiveInt = 256
    """Width of the second hidden layer; the first is twice as wide."""

    clip: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Of a log, chances of a call below this count as this: less variance, more bias."""

    def _task(self, training: Training) -> Task:
        from equirouter.routers.fitting import networks

        outcomes = training.outcomes
        performance, cost_usd = complete_logged(*outcomes, clip=self.clip, rng=training.rng)
        spread, held_out = _spread(cost_usd), training.validation

        def rows(part: Validation) -> tuple[Float32Array, FloatArray]:
            known = (performance, cost_usd) if part is outcomes else part[1:]
            return part.embeddings, self._utility(*known, spread)

        return Task(
            lambda: networks.CausalNet(
                outcomes.embeddings.shape[1], self.hidden, performance.shape[1]
            ),
            lambda net, batch: networks.regret_of(
                net(batch[0]) / self.temperature,
                batch[1],
                as_classes=self.loss == "classification",
            ),
            rows,
            can_stop=held_out is not None and not _is_log(held_out.performance),
        )

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Logits (N, K)."""
        x = embeddings.astype(np.float32, copy=False)
        for name in ("first", "second"):
            x = np.maximum(forward.linear(self.weights_, name, x), np.float32(0.0))
        return forward.linear(self.weights_, "out", x)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the three layers."""
        x = embeddings
        for name in ("first", "second", "out"):
            x = forward.add_linear(graph, self.weights_, name, x)
            if name != "out":
                x = graph.op("Relu", x)
        return x

    def _utility(self, performance: FloatArray, cost_usd: FloatArray, spread: float) -> FloatArray:
        """(N, K), NaN where performance is not known."""
        if self.loss == "classification":  # so little cost that it decides between equals only
            tie_break = np.nan_to_num(cost_usd) / spread * TIE
            performance = performance - tie_break
        return performance


def _spread(cost_usd: FloatArray) -> float:
    """Median over queries of the highest less the lowest known cost; 1 where all cost the same."""
    known = np.isfinite(cost_usd).any(axis=1)
    if not known.any():
        return 1.0
    gaps = np.nanmax(cost_usd[known], axis=1) - np.nanmin(cost_usd[known], axis=1)
    return float(np.median(gaps)) or 1.0


N_FOLDS = 2
LEAST_PER_MODEL = 2 * N_FOLDS


def complete_logged(
    embeddings: Float32Array,
    performance: FloatArray,
    cost_usd: FloatArray,
    *,
    clip: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Performance and cost_usd (N, K) of a log with estimates for every model.

    A table is a log where no row knows more than one performance; any other comes back as it is.
    Estimates stand for every model, the one that was called included, and may leave the range of
    outcomes; a row that knows none stays so. The outcome model is a ridge regression per model, the
    chances are a multinomial logistic regression, both on embeddings (N, d); each half of the log
    is predicted by the other. clip: chances below it, above 0 and at most 1, count as it, which
    bounds the variance at the price of a bias. Raises DataError for a model that was called on
    fewer than LEAST_PER_MODEL logged queries.
    """
    known = np.isfinite(performance)
    if not _is_log(performance) or performance.shape[1] == 1:
        return performance, cost_usd
    logged = np.flatnonzero(known.any(axis=1))
    called = known[logged].argmax(axis=1)
    _check_calls(called, performance.shape[1])
    fold = _folds(called, rng)
    chances = np.maximum(_chances(embeddings[logged], called, fold, performance.shape[1]), clip)
    filled = []
    for table in (performance, cost_usd):
        observed = np.where(known, table, np.nan)[logged]
        predicted = cross_fitted(embeddings[logged], observed, fold)
        _check_predicted(predicted)
        whole = table.copy()
        whole[logged] = doubly_robust(predicted, observed, chances)
        filled.append(whole)
    return filled[0], filled[1]


def _is_log(performance: FloatArray) -> bool:
    """Whether no query knows the outcomes of two models."""
    return bool(np.isfinite(performance).sum(axis=1).max(initial=0) <= 1)


def _check_calls(called: IntArray, n_models: int) -> None:
    counts = np.bincount(called, minlength=n_models)
    few = np.flatnonzero(counts < LEAST_PER_MODEL)
    if few.size:
        raise DataError(
            f"model {few[0]} was called on {counts[few[0]]} of {len(called)} logged queries (one "
            f"known outcome each): its outcomes on the others are estimated from at least "
            f"{LEAST_PER_MODEL}; log more of it, or leave the model out"
        )


def _check_predicted(predicted: FloatArray) -> None:
    unknown = np.flatnonzero(np.isnan(predicted).any(axis=0))
    if unknown.size:
        raise DataError(
            f"model {unknown[0]} has no outcome to learn from in one half of the logged queries; "
            "give its performance and cost_usd for more of them"
        )


def _folds(called: IntArray, rng: np.random.Generator) -> IntArray:
    """(n,): a fold per logged query, each with an equal share of every model's calls."""
    order = rng.permutation(len(called))
    by_model = order[np.argsort(called[order], kind="stable")]
    fold = np.empty(len(called), dtype=np.int64)
    fold[by_model] = np.arange(len(called)) % N_FOLDS
    return fold


def _chances(x: Float32Array, called: IntArray, fold: IntArray, n_models: int) -> FloatArray:
    """(n, K): the chance of each model to be called, by the other fold's calls."""
    linear = require("sklearn.linear_model", extra="train", purpose="estimate who was called when")
    chances = np.zeros((len(x), n_models))
    for number in range(N_FOLDS):
        mine = fold == number
        model = linear.LogisticRegression(max_iter=1000).fit(x[~mine], called[~mine])
        chances[np.ix_(mine, model.classes_)] = model.predict_proba(x[mine])
    return chances

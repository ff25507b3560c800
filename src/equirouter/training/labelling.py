"""Which queries to label next for a new model, within a limit on money or number."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.cost import CostPredictor, ModelPrice
from equirouter.cost.prices import Price, costs_usd
from equirouter.errors import ConfigError, DataError
from equirouter.pipeline.pipeline import RoutingPipeline

__all__ = ["LabelPlan", "informative_order", "label_plan"]

PLANNED = 50
"""So many are chosen for what they tell, the others at random: benchmarks/new-models.md."""

MOST_AXES = 8
PRIOR = 0.3  # variance of the unknown along an axis, as a share of a label's noise


@dataclass(frozen=True, eq=False)
class LabelPlan:
    """rows (n,): which queries, the first first. predicted_cost_usd (n,): of the new model's calls.

    The costs are None where no price was given and only a number of labels was asked for.
    """

    rows: IntArray
    predicted_cost_usd: FloatArray | None


def label_plan(
    pipeline: RoutingPipeline,
    embeddings: Float32Array,
    *,
    spend_usd: float | None = None,
    n_labels: int | None = None,
    price: Price | None = None,
    seed: int = 42,
) -> LabelPlan:
    """Which of N queries tell most of a new model's performance per USD.

    embeddings (N, d): by the pipeline's encoder. spend_usd: what all calls of the new model may
    cost together, by what is predicted; it needs price, what the model costs. n_labels: how many at
    most. The first PLANNED are chosen greedily: each lowers the variance of what is estimated over
    all N queries the most per USD, where a model's performance is a linear function of what the
    pipeline says of the others (A-optimal design; Fedorov 1972). Whatever else the money buys is
    drawn at random, which guards against what such a function misses.
    Raises ConfigError for limits that make no sense, or buy not one label; DataError without a
    query.
    """
    if spend_usd is None and n_labels is None:
        raise ConfigError("say how much may be spent, or how many labels there may be")
    if (spend_usd is not None and not spend_usd > 0) or (n_labels is not None and n_labels < 1):
        raise ConfigError(f"spend_usd={spend_usd}, n_labels={n_labels}: expected above 0")
    if len(embeddings) == 0:
        raise DataError("there are no queries to choose from")
    costs = None if price is None else _costs(pipeline, embeddings, price)
    if spend_usd is not None and costs is None:
        raise ConfigError("a limit on money needs the new model's price: give --input and --output")
    affordable = np.arange(len(embeddings))
    if costs is not None and spend_usd is not None:
        affordable = np.flatnonzero(costs <= spend_usd)
        if len(affordable) == 0:
            raise ConfigError(
                f"{spend_usd:g} USD buy not one label: the cheapest query costs about "
                f"{costs.min():.3g}"
            )
    stage = pipeline.stage
    scores = stage.router.predict(embeddings).astype(np.float64)
    estimates = scores if stage.scale is None else stage.scale.apply(scores)
    relative = _relative_costs(stage.cost_model, embeddings) if costs is None else costs
    most = len(affordable) if n_labels is None else min(n_labels, len(affordable))
    order = informative_order(estimates, relative, min(PLANNED, most), affordable)
    rest = np.setdiff1d(affordable, order)
    order = np.concatenate([order, np.random.default_rng(seed).permutation(rest)])[:most]
    if costs is None:
        return LabelPlan(order, None)
    if spend_usd is not None:
        order = order[np.cumsum(costs[order]) <= spend_usd]
    return LabelPlan(order, costs[order])


def informative_order(
    estimates: FloatArray, cost: FloatArray, n: int, among: IntArray | None = None
) -> IntArray:
    """The n rows (n,) of estimates (N, K) that a greedy A-optimal design takes per cost (N,).

    among: the rows that may be taken; None for all.
    """
    axes = _axes(estimates)  # (N, F)
    moment = axes.T @ axes
    covariance = PRIOR * np.eye(axes.shape[1])
    per_cost = 1.0 / np.maximum(cost, np.finfo(float).tiny)
    left = np.ones(len(axes), dtype=bool)
    if among is not None:
        left[:] = False
        left[among] = True
    order = np.empty(min(n, int(left.sum())), dtype=np.int64)
    for place in range(len(order)):
        turned = axes @ covariance  # (N, F)
        lowers = np.einsum("nf,fg,ng->n", turned, moment, turned)
        gain = lowers / (1.0 + (turned * axes).sum(axis=1)) * per_cost
        row = int(np.where(left, gain, -np.inf).argmax())
        order[place], left[row] = row, False
        step = turned[row]
        covariance = covariance - np.outer(step, step) / (1.0 + float(step @ axes[row]))
    return order


def _axes(estimates: FloatArray) -> FloatArray:
    """1, and the principal components (N, F - 1) of estimates, of variance 1 all together."""
    centred = estimates - estimates.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    main = vectors[:, ::-1][:, :MOST_AXES]
    total = float(np.maximum(values[::-1][:MOST_AXES], 0.0).sum())
    size = np.sqrt(total / len(centred)) or 1.0
    return np.hstack([np.ones((len(centred), 1)), centred @ main / size])


def _relative_costs(cost_model: CostPredictor, embeddings: Float32Array) -> FloatArray:
    """(N,): what a query costs beside others, averaged over the models; 1 where all are free."""
    costs = cost_model.predict(embeddings)
    mean = costs.mean(axis=0)
    paid = mean > 0
    if not paid.any():
        return np.ones(len(costs))
    return np.asarray((costs[:, paid] / mean[paid]).mean(axis=1))


def _costs(pipeline: RoutingPipeline, embeddings: Float32Array, price: Price) -> FloatArray:
    """(N,): what a call of a model of that price costs, if it answers as the others do on average.

    Raises ConfigError where no model's price is known.
    """
    model = pipeline.stage.cost_model
    amounts = model.amounts(embeddings)
    if model.predicts == "tokens":
        given, said = (side.mean(axis=1) for side in np.hsplit(amounts, 2))
        return costs_usd(price, given, said)
    found = []
    for column, known in enumerate(pipeline.prices):
        try:
            factor = ModelPrice(known.model, known.trained, price, known.input_share).factor()
        except ConfigError:  # this one says nothing of the new model's costs; others may
            continue
        if known.trained is not None:
            found.append(amounts[:, column] * factor)
    if not found:
        raise ConfigError(
            "the prices of the pipeline's models are not known, so what the new one would cost "
            "cannot be said: give --labels, a number, in place of --spend"
        )
    return np.asarray(np.mean(found, axis=0))

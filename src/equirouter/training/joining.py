"""A model joins a trained pipeline, from outcomes on some dozens of queries."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from equirouter.arrays import FloatArray, RealArray
from equirouter.cost import CostPredictor, ModelPrice
from equirouter.cost.fit import public_prices
from equirouter.cost.model_price import counted, input_share, price_that_explains
from equirouter.cost.prices import Price
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import query_prints
from equirouter.encoders.cache import EmbeddingCache, encode_table
from equirouter.errors import ConfigError, DataError
from equirouter.pipeline.parts import ValidationRecord
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.pipeline.stage import Stage
from equirouter.progress import Progress, silent
from equirouter.routers import Router
from equirouter.routers.new_model import LEAST_LABELS, Labelled
from equirouter.training.pool_changes import (
    Pool,
    at_prices,
    calibrated_again,
    strongest_of,
)
from equirouter.training.protocol import readable, stream

FOLDS = 5
"""Of the labels: each is estimated from the others, which are at least LEAST_LABELS."""


@dataclass(frozen=True, eq=False)
class Joined:
    """A pipeline with one more model, and what that model was learned from.

    n_labels: queries with a known outcome. performance: its estimated mean on the validation
    queries. follows: by the names of the other models, how far its
    performance is taken for theirs; the shares and that of a constant sum to 1.
    """

    pipeline: RoutingPipeline
    n_labels: int
    performance: float
    follows: dict[str, float]


def with_model(
    pipeline: RoutingPipeline,
    outcomes: Outcomes,
    model: str,
    *,
    price: Price | None = None,
    quality: float | None = None,
    cache: EmbeddingCache | None = None,
    progress: Progress = silent,
) -> Joined:
    """The pipeline with one more model, learned from the queries of a table that have its outcome.

    Of the router and the cost model only what belongs to the new model is fitted (see
    Router.with_added). Operating points are found on the validation queries and the labelled ones,
    with estimates for what is not known of either. price: where the table's costs and tokens do
    not tell it. quality: the target for calls that name none, where another one is wanted.
    Raises ConfigError for a model that is there already or that the table does not have, for a
    router that cannot take one in, and where no price can be said but is needed; DataError for too
    few outcomes; MissingExtraError without onnx.
    """
    record = pipeline.record
    if model in pipeline.models:
        raise ConfigError(
            f"the pipeline has {model!r} already; take it out first (models remove), or name "
            "another"
        )
    stage = pipeline.stage
    if stage.collapse is not None:
        raise ConfigError(
            f"policy {pipeline.policy} is priced by collapse scores, which take the outcomes of "
            f"all models on the same queries, and those of {model!r} would be estimates: train on "
            "a table that has them"
        )
    tokens = stage.cost_model.predicts == "tokens"
    table = _labelled(readable(stage.encoder, outcomes), model, record, tokens=tokens)
    prices = (*pipeline.prices, _price(table, model, price, tokens=tokens))
    embeddings = encode_table(stage.encoder, table, cache=cache, progress=progress)
    labelled = Labelled(
        embeddings, table.performance[:, 0], record.embeddings, record.scores, stage.scale
    )
    router, learned, estimates = stage.router.with_added(labelled)
    cost_model = stage.cost_model.with_added(embeddings, _amounts(stage.cost_model, table))
    grown = at_prices(stage, prices, router, cost_model)
    both = np.concatenate([estimates, _cross_fitted(stage.router, labelled)])
    after = _with_labels(record, (stage, grown), prices, table, labelled, both)
    pool = Pool(prices, after, _strongest(pipeline, after))
    note = f"added {model} from {table.n_queries} labelled queries"
    made = calibrated_again(pipeline, grown, pool, quality=quality, note=note)
    made = replace(made, learned=np.union1d(pipeline.learned, query_prints(table)))
    shares = zip(pipeline.models, np.maximum(learned.weights, 0.0).tolist(), strict=True)
    return Joined(made, table.n_queries, float(after.performance[:, -1].mean()), dict(shares))


def _labelled(
    outcomes: Outcomes, model: str, record: ValidationRecord, *, tokens: bool
) -> Outcomes:
    """The rows and the one column with the outcomes of the model, nothing unknown in them."""
    if model not in outcomes.models:
        raise ConfigError(
            f"{outcomes.name} has no model {model!r}; its models are {', '.join(outcomes.models)}"
        )
    table = outcomes.with_models([model])
    needed = [table.performance, table.cost_usd]
    if tokens:
        if table.tokens is None:
            raise DataError(
                f"{outcomes.name} has no input_tokens and output_tokens, and the pipeline predicts "
                "tokens: add the two columns"
            )
        needed += table.tokens
    known = np.all([np.isfinite(array[:, 0]) for array in needed], axis=0)
    if known.sum() < 2 * LEAST_LABELS:
        raise DataError(
            f"{outcomes.name}: {int(known.sum())} queries have the whole outcome of {model!r}; at "
            f"least {2 * LEAST_LABELS} are needed, and 100 are a good start"
        )
    table = table.take(known)
    low, high = record.ends
    scale = (float(table.performance.min()), float(table.performance.max()))
    if scale[0] < low - (high - low) or scale[1] > high + (high - low):
        raise DataError(
            f"{outcomes.name}: the performance of {model!r} goes from {scale[0]:g} to "
            f"{scale[1]:g}, that of the other models from {low:g} to {high:g}: give it on their "
            "scale"
        )
    return table


def _price(table: Outcomes, model: str, price: Price | None, *, tokens: bool) -> ModelPrice:
    published = public_prices(model)
    costs = table.cost_usd[:, 0]
    if not tokens:
        known = price or (published[0] if published else None)
        return ModelPrice(model, known, known, input_share(counted(table.texts), costs, known))
    if price is None and table.tokens is not None:
        given, output = (side[:, 0] for side in table.tokens)
        price = price_that_explains((given, output), costs, published)
    if price is None:
        raise ConfigError(
            f"no price explains what the calls of {model!r} cost from their tokens: state it "
            "(--input, --output)"
        )
    return ModelPrice(model, price, price)


def _amounts(cost_model: CostPredictor, table: Outcomes) -> FloatArray:
    if cost_model.predicts == "cost_usd" or table.tokens is None:
        return table.cost_usd
    return np.hstack(table.tokens)


def _cross_fitted(router: Router, labelled: Labelled) -> FloatArray:
    """Estimates (n,) for the labelled queries, each learned from other ones."""
    embeddings, performance = labelled.embeddings, labelled.performance
    scores = router.predict(embeddings)
    fold = stream(0, "labels").permutation(len(performance)) % FOLDS
    estimates = np.empty(len(performance))
    for number in range(FOLDS):
        out = fold == number
        _, _, estimates[out] = router.with_added(
            Labelled(
                embeddings[~out], performance[~out], embeddings[out], scores[out], labelled.scale
            )
        )
    return estimates


def _with_labels(
    record: ValidationRecord,
    stages: tuple[Stage, Stage],
    prices: tuple[ModelPrice, ...],
    table: Outcomes,
    labelled: Labelled,
    estimates: FloatArray,
) -> ValidationRecord:
    """The validation queries and after them the labelled ones, with the new model's column.

    stages: before and after. estimates (V + n,): of the new model's performance. Of a query either
    the outcomes of the other models are known or that of the new one, as if a log had drawn which;
    so means are doubly robust estimates (data/logged.py), and promises count how few labels there
    are. Costs and tokens that are not known are as predicted.
    """
    before, grown = stages
    n_old, low, high = len(record.vectors), *record.ends
    new = labelled.embeddings.astype(np.float16).astype(np.float32)
    seen = np.concatenate([record.embeddings, new])
    others = np.concatenate([record.scores, before.router.predict(new)])
    only_rank = grown.router.scores_are == "ranking"
    own = grown.router.predict(seen)[:, -1] if only_rank else estimates
    estimated = others.astype(np.float64) if before.scale is None else before.scale.apply(others)
    base = np.clip(np.column_stack([estimated, estimates]), low, high)
    each = _blocks(  # as many queries as a known outcome stands for
        np.full(record.performance.shape, len(seen) / n_old),
        np.full(table.performance.shape, len(seen) / len(new)),
    )
    error = _blocks(record.performance, table.performance) - base
    model = copy.copy(grown.cost_model)
    amounts = model.amounts(seen)
    amounts[:n_old, model.columns_of(np.arange(model.n_models - 1))] = record.amounts
    model.set_prices(tuple(replace(price, now=price.trained) for price in prices))
    cost_usd = _filled(_blocks(record.cost_usd, table.cost_usd), model.usd(amounts))
    return ValidationRecord(
        vectors=seen,
        scores=np.column_stack([others, own]).astype(np.float32),
        amounts=amounts,
        performance=base + np.nan_to_num(each * error),
        cost_usd=cost_usd,
        tokens=_tokens(record, table, amounts) if model.predicts == "tokens" else None,
        estimated=np.append(record.estimated, True),
        log=_known(record, table, np.nan_to_num(each)),
    )


def _tokens(
    record: ValidationRecord, table: Outcomes, amounts: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Input and output tokens (V + n, K + 1) each, as predicted where they are not known."""
    if record.tokens is None or table.tokens is None:
        return None
    sides = zip(record.tokens, table.tokens, np.hsplit(amounts, 2), strict=True)
    given, output = (_filled(_blocks(old, new), predicted) for old, new, predicted in sides)
    return given, output


def _known(record: ValidationRecord, table: Outcomes, each: FloatArray) -> FloatArray:
    """ValidationRecord.log (V + n, 3, K + 1). each: as many queries as a known outcome is."""
    known, paid, weights = (
        (record.performance, record.cost_usd, np.ones_like(record.performance))
        if record.log is None
        else (record.log[:, side] for side in range(3))
    )
    ones = np.ones_like(table.performance)
    log = [
        _blocks(known, table.performance),
        _blocks(paid, table.cost_usd),
        each * np.nan_to_num(_blocks(weights, ones)),
    ]
    return np.stack(log, axis=1)


def _blocks(old: FloatArray, new: FloatArray) -> FloatArray:
    """(V + n, K + 1), of the old models' outcomes (V, K) and the new one's (n, 1); else NaN."""
    whole = np.full((len(old) + len(new), old.shape[1] + 1), np.nan)
    whole[: len(old), :-1] = old
    whole[len(old) :, -1:] = new
    return whole


def _filled(known: FloatArray, predicted: RealArray) -> FloatArray:
    return np.where(np.isnan(known), predicted, known)


def _strongest(pipeline: RoutingPipeline, after: ValidationRecord) -> int:
    """The column of the strongest model: the one that was, or the new one if it is above."""
    best, new = strongest_of(pipeline), after.performance.shape[1] - 1
    mean: Sequence[float] = after.performance.mean(axis=0).tolist()
    return new if mean[new] > mean[best] else best

"""A model joins a trained pipeline, from outcomes on some dozens of queries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.cost import CostPredictor, ModelPrice
from equirouter.cost.model_price import counted, input_share, price_that_explains
from equirouter.cost.price_table import shipped_prices
from equirouter.cost.prices import Price, price_of
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import query_prints
from equirouter.encoders.cache import EmbeddingCache, encode_table
from equirouter.errors import ConfigError, DataError
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.pipeline.record import ValidationRecord
from equirouter.pipeline.stage import Stage
from equirouter.progress import Progress, silent
from equirouter.routers.joining import LEAST_LABELS, Labelled
from equirouter.training.pool import (
    Pool,
    at_prices,
    calibrated_again,
    strongest_of,
)
from equirouter.training.protocol import readable


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
    Router.with_added). Its outcomes on the validation queries, which operating points need, are not
    known: the estimates stand for them. price: where the table's costs and tokens do not tell it.
    quality: the target for calls that name none, where another one is wanted.
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
    after = _with_column(record, grown, estimates)
    pool = Pool(prices, after, _strongest(pipeline, after))
    note = f"added {model} from {table.n_queries} labelled queries; its outcomes on the validation "
    note += "queries are estimates"
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
    if known.sum() < LEAST_LABELS:
        raise DataError(
            f"{outcomes.name}: {int(known.sum())} queries have the whole outcome of {model!r}; at "
            f"least {LEAST_LABELS} are needed, and 50 are a good start"
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
    """The price of the new model, in its outcomes and now."""
    published = tuple(
        known for known in (price_of(model), shipped_prices().get(model)) if known is not None
    )
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
    """Amounts (n, per_model) of the labelled calls that the cost model learns."""
    if cost_model.predicts == "cost_usd" or table.tokens is None:
        return table.cost_usd
    return np.hstack(table.tokens)


def _with_column(
    record: ValidationRecord, stage: Stage, performance: FloatArray
) -> ValidationRecord:
    """The validation queries with what is estimated of the new model, as the last column."""
    low, high = record.ends
    model = stage.cost_model
    seen = model.amounts(record.embeddings)
    own = seen[:, model.columns_of(np.array([model.n_models - 1]))]
    if record.tokens is None or model.predicts == "cost_usd":  # tokens are not predicted
        cost_usd, tokens = own, None
    else:
        cost_usd = np.asarray(model.usd(seen), dtype=np.float64)[:, -1:]
        given, output = record.tokens
        tokens = (np.hstack([given, own[:, :1]]), np.hstack([output, own[:, 1:]]))
    only_rank = stage.router.scores_are == "ranking"
    scores = stage.router.predict(record.embeddings)[:, -1] if only_rank else performance
    clipped = np.clip(performance, low, high)[:, None]
    own_log = np.stack([clipped, cost_usd, np.ones_like(clipped)], axis=1)  # all known, as it were
    before = np.hsplit(record.amounts, model.per_model)  # the columns of each side together
    amounts = [np.hstack([side, own[:, [number]]]) for number, side in enumerate(before)]
    return replace(
        record,
        scores=np.hstack([record.scores, scores[:, None]]).astype(np.float32),
        amounts=np.hstack(amounts),
        performance=np.hstack([record.performance, clipped]),
        cost_usd=np.hstack([record.cost_usd, cost_usd]),
        tokens=tokens,
        estimated=np.append(record.estimated, True),
        log=None if record.log is None else np.concatenate([record.log, own_log], axis=2),
    )


def _strongest(pipeline: RoutingPipeline, after: ValidationRecord) -> int:
    """The column of the strongest model: the one that was, or the new one if it is above."""
    best, new = strongest_of(pipeline), after.performance.shape[1] - 1
    mean: Sequence[float] = after.performance.mean(axis=0).tolist()
    return new if mean[new] > mean[best] else best

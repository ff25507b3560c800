"""A pipeline whose pool changes: other prices, a model less; nothing is trained again."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.cost import CostPredictor, ModelPrice
from equirouter.cost.fit import FittedCosts
from equirouter.cost.price_table import price_to
from equirouter.cost.prices import Price, costs_usd
from equirouter.errors import ConfigError
from equirouter.pipeline import Provenance, RoutingPipeline
from equirouter.pipeline.parts import ValidationRecord
from equirouter.pipeline.scorer import Scorer
from equirouter.pipeline.stage import Stage
from equirouter.policy import Policy
from equirouter.policy.pool_plans import PoolPlans
from equirouter.policy.utility import StrongestPolicy
from equirouter.registry import POLICIES
from equirouter.routers import Router
from equirouter.training.collapse import fit_collapse
from equirouter.training.fitted import (
    FittedRouter,
    FittedStage,
    calibrated,
    certainty_of,
    cross_fitted,
)
from equirouter.training.protocol import Part


@dataclass(frozen=True)
class Pool:
    """A pool after a change: prices, validation queries, strongest model.

    prices: a ModelPrice per model, in the order of the columns of all else. record: the validation
    queries with the outcomes of these models, costs as they were paid. strongest: a column.
    """

    prices: tuple[ModelPrice, ...]
    record: ValidationRecord
    strongest: int


def repriced(
    pipeline: RoutingPipeline,
    prices: Mapping[str, Price],
    *,
    was: Mapping[str, Price] | None = None,
    quality: float | None = None,
) -> RoutingPipeline:
    """The pipeline at other prices of some of its models: costs and operating points follow.

    prices: by name, what they are now. was: by name, what they were in the outcomes that the
    pipeline learned from, where that is not known. quality: the target for calls that name none,
    where another one is wanted.
    Raises ConfigError for a model that the pipeline does not have, where a price does not say what
    calls cost (ModelPrice.factor).
    """
    changed_prices = list(pipeline.prices)
    for name, price in {**dict.fromkeys(was or {}), **prices}.items():
        column = model_column(pipeline, name)
        trained = (was or {}).get(name, changed_prices[column].trained)
        now = changed_prices[column].now if price is None else price
        changed_prices[column] = replace(changed_prices[column], trained=trained, now=now)
    pool = Pool(tuple(changed_prices), pipeline.record, strongest_of(pipeline))
    stage = pipeline.stage
    changed = at_prices(stage, pool.prices, stage.router, copy.copy(stage.cost_model))
    return calibrated_again(
        pipeline,
        changed,
        pool,
        quality=quality,
        note=f"prices changed: {', '.join(sorted(prices))}",
    )


def without(
    pipeline: RoutingPipeline, model: str, *, quality: float | None = None
) -> RoutingPipeline:
    """The pipeline without one of its models; the others are scored as they were.

    Raises ConfigError for a model that it does not have, for a router that cannot go on without one
    (Router.with_models), for the last two models,; MissingExtraError without onnx.
    """
    record = pipeline.record
    out = model_column(pipeline, model)
    if len(pipeline.models) == 2:
        raise ConfigError(f"without {model!r} there is one model left, and nothing to decide")
    columns = np.delete(np.arange(len(pipeline.models)), out)
    amounts = pipeline.stage.cost_model.columns_of(columns)
    left = record.with_models(columns, amounts).without_estimates()
    before = strongest_of(pipeline)
    # if it was the strongest: the highest mean performance, of equal ones the cheaper
    ranked = np.lexsort((left.cost_usd.mean(axis=0), -left.performance.mean(axis=0)))
    strongest = int(ranked[0] if before == out else np.flatnonzero(columns == before)[0])
    prices = tuple(pipeline.prices[column] for column in columns.tolist())
    pool = Pool(prices, left, strongest)
    stage = pipeline.stage
    router, cost_model = stage.router.with_models(columns), stage.cost_model.with_models(columns)
    changed = at_prices(stage, prices, router, cost_model)
    return calibrated_again(pipeline, changed, pool, quality=quality, note=f"without {model}")


def calibrated_again(
    pipeline: RoutingPipeline,
    stage: Stage,
    pool: Pool,
    *,
    quality: float | None,
    note: str,
) -> RoutingPipeline:
    """A pipeline of this stage for a pool.

    Scale, operating points and baseline are found anew on the validation queries. What
    was measured on the test part was measured before, so it is left out. note: what has changed, to
    be kept.
    """
    fitted = _fitted(stage, pool, _seed(pipeline))
    models = tuple(price.model for price in pool.prices)
    calibration, baseline, notes = calibrated(fitted, pipeline.policy, models, pool.strongest)
    target = pipeline.quality if quality is None else quality
    facts = {model: known for model, known in pipeline.model_facts.items() if model in models}
    plans, lost = _plans_left(pipeline, models)
    return replace(
        pipeline,
        stage=fitted.stage,
        models=models,
        calibration=calibration,
        quality=target,
        provenance=_changed(pipeline.provenance, (note, *notes, *lost)),
        model_facts=facts,
        baseline=baseline,
        prices=pool.prices,
        record=pool.record,
        plans=plans,
    )


def held_out_choices(pipeline: RoutingPipeline, record: ValidationRecord) -> IntArray:
    """The columns that a pipeline chooses, (V,), of queries that it has not learned from.

    record: of its models. A call names no target.
    """
    pool = Pool(tuple(pipeline.prices), record, strongest_of(pipeline))
    point = pipeline.operating_point()
    if point.setting == StrongestPolicy.setting:
        return np.full(len(record.scores), pool.strongest)
    rule: Policy = POLICIES.load(pipeline.policy)()
    fitted = _fitted(pipeline.stage, pool, _seed(pipeline))
    return fitted.choices(rule, np.array([point.value]))[0][:, 0]


def _seed(pipeline: RoutingPipeline) -> int:
    return int(pipeline.provenance.split.get("seed", 0))


def _plans_left(
    pipeline: RoutingPipeline, models: tuple[str, ...]
) -> tuple[PoolPlans | None, tuple[str, ...]]:
    """The plans of the pipeline for these models, and what a user should know of it."""
    if pipeline.plans is None:
        return None, ()
    known = {model: column for column, model in enumerate(pipeline.models)}
    left = pipeline.plans.of_pool([known.get(model, -1) for model in models])
    if left is not None:
        return left, ()
    return None, ("its plans were of the pool as it was: train again to ask several models",)


@dataclass(frozen=True)
class DescribedModel:
    """Facts about a model of a pipeline.

    performance and cost_usd: means on the validation queries, costs at the prices of now;
    estimated: whether they are (ValidationRecord). strongest, cheapest: by these. price,
    trained_price, input_cost_share: see ModelPrice (now, trained, input_share).
    """

    model: str
    performance: float
    cost_usd: float
    estimated: bool
    strongest: bool
    cheapest: bool
    price: Price | None
    trained_price: Price | None
    input_cost_share: float | None

    def document(self) -> dict[str, Any]:
        """All of it, for JSON."""
        prices = {"price": self.price, "trained_price": self.trained_price}
        return vars(self) | {
            name: None if price is None else price_to(price) for name, price in prices.items()
        }


def described_models(pipeline: RoutingPipeline) -> list[DescribedModel]:
    """Facts about each model, in the order of the pipeline."""
    record = pipeline.record
    costs = costs_now(record, pipeline.prices).mean(axis=0)
    strongest, cheapest = strongest_of(pipeline), int(costs.argmin())
    return [
        DescribedModel(
            model=price.model,
            performance=float(record.performance[:, column].mean()),
            cost_usd=float(costs[column]),
            estimated=bool(record.estimated[column]),
            strongest=column == strongest,
            cheapest=column == cheapest,
            price=price.now,
            trained_price=price.trained,
            input_cost_share=price.input_share,
        )
        for column, price in enumerate(pipeline.prices)
    ]


class CostFactor(NamedTuple):
    """A cost of now as a share of the cost in training; low, high: its range."""

    factor: float
    low: float
    high: float


def cost_factor(pipeline: RoutingPipeline, model: str) -> CostFactor:
    """The cost of a model's calls now, as a share of their cost in training, with its range.

    On the validation queries where tokens are known, and exact then; else ModelPrice.factor and its
    range. Raises ConfigError as `repriced`.
    """
    column, record = model_column(pipeline, model), pipeline.record
    price = pipeline.prices[column]
    if record.tokens is None:
        return CostFactor(price.factor(), *price.factor_range())
    now = costs_now(record, pipeline.prices)[:, column].sum()
    paid = record.cost_usd[:, column].sum()
    factor = float(now / paid) if paid > 0 else 1.0
    return CostFactor(factor, factor, factor)


def model_column(pipeline: RoutingPipeline, model: str) -> int:
    """The column of a model. Raises ConfigError, with the names there are."""
    if model not in pipeline.models:
        raise ConfigError(
            f"the pipeline has no model {model!r}; its models are {', '.join(pipeline.models)}"
        )
    return pipeline.models.index(model)


def costs_now(record: ValidationRecord, prices: Sequence[ModelPrice]) -> FloatArray:
    """Costs (V, K) in USD of the calls of the record at current prices.

    Where tokens are known, what was paid less what the tokens cost then, plus what they cost now.
    Calls of unknown tokens change by the factor of the same model's calls of known tokens; where
    there are none, and without tokens, by the factor of the price.
    """
    cost_usd = record.cost_usd.copy()
    for column, price in enumerate(prices):
        if price.now == price.trained:
            continue
        known = np.zeros(len(cost_usd), dtype=bool)
        factor = None
        if record.tokens is not None and price.trained is not None and price.now is not None:
            given, output = (side[:, column] for side in record.tokens)
            known = np.isfinite(given) & np.isfinite(output)
            then, now = (
                costs_usd(each, given[known], output[known]) for each in (price.trained, price.now)
            )
            paid = cost_usd[known, column]
            cost_usd[known, column] = np.maximum(paid - then + now, 0.0)
            factor = cost_usd[known, column].sum() / paid.sum() if paid.sum() > 0 else None
        if not known.all():
            cost_usd[~known, column] *= price.factor() if factor is None else factor
    return cost_usd


def _fitted(stage: Stage, pool: Pool, seed: int) -> FittedStage:
    """The stage on the validation queries, with its scale found anew."""
    record = pool.record
    n = len(record.vectors)
    nothing = np.zeros((n, 0), dtype=np.float32)
    part = Part(
        rows=np.arange(n),
        embeddings=record.embeddings,
        tasks=nothing,
        noise=nothing,
        performance=record.performance,
        cost_usd=costs_now(record, pool.prices),
        predicted_amounts=record.amounts,
        predicted_cost_usd=np.asarray(stage.cost_model.usd(record.amounts), dtype=np.float64),
        log=record.log,
    )
    if stage.collapse is not None:
        collapse, predicted = fit_collapse(part)  # who matches whom for less has changed
        stage, part = replace(stage, collapse=collapse), replace(part, predicted_collapse=predicted)
    fitted = FittedRouter(stage.router, part, record.scores.astype(np.float64), 0.0)
    held_out = cross_fitted(fitted, seed)
    certainty = certainty_of(held_out, part) or stage.certainty
    return FittedStage(
        replace(stage, scale=fitted.scale, certainty=certainty),
        fitted,
        FittedCosts(stage.cost_model, pool.prices),
        held_out,
    )


def at_prices(
    stage: Stage, prices: tuple[ModelPrice, ...], router: Router, cost_model: CostPredictor
) -> Stage:
    """The stage with another router and cost model; raises where a price does not say the cost."""
    cost_model.set_prices(prices)
    scorer = (
        Scorer(stage.scorer.graph, router, cost_model)  # amounts are the same at any price
        if router is stage.router
        else Scorer.of(router, cost_model)
    )
    return replace(stage, router=router, cost_model=cost_model, scorer=scorer)


def strongest_of(pipeline: RoutingPipeline) -> int:
    """The column of the model that a quality is a share of."""
    return model_column(pipeline, pipeline.baseline.strongest)


def _changed(before: Provenance, notes: tuple[str, ...]) -> Provenance:
    """Where the pipeline comes from, and what was changed since; the test was of before."""
    note = f"changed after training: {notes[0]}; test metrics are of before, and left out"
    kept = [*before.data.get("notes", []), note, *notes[1:]]
    return Provenance({**before.data, "notes": kept}, before.split, {})

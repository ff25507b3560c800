"""A challenger for a pipeline that serves: trained on what is known now, and held against it."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from equirouter.arrays import BoolArray, IntArray
from equirouter.cost.model_price import ModelPrice
from equirouter.cost.prices import costs_usd
from equirouter.data.logged import cell_weights, effective_queries, is_estimated
from equirouter.data.merging import merge_tables
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import query_prints
from equirouter.encoders import make_encoder
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache, encode_table
from equirouter.evaluation.promotion.comparison import (
    Comparison,
    comparable,
    compare,
    compare_joined,
)
from equirouter.evaluation.promotion.gate import Gate, Verdict
from equirouter.evaluation.train import train
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.pipeline.parts import ValidationRecord
from equirouter.training.off_policy import measured_outcomes
from equirouter.training.pool_changes import Pool, calibrated_again, model_column, repriced
from equirouter.training.protocol import readable

MOST_HELD_OUT = 2000
"""Held-out queries beyond which an interval gains little, and training loses."""
CONFIDENCE = 0.85
"""Of a promise made on few later queries."""

Promise: TypeAlias = Callable[[RoutingPipeline, Outcomes], RoutingPipeline]
"""The pipeline with operating points found on queries that it has not learned from."""


@dataclass(frozen=True, eq=False)
class Challenge:
    """A challenger, and what the gate says of it; comparison: None where it had too little."""

    pipeline: RoutingPipeline
    comparison: Comparison | None
    verdict: Verdict


def new_queries(table: Outcomes, *pipelines: RoutingPipeline) -> IntArray:
    """The rows of a table that tell of all models and that none of these learned from, in order.

    Those have all outcomes, or are of a log. Raises DataError for a model of theirs that the table
    does not have.
    """
    new = np.flatnonzero(unseen(table, *pipelines))
    known = comparable(table.take(new) if len(new) else table, pipelines)
    return new[known] if len(new) else new


def worth(table: Outcomes, rows: IntArray) -> float:
    """As many complete queries tell as much as these rows of a table."""
    if not len(rows):
        return 0.0
    part = table.take(rows)
    return effective_queries(cell_weights(part)) if is_estimated(part) else float(len(rows))


def unseen(table: Outcomes, *pipelines: RoutingPipeline) -> BoolArray:
    """(N,): queries that none of these has learned from."""
    seen = np.concatenate([pipeline.learned for pipeline in pipelines])
    return ~np.isin(query_prints(table), seen)


def challenge(
    champion: RoutingPipeline,
    table: Outcomes,
    fit: Callable[[IntArray], RoutingPipeline],
    *,
    latest: IntArray,
    gate: Gate,
    promise: Promise | None = None,
    cache: EmbeddingCache | None = None,
) -> Challenge:
    """Train a challenger on a table without its latest queries, and compare the two on these.

    fit: trains on these rows of the table. latest: rows that the champion has not learned from (see
    new_queries), the latest last. Half of them are held out, worth at least gate.minimum_rows and
    at most 2,000 complete ones: neither pipeline learns from them. Where all are worth less than
    that minimum, the challenger learns from all rows and does not pass. promise: finds its
    operating points anew, on rows before the held-out ones that it has not learned from either, or
    the gate would judge what was chosen to look good to it (see _for_points). Errors: those of fit,
    promise and compare.
    """
    everything = np.arange(table.n_queries)
    n = worth(table, latest)
    if n < gate.minimum_rows:
        reason = (
            f"{n:.0f} complete queries are new to the current version, and "
            f"{gate.minimum_rows} are needed to compare on"
        )
        return Challenge(fit(everything), None, Verdict((reason,)))
    least, most = (math.ceil(rows * len(latest) / n) for rows in (gate.minimum_rows, MOST_HELD_OUT))
    n_held_out = min(max(least, len(latest) // 2), most)
    held_out = table.take(latest[-n_held_out:])
    points = latest[:0] if promise is None else _for_points(latest[:-n_held_out], least)
    kept_out = query_prints(table.take(np.append(points, latest[-n_held_out:])))
    pipeline = fit(everything[~np.isin(query_prints(table), kept_out)])
    if promise is not None and len(points):
        pipeline = promise(pipeline, table.take(points))
    comparison = compare(champion, pipeline, held_out, cache=cache)
    return Challenge(pipeline, comparison, gate.judge(comparison))


def _for_points(earlier: IntArray, least: int) -> IntArray:
    """The rows to find operating points on: the later half of those before the held-out ones.

    At least as many as the gate needs; none where there are fewer, as what few queries promise is
    expensive, and the points that the training found on a part of its own then stay.
    """
    n = max(least, len(earlier) // 2)
    return earlier[-n:] if n <= len(earlier) else earlier[:0]


def judged_join(before: RoutingPipeline | None, joined: RoutingPipeline) -> Challenge:
    """A pipeline that a model joined, and what the gate says of it; before: None for no gate."""
    if before is None:
        return Challenge(joined, None, Verdict(()))
    comparison = compare_joined(before, joined)
    return Challenge(joined, comparison, Gate().judge(comparison))


def settled(
    made: Challenge,
    versions: PipelineVersions,
    *,
    over: str | None,
    how: str,
    forced: bool = False,
    is_tried: bool = False,
) -> str:
    """Save a challenger as a version, and make it current if it passes; returns its name.

    over: the version that it was held against; forced: without the gate; is_tried: a gateway is to
    try it first. The history has the figures, and why it does not pass. Raises ConfigError where
    another version became current.
    """
    version = versions.add(made.pipeline, how=how)
    figures = None if made.comparison is None else made.comparison.document()
    if made.verdict.passes and is_tried:
        why = "it is to be tried as a canary"
        versions.note(version, "passed", how=how, why=why, figures=figures)
    elif made.verdict.passes:
        versions.promote(version, over=over, how=how, forced=forced, figures=figures)
    else:
        versions.note(version, "refused", how=how, why=made.verdict.why, figures=figures)
    return version


def trained_like(
    champion: RoutingPipeline,
    table: Outcomes,
    *,
    encoder_options: Mapping[str, object] | None = None,
    seed: int = 42,
    cache: EmbeddingCache | None = None,
) -> RoutingPipeline:
    """A pipeline trained on a table as the champion was: encoder, router, policy, promise, facts.

    Of the table only the models of the champion are learned; prices that were changed in it are
    changed in the new one, and are not learned a second time from rows that were already charged at
    them. encoder_options: those that no pipeline carries. Errors: those of train.
    """
    changed = [p for p in champion.prices if p.now is not None and p.now != p.trained]
    before = champion.stage.encoder
    saved = {name: before.settings[name] for name in before.saved_options}
    encoder: Encoder = make_encoder(before.name, **saved, **(encoder_options or {}))
    made = train(
        _before_changes(table.choose_models(champion.models), changed),
        encoder,
        router=_spec(champion),
        policy=champion.policy,
        quality=champion.quality,
        confidence=champion.confidence,
        when_nothing_fits=champion.when_nothing_fits,
        ood=champion.ood,
        model_facts=champion.model_facts,
        seed=seed,
        cache=cache,
    )
    if not changed:
        return made
    return repriced(
        made,
        {price.model: price.now for price in changed if price.now is not None},
        was={price.model: price.trained for price in changed if price.trained is not None},
    )


def _before_changes(table: Outcomes, changed: Sequence[ModelPrice]) -> Outcomes:
    """The table with the costs of all calls whose tokens are known at the prices of before."""
    if table.tokens is None:
        return table
    cost_usd = table.cost_usd.copy()
    for price in changed:
        if price.trained is None:
            continue
        column = table.models.index(price.model)
        read, written = (side[:, column] for side in table.tokens)
        known = np.isfinite(read + written + cost_usd[:, column])
        cost_usd[known, column] = costs_usd(price.trained, read[known], written[known])
    return replace(table, cost_usd=cost_usd)


def promised_on(
    pipeline: RoutingPipeline,
    table: Outcomes,
    *,
    strongest: str,
    cache: EmbeddingCache | None = None,
) -> RoutingPipeline:
    """The pipeline with operating points found on queries that it has not learned from.

    Traffic changes, and a promise made on old queries need not hold for those that come now. They
    are few, so the promise is never made with a lower confidence than 0.85: the cheapest of many
    points looks better than it is. table: such queries, of which the rows count
    that tell of all models. strongest: the model that the promise is a share of, the champion's: a
    new choice from a log of few answers may fall on a weaker one, and the promise would mean less.
    What was measured on the test part was measured before, so it is left out. Errors: those of
    train.
    """
    stage = pipeline.stage
    table = readable(stage.encoder, table).choose_models(pipeline.models)
    table = table.take(comparable(table, (pipeline,)))
    embeddings = encode_table(stage.encoder, table, cache=cache)
    seen = measured_outcomes(table, embeddings)
    record = ValidationRecord(
        vectors=embeddings,
        scores=stage.router.predict(embeddings),
        amounts=stage.cost_model.amounts(embeddings),
        performance=seen.performance,
        cost_usd=seen.cost_usd,
        tokens=table.tokens if seen.log is None else None,
        estimated=np.zeros(len(pipeline.models), dtype=bool),
        log=seen.log,
    )
    pool = Pool(tuple(pipeline.prices), record, model_column(pipeline, strongest))
    note = f"operating points found on {table.n_queries} later queries"
    made = calibrated_again(pipeline, stage, pool, quality=None, note=note)
    return replace(made, confidence=max(CONFIDENCE, pipeline.confidence or 0.0))


def _spec(champion: RoutingPipeline) -> str:
    """The router of a pipeline, as make_router takes it."""
    settings = champion.stage.router.settings
    return ":".join(
        [champion.stage.router_name, *(f"{key}={json.dumps(v)}" for key, v in settings.items())]
    )


def with_log(base: Outcomes, log: Outcomes) -> Outcomes:
    """The queries of both, those of the log last, with the models of both.

    A query is the same for equal texts (query_prints); what the base knows of it counts first.
    Raises DataError where the two are not on one scale.
    """
    queries = zip(base.query_ids, base.texts, base.tasks, strict=True)
    known = dict(zip(query_prints(base).tolist(), queries, strict=True))
    logged = zip(log.query_ids, log.texts, log.tasks, strict=True)
    named = [
        known.get(key, (f"log-{name}", text, task))
        for key, (name, text, task) in zip(query_prints(log).tolist(), logged, strict=True)
    ]
    ids, texts, tasks = zip(*named, strict=True)
    same = replace(log, query_ids=ids, texts=texts, tasks=tasks)
    return merge_tables([base, same], conflicts="first").table

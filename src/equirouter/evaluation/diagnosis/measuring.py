"""diagnose: all figures on why routing on a data set collapses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.cost.predictor import cost_errors
from equirouter.data.logged import is_estimated
from equirouter.data.outcomes import Outcomes
from equirouter.data.pools import MINIMUM_COMPLETE
from equirouter.data.split import Split, split_outcomes
from equirouter.data.table_warnings import table_warnings
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.encoders.visibility import duplicate_share
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.diagnosis.checking import check_finding
from equirouter.evaluation.diagnosis.contents import (
    Diagnosis,
    ModelFinding,
    NoiseFinding,
    TableFinding,
    TrainedHere,
)
from equirouter.evaluation.diagnosis.noise import noise_sweep
from equirouter.evaluation.diagnosis.per_router import (
    BothPolicies,
    own_decisions,
    router_finding,
    setup,
    text_free_best,
)
from equirouter.evaluation.diagnosis.per_task import TaskCollapse, collapse_by_task
from equirouter.evaluation.diagnosis.ties import MARGIN_LEVELS, margin_distribution, need_of
from equirouter.evaluation.results import TEXT_FREE
from equirouter.evaluation.sweeps import ServedQueries, for_pipeline, own_split, sweep_router
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import NOTHING_FITS, BudgetPolicy, UtilityPolicy
from equirouter.progress import Progress, silent
from equirouter.routers import make_router
from equirouter.training.fitted import fit_router
from equirouter.training.needs import check_what_fits
from equirouter.training.protocol import (
    Prepared,
    embedded,
    embedded_descriptions,
    prepare,
    prepare_in_sample,
    readable,
    reading_notes,
    stream,
)
from equirouter.words import number_of

IN_SAMPLE = ("mlp", "knn")
"""Fitted within seconds, and two ways of reading a query that have little in common."""

PIPELINE = "pipeline"
ANCHORS = ("oracle", *TEXT_FREE)
NOISE = (0.0, 0.01, 0.1, 0.2, 0.5, 1.0)
NOISE_DRAWS = 10
STEPS = 6


@dataclass(frozen=True, eq=False)
class _Case:
    """A split table as an encoder shows it, and the pipeline's test queries."""

    outcomes: Outcomes
    embeddings: Float32Array
    split: Split
    prepared: Prepared
    served: ServedQueries | None
    device: str
    resamples: int

    @property
    def costs(self) -> FloatArray:
        """The predicted costs (n, K) of the test part, by the pipeline where there is one."""
        if self.served is not None:
            return self.served.predicted_cost_usd
        return self.prepared.test.predicted_cost_usd

    @property
    def strongest(self) -> int:
        """The column of the reference model: the pipeline's where there is one."""
        return self.prepared.strongest if self.served is None else self.served.strongest


def diagnose(
    outcomes: Outcomes,
    encoder: Encoder,
    *,
    embeddings: Float32Array | None = None,
    pipeline: RoutingPipeline | None = None,
    pipeline_name: str | None = None,
    routers: Sequence[str] = ("factors", "equirouter"),
    split: Literal["in-domain", "ood"] = "in-domain",
    seed: int = 42,
    resamples: int = 500,
    cache: EmbeddingCache | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Diagnosis:
    """Look at a data set, and at a pipeline on it, for what makes routing collapse.

    encoder: what shows the queries; with a pipeline, its own. embeddings: (N, d) by it, made here
    through cache when not given. pipeline: its own decisions are measured, on the test part of the
    split that it was trained on if this is the same table, else of a new one. routers: fitted as
    `bench` does where there is no pipeline; those of IN_SAMPLE are fitted in either case.
    pipeline_name: what the report calls it.
    Raises DataError for a table that cannot be split, PipelineError for one of other models,
    ConfigError for a router that is an anchor.
    """
    check_what_fits([*(routers if pipeline is None else ()), *IN_SAMPLE])
    for spec in routers:
        if make_router(spec).is_anchor:
            raise ConfigError(f"{spec} is an anchor: anchors are always measured, leave it out")
    outcomes = _without_log(outcomes)
    case = _prepared(
        outcomes, encoder, embeddings, pipeline, split, seed, resamples, cache, device, progress
    )
    progress("diagnose", 1, STEPS)
    names = [*ANCHORS, *(routers if pipeline is None else ()), *IN_SAMPLE]
    measured = _measured(case, list(dict.fromkeys(names)))
    progress("diagnose", 3, STEPS)
    in_sample = _in_sample(case, measured)
    progress("diagnose", 5, STEPS)
    tasks_of = PIPELINE if pipeline is not None else next(iter(routers), IN_SAMPLE[0])
    text_free = text_free_best({name: measured[name] for name in TEXT_FREE})
    beside = {level: measured[name] for level, name in text_free.items()}
    findings = {
        name: router_finding(name, sweeps, measured["task"], beside, case.strongest)
        for name, sweeps in measured.items()
    }
    served = case.served
    diagnosis = Diagnosis(
        setup=setup(case.outcomes, encoder, case.split, case.prepared, served, pipeline_name),
        warnings=(
            *table_warnings(case.outcomes),
            *case.outcomes.notes[len(outcomes.notes) :],  # not those that the table came with
            *reading_notes(encoder, case.outcomes),
        ),
        table=_table(case.outcomes, case.strongest),
        models=_models(case),
        visibility=duplicate_share(case.embeddings, case.outcomes.texts, case.outcomes.image_paths),
        noise=_noise(case),
        routers=tuple(each for name, each in findings.items() if name not in ANCHORS),
        anchors=tuple(findings[name] for name in ANCHORS),
        text_free=text_free,
        in_sample=in_sample,
        own=own_decisions(served, case.prepared.test, case.outcomes) if served else None,
        check=check_finding(case.outcomes, case.prepared, seed=seed, resamples=resamples),
        tasks_of=tasks_of,
        tasks=_tasks(case, measured[tasks_of]),
    )
    progress("diagnose", STEPS, STEPS)
    return diagnosis


def _prepared(
    outcomes: Outcomes,
    encoder: Encoder,
    embeddings: Float32Array | None,
    pipeline: RoutingPipeline | None,
    kind: Literal["in-domain", "ood"],
    seed: int,
    resamples: int,
    cache: EmbeddingCache | None,
    device: str,
    progress: Progress,
) -> _Case:
    parts, given = None, embeddings is not None
    outcomes = readable(encoder, outcomes, embeddings)
    if pipeline is not None:
        outcomes = for_pipeline(outcomes, pipeline)
        parts = own_split(outcomes, pipeline)
    parts = parts or split_outcomes(outcomes, kind=kind, seed=seed)
    served = None
    if pipeline is not None:
        served = ServedQueries.read(
            pipeline, outcomes, embeddings=embeddings, cache=cache, progress=progress
        )
        embeddings = served.embeddings
    elif embeddings is None:
        embeddings = embedded(encoder, outcomes, parts, cache=cache, progress=progress)
    described = None
    if served is None and not given:
        described = embedded_descriptions(encoder, outcomes, None, cache=cache)
    progress("diagnose", 0, STEPS)
    prepared = prepare(outcomes, embeddings, parts, descriptions=described, device=device)
    if served is not None:
        served = ServedQueries(served.pipeline, embeddings[prepared.test.rows])
    return _Case(outcomes, embeddings, parts, prepared, served, device, resamples)


def _measured(case: _Case, names: Sequence[str]) -> dict[str, BothPolicies]:
    """Every router and anchor on the test part under both policies, by the same costs."""
    seed, test = case.split.seed, case.prepared.test
    measured = {}
    for name in names:
        fitted = fit_router(name, case.prepared, seed=seed, device=case.device)
        own = test.prices(fitted.router, UtilityPolicy())
        costs = case.costs if own is test.predicted_cost_usd else own
        budget, utility = (
            sweep_router(
                fitted, case.prepared, rule, seed=seed, cost_usd=costs, resamples=case.resamples
            )
            for rule in (BudgetPolicy(), UtilityPolicy())
        )
        measured[name] = BothPolicies(budget, utility)
    if case.served is not None:
        budget, utility = (
            case.served.sweep(rule, test, seed=seed, resamples=case.resamples)
            for rule in (BudgetPolicy(), UtilityPolicy())
        )
        measured[PIPELINE] = BothPolicies(budget, utility)
    return measured


def _in_sample(case: _Case, measured: Mapping[str, BothPolicies]) -> tuple[TrainedHere, ...]:
    seed, strongest = case.split.seed, case.strongest
    everything = prepare_in_sample(case.outcomes, case.embeddings, seed=seed, device=case.device)
    rows = []
    for name in IN_SAMPLE:
        fitted = fit_router(name, everything, seed=seed, device=case.device)
        seen = sweep_router(fitted, everything, BudgetPolicy(), seed=seed)
        held_out = measured[name].budget
        rows.append(
            TrainedHere(
                name=name,
                in_sample_share=float(seen.share_of(strongest)[-1]),
                held_out_share=float(held_out.share_of(strongest)[-1]),
                in_sample_nauc=seen.metric("nauc"),
                held_out_nauc=held_out.metric("nauc"),
            )
        )
    return tuple(rows)


def _without_log(outcomes: Outcomes) -> Outcomes:
    """The table without its propensities: a diagnosis asks what the best model of a query was."""
    if not is_estimated(outcomes):
        return outcomes
    n = int(outcomes.is_complete.sum())
    if n < MINIMUM_COMPLETE:
        raise DataError(
            f"{outcomes.name}: {number_of(n, 'query has', 'queries have')} the outcome of every "
            f"model, and {MINIMUM_COMPLETE} are needed to say why routing pays or does not: a log "
            "does not tell which model was the best of a query. train and bench read it; [shadow] "
            "in gateway.toml, or equirouter collect, brings the outcomes of other models"
        )
    return replace(outcomes, propensity=None)


def _table(outcomes: Outcomes, strongest: int) -> TableFinding:
    complete = outcomes.take(outcomes.is_complete)
    performance, cost_usd = complete.performance, complete.cost_usd
    table = outcomes.describe()
    margin = margin_distribution(performance, cost_usd)
    assert table.oracle_performance is not None  # noqa: S101  # there are complete queries
    assert table.oracle_cost_usd is not None  # noqa: S101
    strongest_usd = table.mean_cost_usd[strongest]
    return TableFinding(
        strongest=table.models[strongest],
        cheapest=table.cheapest,
        margins={level: margin.share_within(level) for level in MARGIN_LEVELS},
        all_alike=float((performance == performance[:, :1]).all(axis=1).mean()),
        need=need_of(strongest, performance, cost_usd),
        oracle_performance=table.oracle_performance,
        oracle_relative_cost=table.oracle_cost_usd / strongest_usd if strongest_usd > 0 else None,
        oracle_without_strongest=float(
            np.delete(performance, strongest, axis=1).max(axis=1).mean()
        ),
    )


def _models(case: _Case) -> tuple[ModelFinding, ...]:
    table = case.outcomes.describe()
    errors = cost_errors(case.costs, case.prepared.test.cost_usd).relative.tolist()
    columns = zip(
        table.models,
        table.mean_performance,
        table.mean_cost_usd,
        table.oracle_call_share or (),
        (None if math.isnan(error) else error for error in errors),
        strict=True,
    )
    return tuple(ModelFinding(*column) for column in columns)


def _noise(case: _Case) -> tuple[NoiseFinding, ...]:
    complete = case.outcomes.take(case.outcomes.is_complete)
    sweep = noise_sweep(
        complete.performance,
        complete.cost_usd,
        sigmas=NOISE,
        draws=NOISE_DRAWS,
        rng=stream(case.split.seed, "oracle noise"),
    )
    share = sweep.call_share[:, :, case.strongest]
    means = (each.mean(axis=1).tolist() for each in (share, sweep.performance, sweep.rci))
    return tuple(NoiseFinding(*row) for row in zip(NOISE, *means, strict=True))


def _tasks(case: _Case, measured: BothPolicies) -> tuple[TaskCollapse, ...]:
    """At the pipeline's own operating point, or a router's largest budget."""
    test = case.prepared.test
    chosen = measured.budget.chosen[:, -1]
    if case.served is not None:
        chosen = case.served.choose(case.served.pipeline.policy_for()[0])
    known = chosen != NOTHING_FITS
    if not known.any():
        return ()
    return tuple(
        collapse_by_task(
            chosen[known],
            test.performance[known],
            test.cost_usd[known],
            [case.outcomes.tasks[row] for row in test.rows[known]],
            strongest=case.strongest,
        )
    )

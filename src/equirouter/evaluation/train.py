"""Train: one pipeline from an outcomes table, fitted, calibrated, and measured on the test part."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.data import as_outcomes
from equirouter.data.logged import log_note
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import query_prints
from equirouter.data.split import Split, SplitKind, split_outcomes
from equirouter.data.table_warnings import table_warnings
from equirouter.encoders import encoder_options, make_encoder
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.errors import ConfigError
from equirouter.evaluation.aggregate import metrics_over_seeds
from equirouter.evaluation.pipeline_metrics import (
    KeptByPlans,
    KeptQuality,
    PipelineMetrics,
    PlanMetrics,
)
from equirouter.evaluation.plan_figures import compared, figures_of, served
from equirouter.evaluation.sweeps import sweep_router
from equirouter.evaluation.text_free import against_text_free
from equirouter.pipeline import Provenance, RoutingPipeline
from equirouter.pipeline.decision import OutOfDomain
from equirouter.policy import Policy, UtilityPolicy, check_confidence, check_quality
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.constraints import ModelFacts, check_names
from equirouter.policy.pool_plans import PoolPlans
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.routers import Router, make_router
from equirouter.routers.make import check_registered
from equirouter.training.collapse import check_collapse_is_known, with_prices
from equirouter.training.fitted import FittedRouter, FittedStage, calibrated, fit_stage, record_of
from equirouter.training.floor import counted_rows
from equirouter.training.needs import check_what_fits, reader
from equirouter.training.plan_choice import Candidates, made_plans
from equirouter.training.plan_fit import LabelledQueries
from equirouter.training.protocol import (
    Part,
    Prepared,
    description_notes,
    embedded,
    embedded_descriptions,
    prepare,
    readable,
)


def train(
    table: object,
    encoder: Encoder | str = "lexical+minilm",
    *,
    router: str = "factors",
    policy: str | None = None,
    quality: float = 0.98,
    confidence: float | None = None,
    when_nothing_fits: WhenNothingFits = "cheapest",
    ood: OutOfDomain = "policy",
    split: SplitKind = "in-domain",
    seed: int = 42,
    refit: bool = True,
    resamples: int = 1000,
    embeddings: Float32Array | None = None,
    model_facts: Mapping[str, ModelFacts] | None = None,
    answers_by: str | None = None,
    cache: EmbeddingCache | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> RoutingPipeline:
    """Fit one pipeline on a table of outcomes, and measure it on the test part.

    What is measured has not seen the test part; what is returned has then learned from it too.

    Args:
        table: Outcomes, a path, a name of `data list`, or a pandas, polars or pyarrow table.
        encoder: One, or its name; by name it is the one to serve with, in int8 where it has that.
        router: A spec for make_router.
        policy: A registered name, what a quality moves along; None is "utility" where the scores
            estimate performance, else "budget".
        quality: For calls that name none, as a share of the strongest model's performance.
        confidence: With which a quality is promised, see Calibration.
        when_nothing_fits: "cheapest" or "refuse", where no model fits a budget.
        ood: What is done with queries that are far from all training queries.
        split: "in-domain", or "ood": whole tasks are kept for the test part.
        seed: Of the split and of all that is random.
        refit: False keeps the test part out of what is returned.
        resamples: Of the test queries, for intervals.
        embeddings: (N, d) of the table's queries by encoder; None: made here.
        model_facts: Context, abilities and regions of the models, for constraints.
        answers_by: How the answers of the table are read out of responses, see read_table. Where it
            has answers, plans of more than one model are fitted too, and kept where they pay.
        cache: Where embeddings that are made here are kept.
        device: Of networks, "auto", "cpu" or "cuda".
        progress: Is told what is done.

    Raises:
        ConfigError: An option, router or encoder that cannot be used.
        DataError: A table that cannot be read, or has too few complete queries: see floor_of.

    Examples:
        >>> from equirouter import train
        >>> pipeline = train("simulated:n_queries=300", "static", resamples=0)
        >>> pipeline.decide("What is 2 + 2?", budget_usd=0.001).fits
        True
    """
    if isinstance(encoder, str):
        encoder = make_encoder(encoder, **serving_options(encoder))
    outcomes = readable(encoder, as_outcomes(table, answers_by=answers_by), embeddings)
    _check(outcomes, encoder, embeddings, router, quality, confidence, model_facts)
    kind, rule = _policy(make_router(router), router, policy)
    check_collapse_is_known(outcomes, rule)
    drawn = split_outcomes(outcomes, kind=split, seed=seed)  # complete rows stay where they are
    parts = drawn.with_incomplete_in_training(outcomes)
    counted = counted_rows(outcomes, parts, router, quality, refit=refit)
    if embeddings is None:
        embeddings = embedded(encoder, outcomes, parts, cache=cache, progress=progress)
    progress("fit", 0, 1 + refit)
    descriptions = embedded_descriptions(encoder, outcomes, [router], cache=cache)
    stage = partial(fit_stage, encoder=encoder, router=router, seed=seed, device=device)
    split_up = prepare(outcomes, embeddings, parts, descriptions=descriptions, device=device)
    split_up = with_prices(split_up, rule.priced_by)
    fitted, best = stage(split_up), split_up.as_strong
    made = partial(_pipeline, outcomes, drawn, best, router, kind, quality, confidence, counted)
    pipeline, candidates = made(fitted)
    metrics = _test_metrics(pipeline, fitted.router, split_up, rule, resamples, seed)
    kept = None if candidates is None else _kept_by_plans(pipeline, fitted, split_up, outcomes)
    del fitted, split_up  # copies of the embeddings are the largest there is: one is enough
    if refit:
        progress("fit", 1, 2)
        del pipeline
        whole, last, embeddings = parts.with_test_in_training(), [embeddings], None  # see prepare
        split_up = prepare(outcomes, last.pop(), whole, descriptions=descriptions, device=device)
        pipeline, candidates = made(stage(with_prices(split_up, rule.priced_by)))
    progress("fit", 1 + refit, 1 + refit)
    metrics = _with_plans(metrics, pipeline, candidates, kept)
    return replace(
        pipeline,
        when_nothing_fits=when_nothing_fits,
        ood=ood,
        model_facts=model_facts or {},
        learned=_learned(outcomes, parts, refit=refit),
        provenance=pipeline.provenance.measured(metrics.model_dump(mode="json"), refit=refit),
    )


def _pipeline(
    outcomes: Outcomes,
    split: Split,
    best: IntArray,
    router: str,
    policy: str,
    quality: float,
    confidence: float | None,
    counted: tuple[str, ...],
    fitted: FittedStage,
) -> tuple[RoutingPipeline, Candidates | None]:
    """The fitted stage with its promises, as shares of the strongest model; and its plans' rivals.

    best: the strongest on training and validation part: test rows have no say in it.
    Without answers in the table there are no plans.
    """
    strongest = int(best[0])
    calibration, baseline, notes = calibrated(fitted, policy, outcomes.models, strongest)
    plans, candidates, plan_notes = _plans(fitted, outcomes, strongest, split.seed)
    notes = (*counted, *notes, *plan_notes, *_group_note(outcomes, best))
    pipeline = RoutingPipeline(
        stage=fitted.stage,
        models=outcomes.models,
        calibration=calibration,
        policy=policy,
        quality=quality,
        confidence=confidence,
        provenance=Provenance(
            data={
                "name": outcomes.name,
                "fingerprint": outcomes.fingerprint,
                "n_queries": outcomes.n_queries,
                "notes": [
                    *outcomes.notes,
                    *log_note(outcomes),
                    *table_warnings(outcomes),
                    *description_notes(outcomes, [router]),
                    *notes,
                ],
            },
            split={
                "kind": split.kind,
                "seed": split.seed,
                "ratios": list(split.ratios),
                "hash": split.hash,
            },
        ),
        baseline=baseline,
        prices=fitted.costs.prices,
        record=record_of(fitted, outcomes.tokens),
        plans=plans,
    )
    return pipeline, candidates


def _plans(
    fitted: FittedStage, outcomes: Outcomes, strongest: int, seed: int
) -> tuple[PoolPlans | None, Candidates | None, tuple[str, ...]]:
    """Plans as by made_plans; nothing where the table has no answers."""
    if outcomes.answers is None or fitted.validation.log is not None:
        return None, None, ()  # plans compare the answers of all models to a query
    if fitted.stage.collapse is not None:
        return None, None, ("no plans: several calls save money, and the policy is after collapse",)
    labelled = LabelledQueries.of(fitted.validation, fitted.held_out, outcomes)
    plans, candidates, notes = made_plans(labelled, outcomes.answers_by, strongest, seed)
    if plans is not None and plans.extractor is None:
        notes += (
            "the table does not say how its answers were read out of responses: --answers-by NAME "
            "does, or the gateway's settings must",
        )
    return plans, candidates, notes


def _with_plans(
    metrics: PipelineMetrics,
    pipeline: RoutingPipeline,
    candidates: Candidates | None,
    kept: KeptByPlans | None,
) -> PipelineMetrics:
    if candidates is None:
        return metrics
    strongest = pipeline.models.index(pipeline.baseline.strongest)
    out_of_fold = compared(candidates, pipeline.plans, pipeline.calibration, strongest)
    plans = PlanMetrics(out_of_fold=out_of_fold, at_quality=kept)
    return metrics.model_copy(update={"plans": plans})


def _kept_by_plans(
    pipeline: RoutingPipeline, fitted: FittedStage, prepared: Prepared, outcomes: Outcomes
) -> KeptByPlans:
    """Quality of the pipeline on the test part where answers are compared."""
    part, strongest = prepared.test, prepared.strongest
    replayed = served(pipeline, fitted.router.scores(part, UtilityPolicy()), part, outcomes)
    kept = share_of_strongest(replayed.served[:, 0], part, strongest, replayed.cost_usd[:, 0])
    figures = figures_of(replayed, part.performance, strongest)
    return KeptByPlans.model_validate(
        dict(kept) | {name: float(of[0]) for name, of in figures.items()}
    )


def _learned(outcomes: Outcomes, split: Split, *, refit: bool) -> NDArray[np.uint64]:
    """The queries that a pipeline comes from; without a refit those of the test part are none."""
    prints = query_prints(outcomes)
    return np.unique(prints if refit else prints[split.learnable])


def _group_note(outcomes: Outcomes, group: IntArray) -> tuple[str, ...]:
    """The strongest model and those that equal it, where there are any."""
    best, *others = (outcomes.models[column] for column in group.tolist())
    if not others:
        return ()
    return (
        f"{best} is the strongest model, of which quality is a share, within noise equal to "
        f"{', '.join(others)} (95 % interval of the paired difference on training and validation "
        "part)",
    )


def serving_options(encoder: str) -> dict[str, str]:
    """The settings of an encoder that is to serve: int8, which routes as well and is faster."""
    return {"precision": "int8"} if "precision" in encoder_options(encoder) else {}


def _test_metrics(
    pipeline: RoutingPipeline,
    fitted: FittedRouter,
    prepared: Prepared,
    rule: Policy,
    resamples: int,
    seed: int,
) -> PipelineMetrics:
    """Every metric on the test part, and what the operating point of its quality came to there."""
    part = prepared.test
    swept = sweep_router(fitted, prepared, rule, seed=seed, along_path=True, resamples=resamples)
    point, _ = pipeline.policy_for()
    promised = point.choose(fitted.scores(part, point), part.prices(fitted.router, point))
    pays = None
    if (
        part.log is None
        and rule.priced_by == "cost"  # costs are compared, and another aim takes more
        and rule.path(part.performance, part.cost_usd) is not None
    ):
        pays = against_text_free(
            swept, prepared, rule, quality=pipeline.quality, resamples=resamples, seed=seed
        )
    metrics = metrics_over_seeds([swept.measurement], pipeline.models)
    return PipelineMetrics(
        **dict(metrics),
        at_quality=share_of_strongest(promised, part, prepared.strongest),
        text_free=pays,
        as_strong=tuple(pipeline.models[column] for column in prepared.as_strong.tolist()),
    )


def share_of_strongest(
    chosen: IntArray, part: Part, strongest: int, spent_usd: FloatArray | None = None
) -> KeptQuality:
    """Performance and cost of choices (N,) on a part, as shares of always choosing the strongest.

    spent_usd (N,): of all calls, where there were more than the chosen one. The interval is by the
    normal approximation of a ratio of paired means (the delta method).
    """
    row = np.arange(len(chosen))
    answered, best = part.performance[row, chosen], part.performance[:, strongest]
    share, interval = None, None
    n_effective = min(part.effective(chosen), part.effective(strongest))
    if best.mean() > 0:
        share = float(answered.mean() / best.mean())
        if n_effective > 1:
            error = (answered - share * best).std(ddof=1) / len(row) ** 0.5 / best.mean()
            interval = share - 1.96 * float(error), share + 1.96 * float(error)
    spent = part.cost_usd[row, chosen] if spent_usd is None else spent_usd
    paid, most = spent.mean(), part.cost_usd[:, strongest].mean()
    return KeptQuality(
        n_queries=len(row),
        n_effective=None if part.log is None else n_effective,
        performance=share,
        interval=interval,
        cost=float(paid / most) if most > 0 else None,
    )


def _check(
    outcomes: Outcomes,
    encoder: Encoder,
    embeddings: Float32Array | None,
    router: str,
    quality: float,
    confidence: float | None,
    model_facts: Mapping[str, ModelFacts] | None,
) -> None:
    """Refuse settings that would fail after the training before it starts."""
    check_registered(router)
    check_what_fits([router], reader(encoder, outcomes, embeddings))
    check_quality(quality)
    if confidence is not None:
        check_confidence(confidence)
    check_names(model_facts or {}, outcomes.models, what="model_facts")


def _policy(router: Router, spec: str, policy: str | None) -> tuple[str, Policy]:
    """The policy that a quality target moves along: the one asked for, or the router's best."""
    if router.reads != "embeddings":
        raise ConfigError(f"{spec} does not read the query, so it cannot be served")
    kind = policy or ("utility" if router.scores_are == "expected_performance" else "budget")
    rule: Policy = POLICIES.load(kind)()
    if rule.in_order:
        raise ConfigError(
            f"policy {kind} decides a stream of queries, each after those before it, so a quality "
            "cannot be found along it; leave --policy out and give the pipeline's decisions to it"
        )
    return kind, rule

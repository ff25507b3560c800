"""From what routers and a pipeline chose to the figures of a diagnosis."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split
from equirouter.encoders.base import Encoder
from equirouter.evaluation.bootstrap import interval
from equirouter.evaluation.diagnosis.contents import Interval, OwnDecisions, RouterFinding, Setup
from equirouter.evaluation.diagnosis.per_task import reached_from
from equirouter.evaluation.sweeps import RouterSweep, ServedQueries, own_split
from equirouter.extras import versions
from equirouter.policy import NOTHING_FITS
from equirouter.policy.collapse_score import call_shares, collapse_table, pick
from equirouter.training.protocol import Part, Prepared

PARTS_OF_RANGE = (0.1, 0.25, 0.5, 1.0)
LEVELS = ("0.98", "0.95", "0.90")


@dataclass(frozen=True, eq=False)
class BothPolicies:
    """One router on the test part: swept over budgets, and over lambdas."""

    budget: RouterSweep
    utility: RouterSweep


def text_free_best(anchors: Mapping[str, BothPolicies]) -> dict[str, str]:
    """Quality -> the anchor of the lowest cost by lambda, of these, which read no text."""
    best = {}
    for level in LEVELS:
        costs = {name: _cost(each.utility, level) for name, each in anchors.items()}
        known = {name: cost for name, cost in costs.items() if cost is not None}
        if known:
            best[level] = min(known, key=known.__getitem__)
    return best


def router_finding(
    name: str,
    measured: BothPolicies,
    task: BothPolicies,
    text_free: Mapping[str, BothPolicies],
    strongest: int,
) -> RouterFinding:
    """A router beside `task`, and at each quality the best without text; strongest: a column."""
    budget, utility = measured.budget, measured.utility
    share, points = budget.share_of(strongest), budget.points
    places = [round(part * (len(points) - 1)) for part in PARTS_OF_RANGE]
    return RouterFinding(
        name=name,
        nauc=budget.metric("nauc"),
        peak_score=budget.metric("peak_score"),
        rci=budget.metric("rci"),
        strongest_share=float(share[-1]),
        share_at={float(points[place]): float(share[place]) for place in places},
        half_from_usd=reached_from(points, share, 0.5),
        ninety_from_usd=reached_from(points, share, 0.9),
        budget_cost_at_98=_cost(budget, LEVELS[0]),
        utility_cost_at_98=_cost(utility, LEVELS[0]),
        nauc_minus_task=_difference(budget, task.budget, "nauc"),
        cost_minus_text_free={
            level: _difference(utility, anchor.utility, "cost_at_quality", level)
            for level, anchor in text_free.items()
        },
    )


def _cost(sweep: RouterSweep, level: str) -> float | None:
    """As a share of the strongest model's; None where that costs nothing."""
    return sweep.measurement.value("cost_at_quality", level)


def _difference(
    sweep: RouterSweep, reference: RouterSweep, metric: str, level: str = ""
) -> Interval:
    own, other = (each.measurement.drawn(metric, level) for each in (sweep, reference))
    return None if own is None or other is None else interval(own - other)


def own_decisions(served: ServedQueries, test: Part, outcomes: Outcomes) -> OwnDecisions:
    """A pipeline's decisions on the test part under its stored policy."""
    pipeline = served.pipeline
    rule, value = pipeline.policy_for()
    chosen = served.choose(rule)
    known = chosen != NOTHING_FITS
    performance, cost_usd = test.performance[known], test.cost_usd[known]
    table = collapse_table(test.performance, test.cost_usd)[known]
    scored, paid, collapsed = (
        (float(values.mean()) if values.size else float("nan"))
        for values in pick(chosen[known], performance, cost_usd, table)
    )
    reference, reference_usd = (
        float(each[:, served.strongest].mean()) for each in (test.performance, test.cost_usd)
    )
    shares = call_shares(chosen[known], outcomes.n_models) if known.any() else np.zeros(0)
    return OwnDecisions(
        router=pipeline.stage.router_name,
        quality=pipeline.quality,
        setting=rule.setting,
        value=value,
        performance=_known(scored),
        relative_performance=_known(scored / reference) if reference > 0 else None,
        relative_cost=_known(paid / reference_usd) if reference_usd > 0 else None,
        rci=_known(collapsed),
        call_share=dict(zip(outcomes.models, shares.tolist(), strict=False)),
        refused=int((~known).sum()),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def setup(
    outcomes: Outcomes,
    encoder: Encoder,
    split: Split,
    prepared: Prepared,
    served: ServedQueries | None,
    pipeline_name: str | None,
) -> Setup:
    """The table, encoder, split and pipeline of a diagnosis."""
    strongest = prepared.strongest if served is None else served.strongest
    scored = prepared.test.performance[:, strongest]
    return Setup(
        versions=versions() | {"system": f"{platform.system()} {platform.machine()}"},
        name=outcomes.name,
        fingerprint=outcomes.fingerprint,
        n_queries=outcomes.n_queries,
        n_complete=int(outcomes.is_complete.sum()),
        n_models=outcomes.n_models,
        n_tasks=len(set(outcomes.tasks)),
        encoder=encoder.name,
        window=getattr(encoder, "window", None),
        encoder_fingerprint=encoder.fingerprint,
        split=split.kind,
        seed=split.seed,
        split_hash=split.hash,
        train_queries=len(prepared.train.rows),
        validation_queries=len(prepared.validation.rows),
        test_queries=len(prepared.test.rows),
        standard_error=float(scored.std() / np.sqrt(len(scored))),
        pipeline=pipeline_name,
        trained_here=None if served is None else own_split(outcomes, served.pipeline) is not None,
    )

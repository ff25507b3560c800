"""less-collapse: models chosen for little collapse, beside models chosen for little cost."""

from collections.abc import Mapping, Sequence

import numpy as np

from equirouter.evaluation.aggregate import difference, metrics_over_seeds
from equirouter.evaluation.curve import Measurement
from equirouter.evaluation.metrics import RouterMetrics
from equirouter.evaluation.results import Results
from equirouter.evaluation.sweeps import sweep_router
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict, line_figure
from equirouter.paper.context import Context
from equirouter.paper.main_table import value_of
from equirouter.policy import LessCollapsePolicy, UtilityPolicy
from equirouter.report.canvas import Line
from equirouter.training.collapse import with_prices
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import Prepared
from equirouter.words import interval, number

COST, COLLAPSE = "factors, less cost", "factors, less collapse"
RULES = {COST: UtilityPolicy(), COLLAPSE: LessCollapsePolicy()}
LEVELS = ("0.98", "0.95")


def collapse_as_an_aim(context: Context) -> Section:
    """less-collapse: the same estimates of performance under two prices, both aims side by side."""
    seeds = [_both_aims(context.prepared(seed), seed, context) for seed in context.seeds]
    by_aim = {aim: [seed[aim] for seed in seeds] for aim in (COST, COLLAPSE)}
    models = context.outcomes.models
    metrics = {aim: metrics_over_seeds(each, models) for aim, each in by_aim.items()}
    results = context.bench()
    other = min(
        results.routers, key=lambda name: results[name].rci_at_quality["0.98"].mean or np.inf
    )
    rows: dict[str, RouterMetrics] = {
        **metrics,
        f"{other}, of the run the least": results[other],
        "strongest": results["strongest"],
    }
    verdict, finding = _finding(by_aim, metrics, results, other)
    return Section(
        "less-collapse",
        "Collapse as an aim of its own (App. D)",
        "Routing collapse, calls to expensive models that a cheaper one matches, can be lowered "
        "without a loss of performance (Section 6, App. D).",
        verdict,
        finding,
        (_table(rows),),
        (_figure(by_aim),),
    )


def _both_aims(prepared: Prepared, seed: int, context: Context) -> dict[str, Measurement]:
    """One seed: performance by `factors`, priced by predicted cost, and by predicted collapse."""
    prepared = with_prices(prepared, "collapse")
    fitted = fit_router("factors", prepared, seed=seed, device=context.device)
    measured = {}
    for aim, rule in RULES.items():
        swept = sweep_router(
            fitted, prepared, rule, seed=seed, along_path=True, resamples=context.resamples
        )
        measured[aim] = swept.measurement
    return measured


def _finding(
    by_aim: Mapping[str, Sequence[Measurement]],
    metrics: Mapping[str, RouterMetrics],
    results: Results,
    other: str,
) -> tuple[Verdict, str]:
    """By the paired difference in RCI at 98 % between the two aims."""
    less, cost = (metrics[aim] for aim in (COLLAPSE, COST))
    rci_at_98 = ("rci_at_quality", "0.98")
    apart = difference(
        [
            [(seed.value(*rci_at_98), seed.drawn(*rci_at_98)) for seed in by_aim[aim]]
            for aim in (COLLAPSE, COST)
        ]
    )
    rivals = (cost, results[other])
    rci = less.rci_at_quality["0.98"].mean or 0.0
    lowest = all(rci < (rival.rci_at_quality["0.98"].mean or 0.0) for rival in rivals)
    verdict: Verdict = "partly reproduced" if lowest else "not reproduced"
    if lowest and apart.high is not None and apart.high < 0:
        verdict = "reproduced"
    spread = f" {interval(apart.low, apart.high, '+.3f')}".rstrip()
    return verdict, (
        f"At 98 % of the strongest model's performance RCI is {rci:.3f} where predicted collapse "
        f"is the price, {number(cost.rci_at_quality['0.98'].mean)} where predicted cost is "
        f"(difference {apart.mean:+.3f}{spread}), and of the run's routers the least is "
        f"{number(results[other].rci_at_quality['0.98'].mean)} ({other}). The cost there is "
        f"{number(less.cost_at_quality['0.98'].mean)} of the strongest model's, and "
        f"{number(cost.cost_at_quality['0.98'].mean)} where cost is the price: less collapse and "
        "less cost are two aims."
    )


def _table(rows: Mapping[str, RouterMetrics]) -> Table:
    cells: list[tuple[Cell, ...]] = [
        (
            name,
            *(
                value_of(figures[level])
                for level in LEVELS
                for figures in (each.rci_at_quality, each.cost_at_quality)
            ),
        )
        for name, each in rows.items()
    ]
    heads = [
        f"{what} at {100 * float(level):.0f} %" for level in LEVELS for what in ("RCI", "cost")
    ]
    return Table(
        "less-collapse",
        ("router", *heads),
        tuple(cells),
        "Both figures where the router has a share of the strongest model's mean performance at "
        "the lowest cost; costs are shares of that model's. The first two rows have the same "
        "estimates of performance a and choose the highest a - price * x, x the predicted cost or "
        "the predicted collapse score of the choice; the price is read from the curve on the test "
        "part, as every setting on a curve.",
    )


def _figure(by_aim: Mapping[str, Sequence[Measurement]]) -> Figure:
    lines = []
    for aim, seeds in by_aim.items():
        performance, rci = (
            np.mean([getattr(each.curve, name) for each in seeds], axis=0)
            for name in ("performance", "rci")
        )
        lines.append(Line(aim, performance.tolist(), (100 * rci).tolist()))
    return line_figure(
        "less-collapse",
        lines,
        "Two lines of RCI over mean performance, one per aim.",
        "Lower is better at equal performance: how much collapse each aim takes for its score.",
        title="RCI, %",
        x_label="mean performance",
    )

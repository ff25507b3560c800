"""figA4: how far predicted costs are from true ones; figA5: routing with true costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.cost.predictor import CostErrors, cost_errors
from equirouter.errors import DataError
from equirouter.evaluation.curve import measure
from equirouter.evaluation.sweeps import RouterSweep
from equirouter.paper.base import (
    Cell,
    Figure,
    Section,
    Table,
    Verdict,
    line_figure,
    verdict_of,
)
from equirouter.paper.context import Context
from equirouter.paper.router_sets import is_equirouter, label_of
from equirouter.paper.strongest_calls import SATURATED
from equirouter.policy import BudgetPolicy
from equirouter.report.canvas import INK, Line, colour_of, draw_svg

SMALL_MSE = 1e-8  # USD squared: "on the order of 1e-9"
NEAR_EXACT = 0.1  # mean absolute error as a share of the mean cost
_BLUE = "#0072B2"
_ROW, _EDGES = 0.17, 0.75  # inches


def cost_model_errors(context: Context) -> Section:
    """figA4: the cost model's error per model on the test part, absolute and relative."""
    parts = [context.prepared(seed).test for seed in context.seeds]
    errors = [cost_errors(part.predicted_cost_usd, part.cost_usd) for part in parts]
    mean = _mean(errors)
    models = context.outcomes.models
    verdict, finding = _finding(mean, models)
    return Section(
        "figA4",
        "Error of the predicted costs (Figure A4)",
        "Cost prediction is near-exact: the test-set mean squared error of the two-layer cost "
        "model is on the order of 1e-9 USD squared (Figure A4, App. C.2).",
        verdict,
        finding,
        (_table(mean, models),),
        (_figure(mean, models),),
    )


def _mean(errors: Sequence[CostErrors]) -> CostErrors:
    seeds = [vars(each) for each in errors]
    return CostErrors(
        **{name: np.mean([each[name] for each in seeds], axis=0) for name in seeds[0]}
    )


def _overall_relative(errors: CostErrors) -> float:
    """The mean absolute error over all cells as a share of their mean cost; NaN if all are free."""
    total = float(errors.mean_usd.sum())
    return float(errors.mae_usd.sum()) / total if total > 0 else float("nan")


def _finding(errors: CostErrors, models: Sequence[str]) -> tuple[Verdict, str]:
    relative = _overall_relative(errors)
    if np.isnan(relative):
        return "not tested", "Every call is free: there is no cost to predict."
    is_small, is_exact = errors.overall_mse <= SMALL_MSE, relative <= NEAR_EXACT
    text = (
        f"The mean squared error is {errors.overall_mse:.2g} USD squared, "
        f"{'within' if is_small else 'above'} {SMALL_MSE:.0e}. The mean absolute error is "
        f"{100 * relative:.1f} % of the mean cost, which is "
        f"{'near-exact' if is_exact else 'not near-exact'} (at most {100 * NEAR_EXACT:.0f} %)"
    )
    if np.isfinite(errors.relative).all():
        low, high = int(errors.relative.argmin()), int(errors.relative.argmax())
        text += (
            f": from {100 * errors.relative[low]:.1f} % ({models[low]}) to "
            f"{100 * errors.relative[high]:.1f} % ({models[high]})"
        )
    verdict = verdict_of((is_small, is_exact))
    return verdict, f"{text}. A squared error in USD is small wherever calls are cheap."


def _table(errors: CostErrors, models: Sequence[str]) -> Table:
    columns = (errors.mean_usd, errors.mse, errors.mae_usd, errors.relative, errors.unexplained)
    rows: list[tuple[Cell, ...]] = [
        (model, *map(_cell, values)) for model, *values in zip(models, *columns, strict=True)
    ]
    overall = (errors.mean_usd.mean(), errors.overall_mse, errors.mae_usd.mean())
    rows.append(("all models", *map(_cell, overall), _cell(_overall_relative(errors)), ""))
    heads = ("mean cost USD", "MSE USD squared", "MAE USD", "MAE / mean cost", "MSE / variance")
    return Table(
        "figA4",
        ("model", *heads),
        tuple(rows),
        "Error of the predicted cost of one call on the test part; means over the seeds. MSE: mean "
        "squared error, MAE: mean absolute error. MSE / variance: 0 is exact, 1 is as good as "
        "always predicting the model's mean; empty where costs do not vary.",
    )


def _cell(value: float) -> Cell:
    return "" if np.isnan(value) else float(value)


def _figure(errors: CostErrors, models: Sequence[str]) -> Figure:
    order = np.argsort(errors.mean_usd, kind="stable")
    title = "Error of predicted costs on the test part"

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        left, right = figure.subplots(1, 2, sharey=True)
        _dots(left, np.sqrt(errors.mse[order]), "root mean squared error, USD", "{:.0e}")
        _dots(right, 100 * errors.relative[order], "mean absolute error, % of mean cost", "{:.1f}")
        left.set_xscale("log")
        left.set_xlim(right=left.get_xlim()[1] * 6)
        right.set_xlim(0, right.get_xlim()[1] * 1.25)
        left.set_yticks(range(len(models)), [models[row] for row in order], color=INK)
        left.set_ylim(-0.6, len(models) - 0.4)
        figure.suptitle(title, x=0.01, ha="left", fontsize=7.7, color=INK)
        figure.tight_layout(pad=0.4, w_pad=0.8)

    return Figure(
        "figA4",
        draw_svg(paint, (7.0, _EDGES + _ROW * len(models)), title=title, points=7.0),
        "Two rows of dots, one per model: the root mean squared error of its predicted cost in "
        "USD, and its mean absolute error in % of its mean cost.",
        "Models from the cheapest below to the most expensive above. Left: small in USD where "
        "calls are cheap. Right: the same predictions beside what the calls cost; 0 is exact.",
    )


def _dots(axes: Any, values: FloatArray, label: str, text: str) -> None:  # noqa: ANN401
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    axes.plot(values[known], known, "o", color=_BLUE, markersize=4)
    for row in known:
        axes.annotate(
            text.format(values[row]),
            (values[row], row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=6,
        )
    axes.set_xlabel(label)
    axes.grid(axis="both")


N_POINTS = 100
STOPS = (24, 49, 74, 99)  # a quarter, half, three quarters and all of the sweep
SAME_SHARE, SAME_RCI, SAME_NAUC = 0.05, 0.02, 0.02  # differences that count as none


@dataclass(frozen=True, eq=False)
class Routed:
    """A router under one kind of costs: calls to the strongest (T,), nAUC and mean RCI."""

    share: FloatArray
    nauc: float
    rci: float

    def minus(self, other: "Routed") -> "Routed":
        """The difference of each of the three."""
        return Routed(self.share - other.share, self.nauc - other.nauc, self.rci - other.rci)

    def at_stops(self) -> tuple[float, ...]:
        """The cells of a table: calls at STOPS, nAUC, RCI."""
        return (*self.share[list(STOPS)].tolist(), self.nauc, self.rci)


CostPair: TypeAlias = tuple[Routed, Routed]
"""A router under predicted and under true costs."""


def routing_with_true_costs(context: Context) -> Section:
    """figA5: every router's scores, decided by predicted and by true costs; means over seeds."""
    if context.rule.setting != BudgetPolicy.setting:
        raise DataError(
            f"figA5 compares call shares at equal budgets, but the policy is {context.policy!r}: "
            "run it with --policy budget-grid"
        )
    strongest = context.outcomes.strongest
    pairs, points = _pairs(context, strongest)
    name = context.outcomes.models[strongest]
    verdict, finding = _routing_finding(pairs, name)
    return Section(
        "figA5",
        "Routing with true instead of predicted costs (Figure A5)",
        "With true costs in place of predicted ones and the scores unchanged, routing is nearly "
        "identical and the collapse persists (Figure A5, App. C.2).",
        verdict,
        finding,
        (_routing_table(pairs, name),),
        (_routing_figure(pairs, points, name),),
    )


def _pairs(context: Context, strongest: int) -> tuple[dict[str, CostPair], FloatArray]:
    """Per router its two results, and the budgets (T,); all of them means over the seeds."""
    kinds = ("predicted_cost_usd", "cost_usd")
    routed: dict[tuple[str, str], list[Routed]] = {}
    budgets = []
    for seed in context.seeds:  # the parts of one seed only are kept at a time
        part = context.prepared(seed).test
        for name in context.routers:
            scores = context.scores(name, seed)
            points = context.rule.points(scores, part.predicted_cost_usd, N_POINTS)
            for kind in kinds:
                chosen = context.rule.sweep(scores, getattr(part, kind), points)
                measured = measure(chosen, part.performance, part.cost_usd, resamples=0)
                swept = RouterSweep(points, chosen, measured)
                figures = swept.metric("nauc"), swept.metric("rci_mean")
                routed.setdefault((name, kind), []).append(
                    Routed(swept.share_of(strongest), *figures)
                )
        budgets.append(points)
    predicted, true = (
        [_routing_mean(routed[name, kind]) for name in context.routers] for kind in kinds
    )
    pairs = dict(zip(context.routers, zip(predicted, true, strict=True), strict=True))
    return pairs, np.mean(budgets, axis=0)


def _routing_mean(seeds: Sequence[Routed]) -> Routed:
    return Routed(
        np.mean([each.share for each in seeds], axis=0),
        float(np.mean([each.nauc for each in seeds])),
        float(np.mean([each.rci for each in seeds])),
    )


def _routing_finding(pairs: Mapping[str, CostPair], strongest: str) -> tuple[Verdict, str]:
    differences = {name: true.minus(predicted) for name, (predicted, true) in pairs.items()}
    gaps = {name: float(np.abs(d.share)[list(STOPS)].max()) for name, d in differences.items()}
    same = [
        name
        for name, d in differences.items()
        if gaps[name] <= SAME_SHARE and abs(d.rci) <= SAME_RCI and abs(d.nauc) <= SAME_NAUC
    ]
    existing = {name: pair for name, pair in pairs.items() if not is_equirouter(name)}
    ends = [(predicted.share[-1], true.share[-1]) for predicted, true in existing.values()]
    still = [after >= SATURATED for before, after in ends if before >= SATURATED]
    verdict = verdict_of((len(same) == len(pairs), bool(still) and all(still)))
    widest = max(gaps, key=gaps.__getitem__)
    rci = max(differences, key=lambda name: abs(differences[name].rci))
    text = (
        f"{len(same)} of {len(pairs)} routers route nearly the same with true costs. The largest "
        f"difference in calls to {strongest} is {100 * gaps[widest]:.1f} points "
        f"({label_of(widest)}), that in RCI {differences[rci].rci:+.4f} ({label_of(rci)}). "
    )
    if not still:
        return verdict, f"{text}No existing router collapses here with predicted costs."
    return verdict, (
        f"{text}Of the {len(still)} existing routers that send at least "
        f"{100 * SATURATED:.0f} % there at the largest budget with predicted costs, {sum(still)} "
        "do so with true ones."
    )


def _routing_table(pairs: Mapping[str, CostPair], strongest: str) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, (predicted, true) in pairs.items():
        kinds = {"predicted": predicted, "true": true, "difference": true.minus(predicted)}
        rows += [(name, kind, *routed.at_stops()) for kind, routed in kinds.items()]
    heads = [f"{stop + 1} % of the sweep" for stop in STOPS]
    return Table(
        "figA5",
        ("router", "costs", *heads, "nAUC", "RCI, mean"),
        tuple(rows),
        f"Share of the queries sent to {strongest} at four of the {N_POINTS} budgets, nAUC and "
        "mean RCI over them; means over the seeds. Both kinds of costs are decided at the same "
        "budgets, those from the smallest to the largest predicted cost; what is spent is always "
        "the true cost.",
    )


def _routing_figure(pairs: Mapping[str, CostPair], points: FloatArray, strongest: str) -> Figure:
    title = f"Calls to {strongest}, % of queries"
    lines = [
        Line(name, points.tolist(), (100 * true.share).tolist(), label=label_of(name))
        for name, (_, true) in pairs.items()
    ]

    def prepare(axes: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes.set_ylim(-2, 102)
        for name, (predicted, _) in pairs.items():
            axes.plot(points, 100 * predicted.share, color=colour_of(name), linewidth=0.6)

    return line_figure(
        "figA5",
        lines,
        f"Two lines per router of the share of calls to {strongest} over the budget: thick with "
        "true costs, thin with predicted ones.",
        "Where the thick line lies on the thin one of the same colour, true costs change nothing.",
        title=title,
        x_label="budget, USD per query (thin: predicted costs)",
        prepare=prepare,
    )

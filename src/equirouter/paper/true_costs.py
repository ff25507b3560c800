"""figA5: the same routing with true costs instead of predicted ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.errors import DataError
from equirouter.evaluation.curve import measure
from equirouter.evaluation.metrics.curves import strongest_model
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict
from equirouter.paper.context import Context
from equirouter.paper.lines import line_figure
from equirouter.paper.routers import is_equirouter, label_of
from equirouter.paper.strongest_calls import SATURATED
from equirouter.report.canvas import Line
from equirouter.report.style import colour_of

__all__ = ["routing_with_true_costs"]

N_POINTS = 100
STOPS = (24, 49, 74, 99)  # a quarter, half, three quarters and all of the sweep
SAME_SHARE, SAME_RCI, SAME_NAUC = 0.05, 0.02, 0.02  # differences that count as none


@dataclass(frozen=True, eq=False)
class Routed:
    """A router under one kind of costs: calls to the strongest (T,), nAUC and mean RCI."""

    share: FloatArray
    nauc: float
    rci: float


@dataclass(frozen=True)
class Pair:
    """A router under predicted and under true costs."""

    predicted: Routed
    true: Routed

    @property
    def is_same(self) -> bool:
        """Whether no difference is larger than those that count as none."""
        gap = np.abs(self.true.share - self.predicted.share)[list(STOPS)].max()
        return bool(
            gap <= SAME_SHARE
            and abs(self.true.rci - self.predicted.rci) <= SAME_RCI
            and abs(self.true.nauc - self.predicted.nauc) <= SAME_NAUC
        )


def routing_with_true_costs(context: Context) -> Section:
    """figA5: every router's scores, decided by predicted and by true costs; means over seeds."""
    if context.policy != "budget":
        raise DataError(
            f"figA5 compares call shares at equal budgets, but the policy is {context.policy!r}: "
            "run it with --policy budget"
        )
    strongest = _strongest(context)
    pairs, points = _pairs(context, strongest)
    name = context.outcomes.models[strongest]
    verdict, finding = _finding(pairs, name)
    return Section(
        "figA5",
        "Routing with true instead of predicted costs (Figure A5)",
        "With true costs in place of predicted ones and the scores unchanged, routing is nearly "
        "identical and the collapse persists (Figure A5, App. C.2).",
        verdict,
        finding,
        (_table(pairs, name),),
        (_figure(pairs, points, name),),
    )


def _strongest(context: Context) -> int:
    """The model of highest mean performance among the complete queries, a column."""
    outcomes = context.outcomes
    complete = outcomes.is_complete
    performance = outcomes.performance[complete].mean(axis=0)
    return int(strongest_model(performance, outcomes.cost_usd[complete].mean(axis=0)))


def _pairs(context: Context, strongest: int) -> tuple[dict[str, Pair], FloatArray]:
    """Per router its two results, and the budgets (T,); all of them means over the seeds."""
    pairs_per_seed: dict[str, list[tuple[Routed, Routed]]] = {name: [] for name in context.routers}
    budgets = []
    for seed in context.seeds:  # the parts of one seed only are kept at a time
        part = context.prepared(seed).test
        for name in context.routers:
            scores = context.scores(name, seed)
            points = context.rule.points(scores, part.predicted_cost_usd, N_POINTS)
            routed = []
            for costs in (part.predicted_cost_usd, part.cost_usd):
                chosen = context.rule.sweep(scores, costs, points)
                measured = measure(chosen, part.performance, part.cost_usd, resamples=0)
                share = measured.curve.call_share[:, strongest]
                nauc, rci = (float(measured.point[key]) for key in ("nauc", "rci_mean"))  # type: ignore[arg-type]
                routed.append(Routed(share, nauc, rci))
            pairs_per_seed[name].append((routed[0], routed[1]))
        budgets.append(points)
    pairs = {
        name: Pair(_mean([first for first, _ in both]), _mean([second for _, second in both]))
        for name, both in pairs_per_seed.items()
    }
    return pairs, np.mean(budgets, axis=0)


def _mean(seeds: Sequence[Routed]) -> Routed:
    return Routed(
        np.mean([each.share for each in seeds], axis=0),
        float(np.mean([each.nauc for each in seeds])),
        float(np.mean([each.rci for each in seeds])),
    )


def _finding(pairs: Mapping[str, Pair], strongest: str) -> tuple[Verdict, str]:
    same = [name for name, pair in pairs.items() if pair.is_same]
    existing = {name: pair for name, pair in pairs.items() if not is_equirouter(name)}
    collapsed = [name for name in existing if pairs[name].predicted.share[-1] >= SATURATED]
    still = [name for name in collapsed if pairs[name].true.share[-1] >= SATURATED]
    is_same = len(same) == len(pairs)
    persists = bool(collapsed) and len(still) == len(collapsed)
    verdict: Verdict = "partly reproduced" if is_same or persists else "not reproduced"
    if is_same and persists:
        verdict = "reproduced"
    widest = max(pairs, key=lambda name: _largest_gap(pairs[name]))
    rci = max(pairs, key=lambda name: abs(pairs[name].true.rci - pairs[name].predicted.rci))
    text = (
        f"{len(same)} of {len(pairs)} routers route nearly the same with true costs. The largest "
        f"difference in calls to {strongest} is {100 * _largest_gap(pairs[widest]):.1f} points "
        f"({label_of(widest)}), that in RCI "
        f"{pairs[rci].true.rci - pairs[rci].predicted.rci:+.4f} ({label_of(rci)}). "
    )
    if not collapsed:
        return verdict, f"{text}No existing router collapses here with predicted costs."
    return verdict, (
        f"{text}Of the {len(collapsed)} existing routers that send at least "
        f"{100 * SATURATED:.0f} % there at the largest budget with predicted costs, {len(still)} "
        "do so with true ones."
    )


def _largest_gap(pair: Pair) -> float:
    return float(np.abs(pair.true.share - pair.predicted.share)[list(STOPS)].max())


def _table(pairs: Mapping[str, Pair], strongest: str) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, pair in pairs.items():
        for kind, routed in (("predicted", pair.predicted), ("true", pair.true)):
            shares = routed.share[list(STOPS)].tolist()
            rows.append((name, kind, *shares, routed.nauc, routed.rci))
        gaps = (pair.true.share - pair.predicted.share)[list(STOPS)].tolist()
        nauc, rci = (pair.true.nauc - pair.predicted.nauc, pair.true.rci - pair.predicted.rci)
        rows.append((name, "difference", *gaps, nauc, rci))
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


def _figure(pairs: Mapping[str, Pair], points: FloatArray, strongest: str) -> Figure:
    title = f"Calls to {strongest}, % of queries"
    lines = [
        Line(name, points.tolist(), (100 * pair.true.share).tolist(), label=label_of(name))
        for name, pair in pairs.items()
    ]

    def prepare(axes: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes.set_ylim(-2, 102)
        for name, pair in pairs.items():
            axes.plot(points, 100 * pair.predicted.share, color=colour_of(name), linewidth=0.6)

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

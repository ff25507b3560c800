"""fig1: how often the strongest model is called as the budget grows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from equirouter.evaluation.results import Results
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict
from equirouter.paper.context import Context
from equirouter.paper.lines import line_figure, stop_heads, values_at_stops
from equirouter.paper.routers import is_equirouter, label_of
from equirouter.report.canvas import Line
from equirouter.report.figures import share_axis, share_lines

__all__ = ["strongest_share"]

SATURATED = 0.9  # "near 100 %": at least nine calls in ten


def strongest_share(context: Context) -> Section:
    """fig1: the share of calls to the strongest model over the budget, of routers and oracle."""
    results = context.bench()
    strongest = results.strongest
    lines = _lines(results)
    shares = {line.name: [share / 100 for share in line.y] for line in lines}
    verdict, finding = _finding(shares, strongest)
    return Section(
        "fig1",
        "Calls to the strongest model over the budget (Figure 1)",
        "Under existing routers the share of calls to the strongest model climbs to nearly 100 % "
        "as the budget grows, though cheaper models often do as well (Figure 1, RouterBench).",
        verdict,
        finding,
        (_table(shares, strongest),),
        (_figure(lines, strongest, share_axis(results)[1]),),
    )


def _lines(results: Results) -> list[Line]:
    """Lines of the oracle and the routers; under a budget the oracle's is read at their budgets.

    It knows what a call costs, so its own budgets go up to the most expensive call; the routers'
    end at the largest cost that is predicted.
    """
    lines = {line.name: line for line in share_lines(results)}
    oracle, routers = lines["oracle"], [lines[name] for name in results.routers]
    if results.protocol.policy == "budget":
        budgets = routers[0].x
        oracle = replace(oracle, x=budgets, y=np.interp(budgets, oracle.x, oracle.y).tolist())
    return [replace(line, label=label_of(line.name)) for line in (oracle, *routers)]


def _finding(shares: Mapping[str, Sequence[float]], strongest: str) -> tuple[Verdict, str]:
    last = {name: values[-1] for name, values in shares.items()}
    oracle = last.pop("oracle")
    existing = {name: share for name, share in last.items() if not is_equirouter(name)}
    ours = [
        f"{label_of(name)} {100 * share:.1f} %"
        for name, share in last.items()
        if is_equirouter(name)
    ]
    tail = f"There the oracle sends {100 * oracle:.1f} %" + (
        f"; {', '.join(ours)}." if ours else "."
    )
    if not existing:
        return "not tested", f"No router beside EquiRouter was measured. {tail}"
    saturated = [name for name, share in existing.items() if share >= SATURATED]
    low, high = (pick(existing, key=existing.__getitem__) for pick in (min, max))
    verdict: Verdict = "partly reproduced"
    if len(saturated) in (0, len(existing)):
        verdict = "reproduced" if saturated else "not reproduced"
    return verdict, (
        f"At the largest budget {len(saturated)} of {len(existing)} existing routers send at least "
        f"{100 * SATURATED:.0f} % of the queries to {strongest}: from {100 * existing[low]:.1f} % "
        f"({low}) to {100 * existing[high]:.1f} % ({high}). {tail}"
    )


def _table(shares: Mapping[str, Sequence[float]], strongest: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, *values_at_stops(values))
        for name, values in sorted(shares.items(), key=lambda item: (item[1][-1], item[0]))
    ]
    return Table(
        "fig1",
        ("router", *stop_heads()),
        tuple(rows),
        f"Share of the queries sent to {strongest} at four places of the sweep from the smallest "
        "to the largest budget; means over the seeds.",
    )


def _figure(lines: Sequence[Line], strongest: str, x_label: str) -> Figure:
    title = f"Calls to {strongest}, % of queries"

    return line_figure(
        "fig1",
        lines,
        f"Lines of the share of calls to {strongest} over the budget, one per router and one for "
        "the oracle.",
        "A router that climbs to the top while the oracle stays low calls the strongest model for "
        "queries that a cheaper one answers as well.",
        title=title,
        x_label=x_label,
    )

"""fig1, figA1: how often the strongest model is called, on new queries and on those fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from equirouter.evaluation.results import Results
from equirouter.evaluation.sweeps import RouterSweep, sweep_router
from equirouter.paper.base import (
    STOP_HEADS,
    Cell,
    Figure,
    Section,
    Table,
    Verdict,
    line_figure,
    values_at_stops,
    verdict_of,
)
from equirouter.paper.context import Context
from equirouter.paper.router_sets import is_equirouter, label_of
from equirouter.report.canvas import Line
from equirouter.report.figures import share_axis, share_lines
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import embedded_descriptions, prepare_in_sample

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
    if results.protocol.is_by_budget:
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
    saturated = [share >= SATURATED for share in existing.values()]
    low, high = (pick(existing, key=existing.__getitem__) for pick in (min, max))
    return verdict_of(saturated), (
        f"At the largest budget {sum(saturated)} of {len(existing)} existing routers send at least "
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
        ("router", *STOP_HEADS),
        tuple(rows),
        f"Share of the queries sent to {strongest} at four places of the sweep from the smallest "
        "to the largest budget; means over the seeds.",
    )


def _figure(lines: Sequence[Line], strongest: str, x_label: str) -> Figure:
    return line_figure(
        "fig1",
        lines,
        f"Lines of the share of calls to {strongest} over the budget, one per router and one for "
        "the oracle.",
        "A router that climbs to the top while the oracle stays low calls the strongest model for "
        "queries that a cheaper one answers as well.",
        title=f"Calls to {strongest}, % of queries",
        x_label=x_label,
    )


ROUTERS = ("mlp", "graphrouter", "avengerspro")
"""Those of Figure A1; the oracle stands beside them."""


def training_set_evaluation(context: Context) -> Section:
    """figA1: three routers and the oracle on the queries that they were fitted on."""
    outcomes, seed = context.outcomes, context.seeds[0]
    embeddings = context.embeddings(context.split(seed))
    described = embedded_descriptions(context.encoder, outcomes, ROUTERS, cache=context.cache)
    prepared = prepare_in_sample(
        outcomes, embeddings, descriptions=described, seed=seed, device=context.device
    )
    sweeps = {}
    for name in ("oracle", *ROUTERS):
        fitted = fit_router(name, prepared, seed=seed, device=context.device)
        sweeps[name] = sweep_router(fitted, prepared, context.rule, seed=seed)
    strongest, cheapest = outcomes.strongest, outcomes.cheapest
    verdict, finding = _in_sample_finding(
        {name: float(sweep.share_of(strongest)[-1]) for name, sweep in sweeps.items()},
        outcomes.models[strongest],
    )
    return Section(
        "figA1",
        "Fitted and measured on the same queries (Figure A1)",
        "Routers that are measured on the queries they were fitted on still send more and more of "
        "them to the strongest model as the budget grows, so collapse needs no gap between "
        "training and test (Figure A1, App. B.1).",
        verdict,
        finding,
        (_in_sample_table(sweeps, strongest, cheapest),),
        (_in_sample_figure(sweeps, strongest, outcomes.models[strongest]),),
    )


def _in_sample_finding(shares: Mapping[str, float], strongest: str) -> tuple[Verdict, str]:
    """shares: of calls to the strongest at the largest budget, by router and for the oracle."""
    learned = {name: share for name, share in shares.items() if name != "oracle"}
    saturated = [share >= SATURATED for share in learned.values()]
    told = ", ".join(f"{label_of(name)} {100 * share:.1f} %" for name, share in learned.items())
    return verdict_of(saturated), (
        f"At the largest budget {sum(saturated)} of {len(learned)} routers send at least "
        f"{100 * SATURATED:.0f} % of their own training queries to {strongest}: {told}; the oracle "
        f"{100 * shares['oracle']:.1f} %."
    )


def _in_sample_table(sweeps: Mapping[str, RouterSweep], strongest: int, cheapest: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, sweep in sweeps.items():
        for what, column in (("strongest", strongest), ("cheapest", cheapest)):
            share = sweep.share_of(column)
            at = values_at_stops(share.tolist())
            rows.append((name, what, *at, sweep.metric("peak_score"), sweep.metric("nauc")))
    return Table(
        "figA1",
        ("router", "calls to the", *STOP_HEADS, "P_s", "nAUC"),
        tuple(rows),
        "Share of the queries sent to the strongest and to the cheapest model at four places of "
        "the sweep, with the peak score and nAUC; fitted and measured on all complete queries.",
    )


def _in_sample_figure(sweeps: Mapping[str, RouterSweep], strongest: int, name: str) -> Figure:
    lines = [
        Line(
            router,
            (100 * np.linspace(0, 1, len(sweep.points))).tolist(),
            (100 * sweep.share_of(strongest)).tolist(),
            is_anchor=router == "oracle",
            label=label_of(router),
        )
        for router, sweep in sweeps.items()
    ]
    return line_figure(
        "figA1",
        lines,
        f"Lines of the share of calls to {name} over the budget, for three routers and the oracle.",
        "Fitted and measured on the same queries. A router far above the oracle collapses although "
        "it has seen every answer.",
        title=f"Calls to {name} in-sample, % of queries",
        x_label="place in the sweep of budgets, %",
        height=2.6,
    )

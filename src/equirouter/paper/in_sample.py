"""figA1: fitted and measured on the same queries: collapse without a generalisation gap."""

from collections.abc import Mapping, Sequence

import numpy as np

from equirouter.evaluation.sweeps import RouterSweep, sweep_router
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict
from equirouter.paper.context import Context
from equirouter.paper.lines import line_figure, stop_heads, values_at_stops
from equirouter.paper.routers import label_of
from equirouter.paper.strongest_calls import SATURATED
from equirouter.report.canvas import Line
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import embedded_descriptions, prepare_in_sample

__all__ = ["training_set_evaluation"]

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
    verdict, finding = _finding(
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
        (_table(sweeps, strongest, cheapest),),
        (_figure(sweeps, strongest, outcomes.models[strongest]),),
    )


def _finding(shares: Mapping[str, float], strongest: str) -> tuple[Verdict, str]:
    """shares: of calls to the strongest at the largest budget, by router and for the oracle."""
    learned = {name: share for name, share in shares.items() if name != "oracle"}
    saturated = [name for name, share in learned.items() if share >= SATURATED]
    verdict: Verdict = "partly reproduced"
    if len(saturated) in (0, len(learned)):
        verdict = "reproduced" if saturated else "not reproduced"
    told = ", ".join(f"{label_of(name)} {100 * share:.1f} %" for name, share in learned.items())
    return verdict, (
        f"At the largest budget {len(saturated)} of {len(learned)} routers send at least "
        f"{100 * SATURATED:.0f} % of their own training queries to {strongest}: {told}; the oracle "
        f"{100 * shares['oracle']:.1f} %."
    )


def _table(sweeps: Mapping[str, RouterSweep], strongest: int, cheapest: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, sweep in sweeps.items():
        for what, column in (("strongest", strongest), ("cheapest", cheapest)):
            share = sweep.share_of(column)
            at = values_at_stops(share.tolist())
            rows.append((name, what, *at, sweep.metric("peak_score"), sweep.metric("nauc")))
    return Table(
        "figA1",
        ("router", "calls to the", *stop_heads(), "P_s", "nAUC"),
        tuple(rows),
        "Share of the queries sent to the strongest and to the cheapest model at four places of "
        "the sweep, with the peak score and nAUC; fitted and measured on all complete queries.",
    )


def _figure(sweeps: Mapping[str, RouterSweep], strongest: int, name: str) -> Figure:
    title = f"Calls to {name} in-sample, % of queries"
    lines = [
        Line(
            router,
            _sweep_percent(len(sweep.points)),
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
        title=title,
        x_label="place in the sweep of budgets, %",
        height=2.6,
    )


def _sweep_percent(n_points: int) -> Sequence[float]:
    percent: list[float] = (100 * np.linspace(0, 1, n_points)).tolist()
    return percent

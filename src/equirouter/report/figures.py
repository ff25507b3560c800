"""Static figures of a bench run as SVG: the same bytes for the same results."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path

from equirouter.evaluation.results import MeanCurve, Results
from equirouter.output import atomic_write, make_folder
from equirouter.report.canvas import (
    COST_LABEL,
    FIGURE_SIZE,
    PERFORMANCE_TITLE,
    Line,
    draw_svg,
    line_painter,
)


def write_figures(results: Results, folder: str | Path) -> list[Path]:
    """Write cost-performance.svg and call-share.svg; make the folder unless it is there.

    cost-performance: mean performance against mean cost in USD per query, one line per router and
    anchor over the sweep. call-share: share of queries sent to the strongest model against the
    budget, as Fig. 1 of the paper. Returns the paths in that order. Raises OutputError when a file
    cannot be written, MissingExtraError without matplotlib.
    """
    folder = make_folder(folder)
    calls = f"Calls to the strongest model ({results.strongest}), % of queries"
    pictures = {
        "cost-performance.svg": (results.performance_lines(), PERFORMANCE_TITLE, COST_LABEL),
        "call-share.svg": (share_lines(results), calls, share_axis(results)[1]),
    }
    for name, (lines, title, x_label) in pictures.items():
        with atomic_write(folder / name, "wb") as stream:
            paint = line_painter(lines, title, x_label)
            stream.write(draw_svg(paint, FIGURE_SIZE, title=title))
    return [folder / name for name in pictures]


def models_by_cost(results: Results) -> list[str]:
    """The models from the cheapest to the most expensive one."""
    outcomes = results.outcomes
    cost = dict(zip(outcomes.models, outcomes.mean_cost_usd, strict=True))
    return sorted(outcomes.models, key=lambda model: cost[model])


def share_axis(results: Results) -> tuple[Callable[[MeanCurve], Sequence[float]], str]:
    """(what of a curve, label) is the horizontal axis of call shares.

    The budget, or, under a policy whose operating points are no budgets, the mean cost, which
    every policy has.
    """
    if results.protocol.is_by_budget:
        return attrgetter("point"), "budget, USD per query"
    return attrgetter("cost_usd"), COST_LABEL


def share_lines(results: Results) -> list[Line]:
    """Per router and anchor the calls to the strongest model in % of queries over the sweep."""
    x_of, _ = share_axis(results)
    return [
        Line(
            name,
            x_of(results.curves[name]),
            [100.0 * share for share in results.curves[name].call_share[results.strongest]],
            is_anchor,
        )
        for name, _, is_anchor in results.rows()
    ]

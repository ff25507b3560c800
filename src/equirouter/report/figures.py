"""Static figures of a bench run as SVG: the same bytes for the same results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equirouter.output import atomic_write, make_folder
from equirouter.report.canvas import Line, draw_lines, draw_svg, line_axes
from equirouter.report.results import Results, check_results, entries, strongest_model

__all__ = ["share_axis", "share_lines", "write_figures"]

_SIZE = (6.4, 4.0)  # inches


def write_figures(results: Results, folder: str | Path) -> list[Path]:
    """Write cost-performance.svg and call-share.svg; make the folder unless it is there.

    cost-performance: mean performance against mean cost in USD per query, one line per router and
    anchor over the sweep. call-share: share of queries sent to the strongest model against the
    budget, as Fig. 1 of the paper. Returns the paths in that order. Raises DataError when results
    lack something, OutputError when a file cannot be written, MissingExtraError without matplotlib.
    """
    check_results(results)
    folder = make_folder(folder)
    written = []
    for name, draw in (("cost-performance.svg", _cost_performance), ("call-share.svg", _shares)):
        with atomic_write(folder / name, "wb") as stream:
            stream.write(draw(results))
        written.append(folder / name)
    return written


def share_axis(results: Results) -> tuple[str, str]:
    """(key in the curves, label) of the horizontal axis of call shares.

    The budget, or, under a policy whose operating points are no budgets, the mean cost, which
    every policy has.
    """
    if results["protocol"]["policy"] == "budget":
        return "point", "budget, USD per query"
    return "cost_usd", "mean cost, USD per query"


def share_lines(results: Results) -> list[Line]:
    """Per router and anchor the calls to the strongest model in % of queries over the sweep."""
    strongest, (key, _) = strongest_model(results), share_axis(results)
    return [
        Line(
            name,
            curve[key],
            [100.0 * share for share in curve["call_share"][strongest]],
            is_anchor,
        )
        for name, curve, is_anchor in _curves(results)
    ]


def _cost_performance(results: Results) -> bytes:
    lines = [
        Line(name, curve["cost_usd"], curve["performance"], is_anchor)
        for name, curve, is_anchor in _curves(results)
    ]
    return _draw(
        lines, title="Mean performance for what is spent", x_label="mean cost, USD per query"
    )


def _shares(results: Results) -> bytes:
    strongest = strongest_model(results)
    return _draw(
        share_lines(results),
        title=f"Calls to the strongest model ({strongest}), % of queries",
        x_label=share_axis(results)[1],
    )


def _curves(results: Results) -> list[tuple[str, Mapping[str, Any], bool]]:
    return [(name, results["curves"][name], is_anchor) for name, _, is_anchor in entries(results)]


def _draw(lines: Sequence[Line], *, title: str, x_label: str) -> bytes:
    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes = line_axes(figure, [line.shown for line in lines], title=title)
        axes.set_xlabel(x_label)
        draw_lines(axes, lines)

    return draw_svg(paint, _SIZE, title=title)

"""Static figures as SVG, for pages and papers: the same bytes for the same results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from equirouter.extras import require
from equirouter.output import atomic_write, make_folder
from equirouter.report.results import Results, check_results, entries, strongest_model
from equirouter.report.style import colour_of, dash_of, spread

__all__ = ["share_axis", "write_figures"]

_SIZE = (6.4, 4.0)  # inches
_ROOM = 28  # letters of a label; more are cut
_LETTER = 0.077  # inches
_INK, _FAINT = "#222222", "#6E6E6E"
_DASHES: Mapping[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.6)),
    "dashdot": (0, (6, 1.6, 1, 1.6)),
}
_STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "svg.hashsalt": "equirouter",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
}


@dataclass(frozen=True)
class _Line:
    name: str
    x: Sequence[float]
    y: Sequence[float]
    is_anchor: bool

    @property
    def is_point(self) -> bool:
        """Whether every operating point is the same, as for an anchor without a budget."""
        return max(self.x) == min(self.x) and max(self.y) == min(self.y)


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


def _cost_performance(results: Results) -> bytes:
    lines = [
        _Line(name, curve["cost_usd"], curve["performance"], is_anchor)
        for name, curve, is_anchor in _curves(results)
    ]
    return _draw(
        lines, title="Mean performance for what is spent", x_label="mean cost, USD per query"
    )


def _shares(results: Results) -> bytes:
    strongest = strongest_model(results)
    key, label = share_axis(results)
    lines = [
        _Line(
            name,
            curve[key],
            [100.0 * share for share in curve["call_share"][strongest]],
            is_anchor,
        )
        for name, curve, is_anchor in _curves(results)
    ]
    return _draw(
        lines, title=f"Calls to the strongest model ({strongest}), % of queries", x_label=label
    )


def _curves(results: Results) -> list[tuple[str, Mapping[str, Any], bool]]:
    return [(name, results["curves"][name], is_anchor) for name, _, is_anchor in entries(results)]


def _draw(lines: Sequence[_Line], *, title: str, x_label: str) -> bytes:
    matplotlib = require("matplotlib", extra="report", purpose="draw figures")
    figure_module = require("matplotlib.figure", extra="report", purpose="draw figures")
    svg = require("matplotlib.backends.backend_svg", extra="report", purpose="draw figures")
    with matplotlib.rc_context(_STYLE):
        figure = figure_module.Figure(figsize=_SIZE)
        svg.FigureCanvasSVG(figure)
        letters = max(len(_shortened(line.name)) for line in lines)
        labels = (letters * _LETTER) / _SIZE[0]
        # the swatches and gaps before the labels take a ninth of the width of the axes
        axes = figure.add_axes((0.09, 0.12, (0.91 - labels) / 1.11, 0.75))
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.7)
        axes.set_axisbelow(True)
        for line in lines:
            _draw_line(axes, line)
        _label_ends(axes, lines)
        axes.set_xlabel(x_label)
        axes.set_title(title, loc="left", fontsize=10, color=_INK, pad=12, parse_math=False)
        stream = BytesIO()
        # without a date: the same results give the same bytes
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title})
    return stream.getvalue()


def _draw_line(axes: Any, line: _Line) -> None:  # noqa: ANN401  # a matplotlib object
    colour = colour_of(line.name)
    if line.is_point:
        axes.plot(line.x[-1:], line.y[-1:], "o", color=colour, markersize=5, zorder=3)
        return
    axes.plot(
        line.x,
        line.y,
        color=colour,
        linestyle=_DASHES[dash_of(line.name)],
        linewidth=1.2 if line.is_anchor else 1.9,
        zorder=2 if line.is_anchor else 4,
    )
    axes.plot(line.x[-1:], line.y[-1:], "o", color=colour, markersize=3, zorder=5)


def _label_ends(axes: Any, lines: Sequence[_Line]) -> None:  # noqa: ANN401
    """Names in the right margin, each tied to the end of its line, moved apart where they touch."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    gap = (high - low) * 0.058  # the height of a letter of 9 points
    places = spread([line.y[-1] for line in lines], gap, low, high)
    span = right - left
    elbow, swatch, text = (right + share * span for share in (0.03, 0.092, 0.104))
    for line, place in zip(lines, places, strict=True):
        look = {"color": colour_of(line.name), "clip_on": False, "solid_capstyle": "butt"}
        axes.plot([line.x[-1], elbow], [line.y[-1], place], linewidth=0.6, alpha=0.5, **look)
        dash = _DASHES[dash_of(line.name)]
        axes.plot([elbow, swatch], [place, place], linestyle=dash, linewidth=1.4, **look)
        axes.text(
            text,
            place,
            _shortened(line.name),
            va="center",
            color=_FAINT if line.is_anchor else _INK,
            fontstyle="italic" if line.is_anchor else "normal",
            parse_math=False,
        )


def _shortened(name: str) -> str:
    return name if len(name) <= _ROOM else f"{name[: _ROOM - 1]}…"

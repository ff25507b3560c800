"""Drawing SVG with matplotlib: lines in a router's look, labels at their ends, equal bytes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

from equirouter.extras import require
from equirouter.report.style import colour_of, dash_of, spread

__all__ = [
    "DASHES",
    "FAINT",
    "GRID",
    "INK",
    "Line",
    "Paint",
    "draw_figure",
    "draw_lines",
    "draw_svg",
    "line_axes",
]

Paint: TypeAlias = Callable[[Any], None]
"""Draws on a matplotlib Figure."""

INK, FAINT, GRID = "#222222", "#6E6E6E", "#E6E6E6"
DASHES: Mapping[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 2)),
    "dot": (0, (1, 1.6)),
    "dashdot": (0, (6, 1.6, 1, 1.6)),
}
_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "svg.hashsalt": "equirouter",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}
_LETTER = 0.00856  # inches of an average letter per point of its size
_LINE = 0.0193  # inches between two lines of text per point
_ELBOW, _SWATCH, _TEXT = 0.014, 0.043, 0.0486  # where a label's parts begin: inches per point
_ROOM = 28  # letters of a label; more are cut


@dataclass(frozen=True)
class Line:
    """A curve of a router or an anchor, in that one's colour and dash, labelled at its end.

    label: what is written; by default the name. is_anchor: thinner, its label grey and slanted.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    is_anchor: bool = False
    label: str = ""

    @property
    def is_point(self) -> bool:
        """Whether every operating point is the same, as for an anchor without a budget."""
        return max(self.x) == min(self.x) and max(self.y) == min(self.y)

    @property
    def shown(self) -> str:
        """The label, cut where it is too long for the margin."""
        text = self.label or self.name
        return text if len(text) <= _ROOM else f"{text[: _ROOM - 1]}…"


def draw_figure(paint: Paint, size: tuple[float, float], *, points: float = 9.0) -> Any:  # noqa: ANN401
    """A matplotlib Figure that paint has drawn on.

    size: width and height in inches. points: of the letters. Raises MissingExtraError without
    matplotlib.
    """
    matplotlib = require("matplotlib", extra="report", purpose="draw figures")
    module = require("matplotlib.figure", extra="report", purpose="draw figures")
    with matplotlib.rc_context(_STYLE | {"font.size": points}):
        figure = module.Figure(figsize=size)
        paint(figure)
    return figure


def draw_svg(paint: Paint, size: tuple[float, float], *, title: str, points: float = 9.0) -> bytes:
    """The SVG of such a figure; the same drawing gives the same bytes. title: in the metadata."""
    matplotlib = require("matplotlib", extra="report", purpose="draw figures")
    svg = require("matplotlib.backends.backend_svg", extra="report", purpose="draw figures")
    with matplotlib.rc_context(_STYLE | {"font.size": points}), warnings.catch_warnings():
        # A letter that the font lacks, as in a name with an emoji, is an empty box in the picture;
        # the name as it is stands in the file's comments and in the report beside it.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure = draw_figure(paint, size, points=points)
        svg.FigureCanvasSVG(figure)
        stream = BytesIO()
        # without a date: the same results give the same bytes
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title})
    return stream.getvalue()


def line_axes(figure: Any, labels: Sequence[str], *, title: str) -> Any:  # noqa: ANN401
    """Axes with a grid and a title, and room on the right for labels of these letters."""
    points = _points()
    width, height = figure.get_size_inches()
    room = max(map(len, labels)) * _LETTER * points + _TEXT * points
    left, below, above = 0.064 * points / width, 0.053 * points / height, 0.058 * points / height
    axes = figure.add_axes((left, below, 1 - left - room / width, 1 - below - above))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_title(
        title, loc="left", fontsize=points * 1.1, color=INK, pad=points * 1.2, parse_math=False
    )
    return axes


def draw_lines(axes: Any, lines: Sequence[Line]) -> None:  # noqa: ANN401
    """Draw lines, and their labels in the right margin; call it last, as it fixes the limits."""
    for line in lines:
        _draw_line(axes, line)
    _label_ends(axes, lines)


def _draw_line(axes: Any, line: Line) -> None:  # noqa: ANN401  # a matplotlib object
    colour, points = colour_of(line.name), _points()
    if line.is_point:
        axes.plot(line.x[-1:], line.y[-1:], "o", color=colour, markersize=points * 0.55, zorder=3)
        return
    axes.plot(
        line.x,
        line.y,
        color=colour,
        linestyle=DASHES[dash_of(line.name)],
        linewidth=points * (0.13 if line.is_anchor else 0.21),
        zorder=2 if line.is_anchor else 4,
    )
    axes.plot(line.x[-1:], line.y[-1:], "o", color=colour, markersize=points / 3, zorder=5)


def _label_ends(axes: Any, lines: Sequence[Line]) -> None:  # noqa: ANN401
    """Names in the right margin, each tied to the end of its line, moved apart where they touch."""
    points = _points()
    width, height = axes.get_position().size * axes.figure.get_size_inches()
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    gap = (high - low) * _LINE * points / height
    places = spread([line.y[-1] for line in lines], gap, low, high)
    elbow, swatch, text = (
        right + inches * points / width * (right - left) for inches in (_ELBOW, _SWATCH, _TEXT)
    )
    for line, place in zip(lines, places, strict=True):
        look = {"color": colour_of(line.name), "clip_on": False, "solid_capstyle": "butt"}
        axes.plot([line.x[-1], elbow], [line.y[-1], place], linewidth=0.6, alpha=0.5, **look)
        dash = DASHES[dash_of(line.name)]
        axes.plot([elbow, swatch], [place, place], linestyle=dash, linewidth=points / 6.5, **look)
        axes.text(
            text,
            place,
            line.shown,
            va="center",
            color=FAINT if line.is_anchor else INK,
            fontstyle="italic" if line.is_anchor else "normal",
            parse_math=False,
        )


def _points() -> float:
    matplotlib = require("matplotlib", extra="report", purpose="draw figures")
    return float(matplotlib.rcParams["font.size"])

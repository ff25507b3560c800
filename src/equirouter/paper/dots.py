"""Rows of dots with intervals: several measures of the same routers side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from equirouter.evaluation.results import ANCHORS
from equirouter.paper.routers import label_of
from equirouter.report.canvas import FAINT, GRID, INK, draw_svg
from equirouter.report.style import colour_of

__all__ = ["Mark", "Panel", "dot_plot"]

_WIDTH, _ROW, _LABELS, _EDGES = 7.0, 0.155, 1.3, (0.3, 0.36)  # inches


@dataclass(frozen=True)
class Mark:
    """One dot: a value with its interval, and another value that it is held against.

    is_partly: not every seed has a value; the dot is faint.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    published: float | None = None
    is_partly: bool = False


@dataclass(frozen=True)
class Panel:
    """One measure: its heading and a mark per row."""

    heading: str
    marks: tuple[Mark, ...]


def dot_plot(names: Sequence[str], panels: Sequence[Panel], *, title: str) -> bytes:
    """SVG of 7 inches: a row per name from the top, a panel per measure, each on its own scale.

    names: routers or anchors, in their colours. A value that is None is drawn as "/".
    """
    above, below = _EDGES
    height = above + below + _ROW * len(names)

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        room = (_WIDTH - _LABELS - 0.1) / len(panels)
        for index, panel in enumerate(panels):
            left = _LABELS + index * room
            axes = figure.add_axes(
                (
                    left / _WIDTH,
                    below / height,
                    (room - 0.12) / _WIDTH,
                    1 - (above + below) / height,
                )
            )
            _paint_panel(axes, names, panel)
            if index == 0:
                _name_rows(axes, names)

    return draw_svg(paint, (_WIDTH, height), title=title, points=7.0)


def _paint_panel(axes: Any, names: Sequence[str], panel: Panel) -> None:  # noqa: ANN401
    axes.set_title(panel.heading, loc="left", fontsize=8, color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=4)
    for row, (name, mark) in enumerate(zip(names, panel.marks, strict=True)):
        axes.axhline(row, color=GRID, linewidth=0.5, zorder=0)
        colour = colour_of(name)
        look = {"color": colour, "alpha": 0.35 if mark.is_partly else 1.0}
        if mark.published is not None:
            axes.plot(mark.published, row, "o", ms=4.2, mfc="white", mec=colour, mew=0.8, zorder=3)
        if mark.low is not None and mark.high is not None:
            axes.plot([mark.low, mark.high], [row, row], linewidth=1.3, zorder=4, **look)
        if mark.value is None:
            place = axes.get_yaxis_transform()
            axes.text(0.97, row, "/", transform=place, va="center", ha="right", color=colour)
        else:
            axes.plot(mark.value, row, "o", ms=3.6, zorder=5, **look)


def _name_rows(axes: Any, names: Sequence[str]) -> None:  # noqa: ANN401
    for row, name in enumerate(names):
        is_anchor = name in ANCHORS
        axes.annotate(
            label_of(name),
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=FAINT if is_anchor else INK,
            fontstyle="italic" if is_anchor else "normal",
            parse_math=False,
        )

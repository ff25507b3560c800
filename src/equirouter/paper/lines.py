"""Figures of lines, a column wide: the look that several experiments share."""

from collections.abc import Callable, Sequence
from typing import Any

from equirouter.paper.base import Figure
from equirouter.report.canvas import Line, draw_lines, draw_svg, line_axes

__all__ = ["STOPS", "line_figure", "stop_heads", "values_at_stops"]

STOPS = (25, 50, 75, 100)
"""Places of a sweep that tables show, in %."""


def stop_heads() -> tuple[str, ...]:
    """The heads of their columns."""
    return tuple(f"{stop} % of the sweep" for stop in STOPS)


def values_at_stops(values: Sequence[float]) -> list[float]:
    """The values of a sweep at STOPS."""
    return [float(values[round(stop / 100 * (len(values) - 1))]) for stop in STOPS]


def line_figure(
    name: str,
    lines: Sequence[Line],
    alt: str,
    caption: str,
    *,
    title: str,
    x_label: str,
    height: float = 3.3,
    prepare: Callable[[Any], None] | None = None,
) -> Figure:
    """Lines with their labels at the right.

    alt, caption: see Figure. height: in inches. prepare: is given the axes before the lines are
    drawn; without it the vertical axis shows a percentage.
    """

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes = line_axes(figure, [line.shown for line in lines], title=title)
        axes.set_xlabel(x_label)
        if prepare is None:
            axes.set_ylim(-2, 102)
        else:
            prepare(axes)
        draw_lines(axes, lines)

    return Figure(name, draw_svg(paint, (3.5, height), title=title, points=7.0), alt, caption)

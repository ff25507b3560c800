"""Section: the result of an experiment, with its tables and figures; figures of lines."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from equirouter.report.canvas import Line, Paint, draw_svg, line_painter

Verdict: TypeAlias = Literal["reproduced", "partly reproduced", "not reproduced", "not tested"]
"""Whether the paper's claim came out here; "not tested": the data cannot show it either way."""


def verdict_of(held: Collection[bool]) -> Verdict:
    """The verdict on a claim of several parts, by which of them held."""
    if all(held):
        return "reproduced"
    return "partly reproduced" if any(held) else "not reproduced"


@dataclass(frozen=True)
class Value:
    """A number with its interval; None where a value was never reached or has no interval.

    note: a few words behind the number, such as "(2/3)" where two of three seeds reached it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


Cell: TypeAlias = str | int | float | Value | None
"""None is a value that was never reached, "" is none at all."""


@dataclass(frozen=True)
class Table:
    """Rows of cells below columns, the first of which names the row.

    name: of its files, such as "table1". caption: what the numbers are, with their units.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str


@dataclass(frozen=True)
class Figure:
    """A picture as SVG.

    name: of its file. alt: what it shows, for those who do not see it. caption: how to read it.
    """

    name: str
    svg: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """One experiment.

    name: its name in the registry. claim: what the paper says, with the number of its figure or
    table. verdict and finding: whether that came out here, and the figures that say so in plain
    words; both follow from what was measured.
    """

    name: str
    title: str
    claim: str
    verdict: Verdict
    finding: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]


STOPS = (25, 50, 75, 100)
"""Places of a sweep that tables show, in %."""


STOP_HEADS = tuple(f"{stop} % of the sweep" for stop in STOPS)
"""The heads of their columns."""


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
    prepare: Paint = lambda axes: axes.set_ylim(-2, 102),
) -> Figure:
    """Lines with their labels at the right.

    alt, caption: see Figure. height: in inches. prepare: see line_painter; without it the vertical
    axis shows a percentage.
    """
    paint = line_painter(lines, title, x_label, prepare)
    return Figure(name, draw_svg(paint, (3.5, height), title=title, points=7.0), alt, caption)

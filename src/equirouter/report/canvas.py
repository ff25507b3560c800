"""Drawing SVG with matplotlib: equal bytes, the same look for a router in every picture.

Colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers, without
yellow and black: each of these shows on white and on a dark background.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

from equirouter.extras import require

FIGURE_SIZE = (6.4, 4.0)  # inches
PERFORMANCE_TITLE = "Mean performance for what is spent"
COST_LABEL = "mean cost, USD per query"

Paint: TypeAlias = Callable[[Any], None]
"""Draws on a matplotlib Figure, or on its axes."""

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
    "axes.axisbelow": True,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
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
    matplotlib = require("matplotlib", extra="train", purpose="draw figures")
    module = require("matplotlib.figure", extra="train", purpose="draw figures")
    with matplotlib.rc_context(_style(points)):
        figure = module.Figure(figsize=size)
        paint(figure)
    return figure


def draw_svg(paint: Paint, size: tuple[float, float], *, title: str, points: float = 9.0) -> bytes:
    """The SVG of such a figure; the same drawing gives the same bytes. title: in the metadata."""
    matplotlib = require("matplotlib", extra="train", purpose="draw figures")
    svg = require("matplotlib.backends.backend_svg", extra="train", purpose="draw figures")
    with matplotlib.rc_context(_style(points)), warnings.catch_warnings():
        # A letter that the font lacks, as in a name with an emoji, is an empty box in the picture;
        # the name as it is stands in the file's comments and in the report beside it.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure = draw_figure(paint, size, points=points)
        svg.FigureCanvasSVG(figure)
        stream = BytesIO()
        # without a date: the same results give the same bytes
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title})
    return stream.getvalue()


def _style(points: float) -> dict[str, Any]:
    return _STYLE | {"font.size": points, "axes.titlesize": 1.1 * points}


def line_painter(
    lines: Sequence[Line], title: str, x_label: str, prepare: Paint = lambda _: None
) -> Paint:
    """A painter of lines over one horizontal axis, each labelled at its end.

    prepare: is given the axes before the lines are drawn.
    """

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes = line_axes(figure, [line.shown for line in lines], title=title)
        axes.set_xlabel(x_label)
        prepare(axes)
        draw_lines(axes, lines)

    return paint


def line_axes(figure: Any, labels: Sequence[str], *, title: str) -> Any:  # noqa: ANN401
    """Axes with a grid and a title, and room on the right for labels of these letters."""
    points = _points()
    width, height = figure.get_size_inches()
    room = max(map(len, labels)) * _LETTER * points + _TEXT * points
    left, below, above = 0.064 * points / width, 0.053 * points / height, 0.058 * points / height
    axes = figure.add_axes((left, below, 1 - left - room / width, 1 - below - above))
    axes.grid(axis="y")
    axes.set_title(title, pad=points * 1.2, parse_math=False)
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
    matplotlib = require("matplotlib", extra="train", purpose="draw figures")
    return float(matplotlib.rcParams["font.size"])


def width_of(text: str, points: float, *, is_bold: bool = False) -> float:
    """Inches of a line of text in the figures' letters, of this size in points."""
    textpath = require("matplotlib.textpath", extra="train", purpose="draw figures")
    fonts = require("matplotlib.font_manager", extra="train", purpose="draw figures")
    weight = "bold" if is_bold else "normal"
    letters = fonts.FontProperties(family="DejaVu Sans", weight=weight, size=points)
    width, _, _ = textpath.TextToPath().get_text_width_height_descent(text, letters, ismath=False)
    return float(width) / 72


def fitted(text: str, inches: float, points: float, *, is_bold: bool = False) -> str:
    """The text, or as much of its two ends as fits, with "…" between them.

    The ends, as the sizes and dates that tell two models apart are often the last letters.
    """
    cut, kept = text, len(text)
    while width_of(cut, points, is_bold=is_bold) > inches and kept > 1:
        kept -= 1
        cut = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
    return cut


_VERMILLION, _BLUE, _GREEN = "#D55E00", "#0072B2", "#009E73"
_PURPLE, _SKY, _ORANGE = "#CC79A7", "#56B4E9", "#E69F00"
_LOOKS = {
    "oracle": ("#6E6E6E", "solid"),
    "random": ("#909090", "dot"),
    "strongest": ("#6E6E6E", "dash"),
    "cheapest": ("#909090", "dash"),
    "task": ("#7D7D7D", "dashdot"),
    "mixture": ("#A0A0A0", "solid"),
    "agree": ("#8A8A8A", "dashdot"),
    "oracle-check": ("#7A7A7A", "dot"),
    "equirouter": (_VERMILLION, "solid"),
    "factors": (_VERMILLION, "dash"),
    "mlp": (_BLUE, "solid"),
    "knn": (_GREEN, "solid"),
    "linear": (_PURPLE, "solid"),
    "embedllm": (_SKY, "solid"),
    "graphrouter": (_ORANGE, "solid"),
    "causal": (_BLUE, "dash"),
    "mirt": (_GREEN, "dash"),
    "nirt": (_PURPLE, "dash"),
    "avengerspro": (_SKY, "dash"),
    "routerdc": (_ORANGE, "dash"),
}
_OTHERS = tuple(
    (colour, dash)
    for dash in ("dashdot", "dot")
    for colour in (_BLUE, _GREEN, _PURPLE, _SKY, _ORANGE)
)
# cividis from dark to light, cut at both ends: neither may vanish in a light or a dark page
_RAMP = ((0x2B, 0x46, 0x7C), (0x7C, 0x7B, 0x78), (0xE8, 0xD2, 0x55))


def colour_of(name: str) -> str:
    """The colour of a router or an anchor as #RRGGBB; anchors are grey."""
    return _look(name)[0]


def dash_of(name: str) -> str:
    """The dash of a router or an anchor: "solid", "dash", "dot" or "dashdot"."""
    return _look(name)[1]


def _look(name: str) -> tuple[str, str]:
    if name in _LOOKS:
        return _LOOKS[name]
    # of its name and not of its place, so that adding a router recolours no other
    first, second = hashlib.sha256(name.encode("utf-8")).digest()[:2]
    base, _, settings = name.partition(":")
    if not settings:
        return _OTHERS[first % len(_OTHERS)]
    colour = _look(base)[0]  # "mlp:width=64" is a shade of "mlp", with another dash
    toward, share = ((0x00, 0.0), (0x00, 0.35), (0xFF, 0.35))[second % 3]
    return _mixed(_channels(colour), (toward,) * 3, share), ("dash", "dot", "dashdot")[first % 3]


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def _mixed(left: Sequence[int], right: Sequence[int], share: float) -> str:
    """The colour that is share of the way from left to right."""
    channels = (round(a + share * (b - a)) for a, b in zip(left, right, strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in channels)


def model_colours(n_models: int) -> list[str]:
    """One colour per model, given in the order of their cost: dark is cheap, light is expensive."""
    colours = []
    for index in range(n_models):
        place = 2.0 * index / max(n_models - 1, 1)
        left = min(int(place), 1)
        colours.append(_mixed(_RAMP[left], _RAMP[left + 1], place - left))
    return colours


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels as little as possible so that neighbours are at least gap apart.

    positions: where each label would like to be; low, high: the range they must stay in, which is
    kept whenever all of them fit. Returns the places in the order given; the order of two labels
    never changes. Least squares: isotonic regression of position - rank * gap.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    blocks: list[list[float]] = []  # [mean, size] of labels that push each other
    for rank, index in enumerate(order):
        blocks.append([positions[index] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size = blocks.pop()
            before = blocks[-1]
            total = before[1] + size
            blocks[-1] = [(before[0] * before[1] + mean * size) / total, total]
    ceiling = max(low, high - (len(order) - 1) * gap)
    shifted = [min(max(mean, low), ceiling) for mean, size in blocks for _ in range(int(size))]
    placed = [0.0] * len(order)
    for rank, index in enumerate(order):
        placed[index] = shifted[rank] + rank * gap
    return placed

"""The pictures of the multimodal simulated data set: drawn from their parameters and a generator.

What makes a picture hard is in it and not in the text: how much there is, how faint it is, and what
lies over it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.extras import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PICTURES", "SIZE", "Scene", "draw"]

SIZE = 224
"""Pixels, of each side."""

_SCALE = 2  # drawn twice as large and then made smaller, so that edges are smooth
_EDGE = SIZE * _SCALE

Colour: TypeAlias = tuple[int, int, int]

_PAPERS: tuple[Colour, ...] = (
    (250, 250, 247),
    (232, 228, 216),
    (214, 226, 236),
    (226, 236, 220),
    (242, 224, 218),
)
_INKS: tuple[Colour, ...] = (
    (28, 28, 32),
    (150, 24, 36),
    (18, 84, 56),
    (24, 52, 140),
    (110, 40, 120),
    (150, 84, 10),
)


class Scene(NamedTuple):
    """What makes a picture hard, each from 0 (easy) to 1 (hard).

    amount: of objects, digits, bars, lines or cells. faintness: how near the ink is to the paper.
    clutter: lines and specks over it.
    """

    amount: float
    faintness: float
    clutter: float


def draw(task: str, scene: Scene, rng: np.random.Generator) -> "Image":
    """The picture of one query, SIZE x SIZE pixels, RGB; the same rng state gives the same pixels.

    Raises MissingExtraError without Pillow.
    """
    image = require("PIL.Image", extra="vision", purpose="draw the pictures of the simulation")
    pen = require("PIL.ImageDraw", extra="vision", purpose="draw the pictures of the simulation")
    paper = _PAPERS[int(rng.integers(len(_PAPERS)))]
    canvas = image.new("RGB", (_EDGE, _EDGE), paper)
    hand = _Hand(pen.Draw(canvas), paper, scene, rng)
    PICTURES[task](hand)
    hand.clutter()
    small: Image = canvas.resize((SIZE, SIZE), image.Resampling.BOX)
    return small


class _Hand:
    """Draws on one canvas in inks that are as faint as the scene says."""

    def __init__(self, pen: Any, paper: Colour, scene: Scene, rng: np.random.Generator) -> None:  # noqa: ANN401
        self.pen, self.paper, self.scene, self.rng = pen, paper, scene, rng

    def ink(self) -> Colour:
        """One of the inks, mixed with paper."""
        return self.mixed(_INKS[int(self.rng.integers(len(_INKS)))])

    def mixed(self, ink: Colour) -> Colour:
        """The ink, 5 % to 85 % of it paper."""
        share = 0.05 + 0.8 * self.scene.faintness
        red, green, blue = (
            round(share * paper + (1 - share) * dark)
            for paper, dark in zip(self.paper, ink, strict=True)
        )
        return red, green, blue

    def number(self, least: int, most: int) -> int:
        """From least to most with the amount, in equal ratios."""
        return round(float(least * (most / least) ** self.scene.amount))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def line(self, points: FloatArray, ink: Colour, width: float) -> None:
        flat = [tuple(point) for point in (points * _EDGE).tolist()]
        self.pen.line(flat, fill=ink, width=max(1, round(width * _EDGE)))

    def shape(self, centre: FloatArray, radius: float, ink: Colour) -> None:
        """A disc, or a polygon of three to five corners, filled."""
        n_corners = int(self.rng.integers(2, 6))
        x, y = centre * _EDGE
        if n_corners == 2:
            r = radius * _EDGE
            self.pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
            return
        angles = self.between(0, 2 * np.pi) + 2 * np.pi * np.arange(n_corners) / n_corners
        corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self.pen.polygon([tuple(point) for point in (corners * _EDGE).tolist()], fill=ink)

    def clutter(self) -> None:
        """Up to 14 thin lines across everything, and up to 160 specks."""
        for _ in range(round(14 * self.scene.clutter)):
            self.line(self.rng.uniform(0, 1, (2, 2)), self.ink(), 0.006)
        for x, y in self.rng.uniform(0, _EDGE, (round(160 * self.scene.clutter), 2)).tolist():
            self.pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=self.ink())


def _counting(hand: _Hand) -> None:
    """3 to 40 shapes that may overlap, the smaller the more there are."""
    n_shapes = hand.number(3, 40)
    for _ in range(n_shapes):
        radius = hand.between(0.6, 1.0) * 0.16 / n_shapes**0.35
        hand.shape(hand.rng.uniform(0.08, 0.92, 2), radius, hand.ink())


# the strokes of a digit as on a pocket calculator: top, upper left, upper right, middle, ...
_STROKES = np.array(
    [
        [(0, 0), (1, 0)],
        [(0, 0), (0, 1)],
        [(1, 0), (1, 1)],
        [(0, 1), (1, 1)],
        [(0, 1), (0, 2)],
        [(1, 1), (1, 2)],
        [(0, 2), (1, 2)],
    ],
    dtype=np.float64,
)
_DIGITS = ("012456", "25", "02346", "02356", "1235", "01356", "013456", "025", "0123456", "012356")


def _reading(hand: _Hand) -> None:
    """2 to 9 digits in a row; more of them are smaller, and stand more askew."""
    n_digits = hand.number(2, 9)
    height = hand.between(0.8, 1.0) * 0.5 / n_digits**0.6
    tilt = hand.between(-1, 1) * np.pi / 4 * hand.scene.amount
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    ink = hand.ink()
    for place in range(n_digits):
        left = (place - n_digits / 2) * 0.75 * height
        for stroke in _DIGITS[int(hand.rng.integers(10))]:
            points = (_STROKES[int(stroke)] - (0, 1)) * (height / 2) + (left, 0.0)
            hand.line(points @ turn + 0.5, ink, height / 9)


def _charts(hand: _Hand) -> None:
    """4 to 20 bars on an axis."""
    n_bars = hand.number(4, 20)
    heights = hand.rng.uniform(0.15, 0.8, n_bars)
    step = 0.84 / n_bars
    one_ink = hand.ink() if hand.rng.random() < 0.5 else None
    for place, height in enumerate(heights.tolist()):
        left = 0.1 + place * step
        box = [edge * _EDGE for edge in (left, 0.9 - height, left + 0.7 * step, 0.9)]
        hand.pen.rectangle(box, fill=one_ink or hand.ink())
    axis = np.array([[0.08, 0.06], [0.08, 0.9], [0.96, 0.9]])
    hand.line(axis, hand.mixed(_INKS[0]), 0.008)


def _geometry(hand: _Hand) -> None:
    """A closed figure of 4 to 16 corners, and half as many lines between them."""
    n_corners = hand.number(4, 16)
    angles = np.sort(hand.rng.uniform(0, 2 * np.pi, n_corners))
    reach = hand.rng.uniform(0.2, 0.45, (n_corners, 1))
    corners = 0.5 + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ink = hand.ink()
    hand.line(np.concatenate([corners, corners[:1]]), ink, 0.012)
    for _ in range(n_corners // 2):
        ends = hand.rng.choice(n_corners, 2, replace=False)
        hand.line(corners[ends], ink, 0.008)


def _locating(hand: _Hand) -> None:
    """A board of 3 x 3 to 10 x 10 cells, a third of which hold a shape."""
    n_cells = hand.number(3, 10)
    marks = np.linspace(0.05, 0.95, n_cells + 1)
    ink = hand.mixed(_INKS[0])
    for mark in marks.tolist():
        hand.line(np.array([[0.05, mark], [0.95, mark]]), ink, 0.005)
        hand.line(np.array([[mark, 0.05], [mark, 0.95]]), ink, 0.005)
    step = 0.9 / n_cells
    for cell in hand.rng.permutation(n_cells**2)[: n_cells**2 // 3].tolist():
        row, column = divmod(cell, n_cells)
        centre = 0.05 + step * (np.array([column, row]) + 0.5)
        hand.shape(centre, 0.32 * step, hand.ink())


PICTURES: Mapping[str, Callable[[_Hand], None]] = MappingProxyType(
    {
        "counting": _counting,
        "reading": _reading,
        "charts": _charts,
        "geometry": _geometry,
        "locating": _locating,
    }
)
"""Task -> what draws its picture."""

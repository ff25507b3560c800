"""The look of a router or an anchor: the same colour and dash in every picture.

Colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers, without
yellow and black: each of these shows on white and on a dark background.
"""

import hashlib
from collections.abc import Sequence

__all__ = ["colour_of", "dash_of", "model_colours", "spread"]

_VERMILLION, _BLUE, _GREEN = "#D55E00", "#0072B2", "#009E73"
_PURPLE, _SKY, _ORANGE = "#CC79A7", "#56B4E9", "#E69F00"
_LOOKS = {
    "oracle": ("#6E6E6E", "solid"),
    "random": ("#909090", "dot"),
    "strongest": ("#6E6E6E", "dash"),
    "cheapest": ("#909090", "dash"),
    "task": ("#7D7D7D", "dashdot"),
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

"""The colour of a model: the same in every chart of the dashboard, and the ramp of the reports."""

from collections.abc import Sequence

__all__ = ["OTHER", "colours_of"]

# cividis from dark to light, cut at both ends: neither may vanish in a light or a dark page. The
# ramp of equirouter.report.style, which a gateway need not have.
_RAMP = ((0x2B, 0x46, 0x7C), (0x7C, 0x7B, 0x78), (0xE8, 0xD2, 0x55))
OTHER = "#909090"
"""Models that are in the log and no longer in the pool."""


def colours_of(models: Sequence[str]) -> dict[str, str]:
    """Model -> #RRGGBB; models: the cheapest first, which is dark, to the most expensive, light."""
    colours = {}
    for index, model in enumerate(models):
        place = 2.0 * index / max(len(models) - 1, 1)
        left = min(int(place), 1)
        channels = (
            round(a + (place - left) * (b - a))
            for a, b in zip(_RAMP[left], _RAMP[left + 1], strict=True)
        )
        colours[model] = "#" + "".join(f"{channel:02X}" for channel in channels)
    return colours

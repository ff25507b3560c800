"""How wide a text is drawn, and what of it fits."""

from equirouter.extras import require

__all__ = ["fitted", "width_of"]


def width_of(text: str, points: float, *, is_bold: bool = False) -> float:
    """Inches of a line of text in the figures' letters, of this size in points."""
    textpath = require("matplotlib.textpath", extra="report", purpose="draw figures")
    fonts = require("matplotlib.font_manager", extra="report", purpose="draw figures")
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

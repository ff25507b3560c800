"""Numbers and values in words, always the same way."""

from collections.abc import Mapping, Sequence

from equirouter.evaluation.diagnosis.contents import Interval
from equirouter.words import NEVER, interval


def percent(share: float | None) -> str:
    """A share in [0, 1] as a percentage, "/" for one that there is not."""
    return NEVER if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """Three decimals."""
    return NEVER if value is None else f"{value:.3f}"


def usd(value: float | None) -> str:
    """USD with three significant digits."""
    return NEVER if value is None else f"{value:.3g} USD"


def signed(known: Interval) -> str:
    """An interval of a difference."""
    return "no interval" if known is None else interval(*known, "+.3f")


def count(n: int, noun: str) -> str:
    """A number with its noun."""
    plural = "queries" if noun == "query" else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def plain(value: object) -> str:
    """Any value of results.json in words: lists joined, long ones shortened, None as "none"."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > 12:
            return f"{len(value)} values from {plain(value[0])} to {plain(value[-1])}"
        return ", ".join(plain(item) for item in value)
    return str(value)

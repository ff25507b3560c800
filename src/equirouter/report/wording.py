"""Numbers of a diagnosis in words: shares, money and intervals, always the same way."""

from equirouter.evaluation.findings import Interval

__all__ = ["count", "number", "percent", "signed", "usd"]

NEVER = "/"


def percent(share: float | None) -> str:
    """A share in [0, 1] as a percentage, "/" for one that there is not."""
    return NEVER if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """Three decimals."""
    return NEVER if value is None else f"{value:.3f}"


def usd(value: float | None) -> str:
    """USD with three significant digits."""
    return NEVER if value is None else f"{value:.3g} USD"


def signed(interval: Interval) -> str:
    """An interval of a difference."""
    return "no interval" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}"


def count(n: int, noun: str) -> str:
    """A number with its noun."""
    plural = "queries" if noun == "query" else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"

"""Numbers, intervals and lists in words, always written the same way."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

NEVER = "/"
"""Stands for a value that was never reached."""


def number_of(count: int, singular: str, plural: str | None = None) -> str:
    """`1 model`, `2 models`; many: the plural, where it is not `one` with an s."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of more the first three and how many there are more.

    >>> listed(["knn", "mlp", "svm", "mirt"])
    'knn, mlp, svm and 1 more'
    """
    shown = [*names] if len(names) <= 3 else [*names[:3], f"{len(names) - 3} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def first_of(names: Sequence[str], most: int = 5) -> str:
    """The first names with commas, and how many more there are.

    >>> first_of(["knn", "mlp", "svm"], 2)
    'knn, mlp and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'knn'? ` where a name that is not known is near to one that is, else ""."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def interval(low: float | None, high: float | None, form: str = ".3f") -> str:
    """`[0.912, 0.964]`; "/" for a side never reached, "" without both. form: of a format string."""
    if low is None and high is None:
        return ""
    sides = (NEVER if side is None else f"{side:{form}}" for side in (low, high))
    return f"[{', '.join(sides)}]"


def aligned(rows: Sequence[Sequence[str]], *, numbers: bool = True) -> list[str]:
    """Lines of a table. numbers: all columns but the first are to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    align = str.rjust if numbers else str.ljust
    return [
        "  ".join([row[0].ljust(widths[0]), *map(align, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def in_columns(name: str, text: str, width: int) -> str:
    """A name of at most width characters and a text beside it, in lines of at most 80."""
    indent = " " * (width + 2)
    return textwrap.fill(
        text,
        80,
        initial_indent=f"{name:{width}}  ",
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def percent(share: float | None) -> str:
    """A share in [0, 1] as a percentage, "/" for one that there is not."""
    return NEVER if share is None else f"{100 * share:.1f} %"


def number(value: float | None, digits: int = 3) -> str:
    """So many decimals, "/" for a number that there is not."""
    return NEVER if value is None else f"{value:.{digits}f}"


def usd(value: float | None) -> str:
    """USD with three significant digits."""
    return NEVER if value is None else f"{value:.3g} USD"


def signed(known: tuple[float, float] | None) -> str:
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

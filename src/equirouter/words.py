"""Words of messages that depend on a number."""

from collections.abc import Sequence

__all__ = ["listed", "number_of"]


def number_of(count: int, one: str, many: str | None = None) -> str:
    """`1 model`, `2 models`; many: the plural, where it is not `one` with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b and c`; of more than `most` the first ones and how many there are more.

    >>> listed(["knn", "mlp", "svm", "mirt"])
    'knn, mlp, svm and 1 more'
    """
    shown = [*names] if len(names) <= most else [*names[:most], f"{len(names) - most} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)

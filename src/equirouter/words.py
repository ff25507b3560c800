"""Words of messages that depend on a number."""

__all__ = ["number_of"]


def number_of(count: int, one: str, many: str | None = None) -> str:
    """`1 model`, `2 models`; many: the plural, where it is not `one` with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"

"""Parts of a request taken as they are expected, or refused by their place in it."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from equirouter.errors import NoChatError

_LONGEST_NAME = 64  # of a function
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def identifier(text: str) -> str:
    """A text as providers take names and ids."""
    return _ODD.sub("_", text)


def function_name(name: str, *, key: str = "") -> str:
    """A name as providers take it for a function. key: what tells it from others, if not itself."""
    clean = identifier(name)
    if len(clean) <= _LONGEST_NAME:
        return clean
    digest = hashlib.sha256((key or name).encode()).hexdigest()[:8]
    return f"{clean[: _LONGEST_NAME - 9]}_{digest}"


def only(
    document: Mapping[str, Any],
    taken: Iterable[str],
    neutral: Mapping[str, tuple[object, ...]] | None = None,
    place: str = "",
) -> None:
    """Refuse every other field that is not null. neutral: values that ask for nothing."""
    for name, value in document.items():
        if value is None or name in taken or value in (neutral or {}).get(name, ()):
            continue
        raise NoChatError(f"{place}{name[:60]}")


def taken_object(value: object, place: str) -> dict[str, Any]:
    """An object, {} where it is absent."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NoChatError(f"{place} of this form")
    return value


def taken_text(value: object, place: str) -> str:
    """A text that must be there."""
    if not isinstance(value, str):
        raise NoChatError(f"{place} of this form")
    return value


def of_type(place: str, value: object) -> NoChatError:
    """The refusal of something whose type has no place in a chat completion."""
    return NoChatError(f"{place} of type {str(value)[:60]}")


def strings(value: object) -> Iterator[str]:
    """All strings in a value of JSON, and its numbers as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from strings(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)

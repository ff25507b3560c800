"""Fields of records: found by any of their names, read in any of their forms."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from equirouter.errors import FieldError

_MILLI, _MICRO, _NANO = 1e11, 1e14, 1e17
"""Unix times from here on are in milli-, micro- and nanoseconds: as seconds they are after 5138."""


def first(record: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """The value of the first of these fields that says something; None where none does."""
    return next((value for name in names if (value := record.get(name)) not in (None, "")), None)


def named(record: Mapping[str, Any], *names: str) -> str | None:
    """A name in the first of these fields that says something."""
    value = first(record, *names)
    return value if isinstance(value, str) else None


def parsed(value: Any) -> Any:  # noqa: ANN401
    """JSON that is kept as a text, as tables have it, parsed; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value  # a text that begins with a bracket
    return value


def inner(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object in the first of these fields that says something, {} where none is there."""
    value = parsed(first(record, *names))
    return value if isinstance(value, Mapping) else {}


def number(record: Mapping[str, Any], *names: str) -> float | None:
    """A number that is not negative, or a text that is one. Raises FieldError for anything else."""
    value = first(record, *names)
    if value is None:
        return None
    try:
        parsed_value = float(value)
    except (TypeError, ValueError, OverflowError):
        parsed_value = -1.0
    if isinstance(value, bool) or not 0 <= parsed_value < math.inf:
        name = next(name for name in names if record.get(name) not in (None, ""))
        raise FieldError(f"{name!r} is {str(value)[:40]!r}, a number of at least 0 is expected")
    return parsed_value


def whole(record: Mapping[str, Any], *names: str) -> int | None:
    """A count."""
    value = number(record, *names)
    return None if value is None else round(value)


def share(value: Any) -> float | None:  # noqa: ANN401
    """Feedback: a truth value, or a number from 0 to 1; None for any other scale."""
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        value = value.casefold() == "true"
    try:
        parsed_value = float(value)
    except (TypeError, ValueError):
        return None
    return parsed_value if 0 <= parsed_value <= 1 else None


def unix_seconds(value: Any) -> float | None:  # noqa: ANN401
    """Unix seconds of a time: a number of seconds or a finer unit, or a date in ISO 8601 (UTC)."""
    if value in (None, ""):
        return None
    try:
        parsed_value = float(value)
    except (TypeError, ValueError):
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise FieldError(f"{str(value)[:40]!r} is not a time") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if parsed_value >= _NANO:
        return parsed_value / 1e9
    if parsed_value >= _MICRO:
        return parsed_value / 1e6
    return parsed_value / 1e3 if parsed_value >= _MILLI else parsed_value

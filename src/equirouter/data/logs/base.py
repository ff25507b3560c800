"""Readers of log formats, and the requests that they make of records."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeAlias

from equirouter.errors import FieldError

_MILLI, _MICRO, _NANO = 1e11, 1e14, 1e17
"""Unix times from here on are in milli-, micro- and nanoseconds: as seconds they are after 5138."""

_MOST = 2**53
"""Above it not every whole number is one of floating point."""


class Fields(dict[str, Any]):
    """The fields of a record, found by any of their names, read in any of their forms."""

    def first(self, *names: str) -> Any:  # noqa: ANN401  # whatever JSON can hold
        """The value of the first of these fields that says something; None where none does."""
        return next((value for name in names if not _is_missing(value := self.get(name))), None)

    def named(self, *names: str) -> str | None:
        """A name in the first of these fields that says something."""
        value = self.first(*names)
        return value if isinstance(value, str) else None

    def parsed(self, *names: str) -> Any:  # noqa: ANN401
        """The value of the first of these fields, of JSON that is kept as a text what it says."""
        return parsed(self.first(*names))

    def inner(self, *names: str) -> "Fields":
        """The object in the first of these fields that says something, {} where none is there."""
        value = self.parsed(*names)
        return Fields(value if isinstance(value, Mapping) else {})

    def number(self, *names: str) -> float | None:
        """A number that is not negative, or a text that is one. Raises FieldError for others."""
        value = self.first(*names)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = -1.0
        if isinstance(value, bool) or not 0 <= number < math.inf:
            name = next(name for name in names if not _is_missing(self.get(name)))
            raise FieldError(f"{name!r} is {str(value)[:40]!r}, a number of at least 0 is expected")
        return number

    def whole(self, *names: str) -> int | None:
        """A count. Raises FieldError for no number, and for more than a file holds."""
        value = self.number(*names)
        if value is not None and value > _MOST:
            raise FieldError(f"{' or '.join(names)} is {value:g}: at most {_MOST:g} is expected")
        return None if value is None else round(value)

    def share(self, *names: str) -> float | None:
        """Feedback, see share."""
        return share(self.first(*names))

    def time(self, *names: str) -> float | None:
        """Unix seconds of a time: a number of them or of a finer unit, or a date in ISO 8601 (UTC).

        Raises FieldError for anything else.
        """
        value = self.first(*names)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            try:
                moment = datetime.fromisoformat(str(value))
            except ValueError as error:
                raise FieldError(f"{str(value)[:40]!r} is not a time") from error
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if number >= _NANO:
            return number / 1e9
        if number >= _MICRO:
            return number / 1e6
        return number / 1e3 if number >= _MILLI else number


def _is_missing(value: Any) -> bool:  # noqa: ANN401
    return value in (None, "") or (isinstance(value, float) and math.isnan(value))


def parsed(value: Any) -> Any:  # noqa: ANN401
    """JSON that is kept as a text, as tables have it, parsed; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value  # a text that begins with a bracket
    return value


def share(value: Any) -> float | None:  # noqa: ANN401
    """Feedback: a truth value, or a number from 0 to 1; None for any other scale."""
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        value = value.casefold() == "true"
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= 1 else None


@dataclass(frozen=True, slots=True)
class Record:
    """A line, a row, an element or a file of a log. place: as a user finds it."""

    place: str
    content: Fields


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """A request as a log has it; None: the log does not say.

    messages: of a chat completion, each with a text, a list of objects or nothing as its content;
    FieldError is raised for others. parameters: the other fields of the request, without model,
    messages and stream. answer: the whole text, "" where there was none; None where the request was
    not answered. asked_at: Unix seconds. feedback: from 0 to 1. disagreed: whether the answers of
    two models that were asked at once differed.
    """

    messages: list[dict[str, Any]]
    parameters: dict[str, Any] = field(default_factory=dict)
    task: str | None = None
    asked_at: float | None = None
    model: str | None = None
    answer: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_seconds: float | None = None
    feedback: float | None = None
    disagreed: bool | None = None

    def __post_init__(self) -> None:
        for place, message in enumerate(self.messages, start=1):
            content, calls = message.get("content"), message.get("tool_calls")
            if not (content is None or isinstance(content, str) or _are_objects(content)):
                raise FieldError(
                    f"the content of message {place} is {str(content)[:40]!r}, a text or a list of "
                    "objects is expected"
                )
            if calls and not _are_objects(calls):
                raise FieldError(
                    f"the tool_calls of message {place} are {str(calls)[:40]!r}, a list of objects "
                    "is expected"
                )


def _are_objects(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and all(isinstance(part, Mapping) for part in value)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A record that is no request for an answer, or none that can be asked again. why: counted."""

    why: str


NO_TEXT = "without the text that was asked"
without_text = LeftOut(NO_TEXT)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A record that should be a request and cannot be read. why: with its place."""

    why: str


DAMAGE = (FieldError, AttributeError, LookupError, TypeError, ValueError)
"""Errors of reading a record that has not the form of its format, at whatever depth."""


def wrong_record(place: str, error: Exception) -> Wrong:
    """A record that cannot be read, by one of DAMAGE."""
    if isinstance(error, FieldError):
        return Wrong(f"{place}: {error}")
    return Wrong(f"{place}: a value has not the form that this format gives it ({error})")


Found: TypeAlias = LoggedRequest | LeftOut | Wrong


class LogReader(ABC):
    """Reads the records of one format; one of them reads all files of that format of an import.

    To add a format: a subclass in a file of its own, and a line in LOG_FORMATS (registry.py) or an
    entry point of another package. The registered order is that in which formats are tried.
    """

    title: ClassVar[str]
    """What it reads, with the version of the format, for people."""
    keeps_texts: ClassVar[str]
    """How the texts that were asked come into such a log, as it ends a sentence."""

    @abstractmethod
    def recognises(self, record: Fields) -> bool:
        """Whether a record looks like one of this format."""

    @abstractmethod
    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The request that a record, or a part of one, is. Raises FieldError for a damaged one."""

    def parts(self, record: Fields) -> Iterable[Mapping[str, Any]]:
        """The requests in a record, of formats in which there may be several."""
        return (record,)

    def found(self, records: Iterable[Record]) -> Iterator[Found]:
        """All that is in some records, in their order."""
        for record in records:
            try:
                yield from (self.read(Fields(part)) for part in self.parts(record.content))
            except DAMAGE as error:
                yield wrong_record(record.place, error)

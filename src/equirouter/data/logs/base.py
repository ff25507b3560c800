"""Readers of log formats, and the requests that they make of records."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from equirouter.errors import FieldError


@dataclass(frozen=True, slots=True)
class Record:
    """A line, a row, an element or a file of a log. place: as a user finds it."""

    place: str
    content: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """A request as a log has it; None: the log does not say.

    messages: of a chat completion. parameters: the other fields of the request, without model,
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
    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Whether a record looks like one of this format."""

    @abstractmethod
    def read(self, record: Mapping[str, Any]) -> Iterable[LoggedRequest | LeftOut]:
        """The requests in a record. Raises FieldError for one that is damaged."""

    def found(self, records: Iterable[Record]) -> Iterator[Found]:
        """All that is in some records, in their order."""
        for record in records:
            try:
                yield from self.read(record.content)
            except FieldError as error:
                yield Wrong(f"{record.place}: {error}")

"""The columns of the table log, declared once: from them come the table, its rows and records.

A new column is a line here, a field of the record (records.py) and a migration (versions/).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Column, Float, SmallInteger, String, Text
from sqlalchemy.types import TypeEngine

from equirouter.serve.records import (
    Attempt,
    Candidate,
    Cascaded,
    Pair,
    Plan,
    Removal,
    RequestRecord,
    Tokens,
    nusd,
)


@dataclass(frozen=True, slots=True)
class LogColumn:
    """A column of the log, and the value of a RequestRecord that it holds."""

    name: str
    type: TypeEngine[Any]
    value: str | Callable[[RequestRecord], Any]
    """The field of the record, of its plan ("plan.value") or of its tokens ("tokens.input"); a
    function makes a value that is not a field, and is not read back as one."""
    required: bool = False
    """Not null; where the record has no plan or no tokens, the value is then False."""
    scale: float | None = None
    """The column holds the value times this, as a whole number: 1e6 for seconds in microseconds."""
    unique: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """The part of the record ("" is the record itself) and its field; no field: not read."""
        part, _, field = self.value.rpartition(".") if isinstance(self.value, str) else ("",) * 3
        return part, field

    def declared(self) -> Column[Any]:
        """The column of the table."""
        return Column(self.name, self.type, nullable=not self.required, unique=self.unique or None)


def _plan(record: RequestRecord) -> str | None:
    """All of a plan that has no column of its own, as JSON."""
    plan = record.plan
    if plan is None:
        return None
    document = dict(zip(_PLAN_FIELDS, _OTHERS(plan), strict=True))
    document["candidates"] = list(map(_CANDIDATE, plan.candidates))
    return orjson.dumps(document, default=dict, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _attempts(record: RequestRecord) -> str | None:
    if not record.attempts:
        return None
    calls = [_known(attempt) for attempt in record.attempts]
    try:
        document = orjson.dumps(calls)
        is_clean = _NUL not in document
    except orjson.JSONEncodeError:  # half a character
        is_clean = False
    if not is_clean:
        document = orjson.dumps([list(map(_cleaned, call)) for call in calls])
    return document.decode()


def _known(attempt: Attempt) -> tuple[Any, ...]:
    """The fields of a call without those at the end that are not known: most have few."""
    values: tuple[Any, ...] = _ATTEMPT(attempt)
    n = len(values)
    while values[n - 1] is None:
        n -= 1
    return values[:n]


def _cleaned(value: object) -> object:
    return clean(value) if isinstance(value, str) else value


def _cascade(record: RequestRecord) -> str | None:
    return None if record.cascade is None else orjson.dumps(record.cascade).decode()


def _predicted(record: RequestRecord) -> int | None:
    if record.plan is None:
        return None
    if record.plan.pair is not None:
        return nusd(record.plan.pair.expected_cost_usd)
    predicted = record.plan.predicted_costs_usd.get(record.served_model or "")
    return None if predicted is None else nusd(predicted)


# as astuple, which copies what is in them
_CANDIDATE, _ATTEMPT = (
    attrgetter(*(field.name for field in fields(kind))) for kind in (Candidate, Attempt)
)

_NUL = orjson.dumps("\0").strip(b'"')
_MICRO, _MILLI_IN_MICRO = 1e6, 1000.0

COLUMNS = (
    LogColumn("request_id", Text(), "request_id", required=True, unique=True),
    LogColumn("at_us", BigInteger(), "started_at", required=True, scale=_MICRO),
    LogColumn("endpoint", String(32), "endpoint", required=True),
    LogColumn("key_id", String(32), "key_id"),
    LogColumn("requested_model", Text(), "requested_model", required=True),
    LogColumn("served_model", Text(), "served_model"),
    LogColumn("stream", Boolean(), "stream", required=True),
    LogColumn("session", Text(), "session"),
    LogColumn("decided_by", String(16), "plan.decided_by"),
    LogColumn("setting", String(16), "plan.setting"),
    LogColumn("value", Float(53), "plan.value"),
    LogColumn("pipeline", Text(), "plan.pipeline"),
    LogColumn("plan", Text(), _plan),
    LogColumn("attempts", Text(), _attempts),
    LogColumn("cascade", Text(), _cascade),
    LogColumn("n_attempts", SmallInteger(), lambda record: len(record.attempts), required=True),
    LogColumn("status", SmallInteger(), "status", required=True),
    LogColumn("error", Text(), "error"),
    # null, or "charged in full" for a request whose worker died
    LogColumn("note", String(32), lambda _: None),
    LogColumn("input_tokens", BigInteger(), "tokens.input"),
    LogColumn("output_tokens", BigInteger(), "tokens.output"),
    LogColumn("cached_input_tokens", BigInteger(), "tokens.cached_input"),
    LogColumn("cache_write_tokens", BigInteger(), "tokens.cache_write"),
    LogColumn("long_cache_write_tokens", BigInteger(), "tokens.long_cache_write"),
    LogColumn("reasoning_tokens", BigInteger(), "tokens.reasoning"),
    LogColumn("audio_input_tokens", BigInteger(), "tokens.audio_input"),
    LogColumn("audio_output_tokens", BigInteger(), "tokens.audio_output"),
    LogColumn("tokens_estimated", Boolean(), "tokens.estimated", required=True),
    LogColumn("cost_nusd", BigInteger(), "cost_nusd"),
    LogColumn("charged_by", String(16), "charged_by"),
    LogColumn("reported_nusd", BigInteger(), "reported_nusd"),
    LogColumn("service_tier", String(32), "service_tier"),
    LogColumn("over_budget_nusd", BigInteger(), "over_budget_nusd"),
    LogColumn("predicted_nusd", BigInteger(), _predicted),
    LogColumn("strongest_nusd", BigInteger(), "strongest_nusd"),
    LogColumn("decision_us", BigInteger(), "plan.decision_ms", scale=_MILLI_IN_MICRO),
    LogColumn("first_byte_us", BigInteger(), "first_byte_ms", scale=_MILLI_IN_MICRO),
    LogColumn("total_us", BigInteger(), "total_ms", required=True, scale=_MILLI_IN_MICRO),
)

_PLACES = [(column, *column.place) for column in COLUMNS]
_PLAN_FIELDS = tuple(
    field.name
    for field in fields(Plan)
    if field.compare
    and field.name != "candidates"
    and ("plan", field.name) not in {column.place for column in COLUMNS}
)
_OTHERS = attrgetter(*_PLAN_FIELDS)


def _read(
    part: str,
) -> tuple[tuple[str, ...], Callable[[object], tuple[Any, ...]], tuple[Any, ...]]:
    """The columns of a part of the record, what reads them, and their values where it is None."""
    columns = {column: field for column, of, field in _PLACES if of == part and field}
    without = tuple(False if column.required else None for column in columns)
    return tuple(column.name for column in columns), attrgetter(*columns.values()), without


# many fields at once: this is done for each request
_OF_RECORD, _OF_PLAN, _OF_TOKENS = (_read(part) for part in ("", "plan", "tokens"))
_MADE = {column.name: column.value for column in COLUMNS if callable(column.value)}
_NAMES = (*_OF_RECORD[0], *_OF_PLAN[0], *_OF_TOKENS[0], *_MADE)
_SCALED = [(column.name, column.scale) for column in COLUMNS if column.scale is not None]
_TEXTS = [column.name for column, _, field in _PLACES if field and isinstance(column.type, String)]


def log_row(record: RequestRecord) -> dict[str, Any]:
    """The row of the table log."""
    values = [*_OF_RECORD[1](record)]
    for part, (_, read, without) in ((record.plan, _OF_PLAN), (record.tokens, _OF_TOKENS)):
        values += without if part is None else read(part)
    values += [made(record) for made in _MADE.values()]
    row = dict(zip(_NAMES, values, strict=True))
    for name, scale in _SCALED:
        if row[name] is not None:
            row[name] = round(row[name] * scale)
    if not _is_clean("".join(filter(None, map(row.get, _TEXTS)))):
        row |= {name: clean(row[name]) for name in _TEXTS}
    return row


def record_of(row: Mapping[str, Any]) -> RequestRecord:
    """The record of a row of the table log; no texts."""
    parts: dict[str, dict[str, Any]] = {"": {}, "plan": {}, "tokens": {}}
    for column, part, field in _PLACES:
        if field:
            value = row[column.name]
            if column.scale is not None and value is not None:
                value = value / column.scale
            elif isinstance(column.type, Boolean):
                value = bool(value)
            parts[part][field] = value
    plan = None
    if row["plan"] is not None:
        document = orjson.loads(row["plan"])
        # the first rows had more between these
        candidates = tuple(Candidate(of[0], of[1], of[-1]) for of in document["candidates"])
        others = {name: document[name] for name in _PLAN_FIELDS if name in document}
        others["removed"] = {name: Removal(**why) for name, why in document["removed"].items()}
        if others.get("pair") is not None:
            others["pair"] = Pair(**{**others["pair"], "models": tuple(others["pair"]["models"])})
        plan = Plan(candidates, **parts["plan"], **others)
    cascade = None
    if row["cascade"] is not None:
        how = orjson.loads(row["cascade"])
        cascade = Cascaded(**{**how, "pair": tuple(how["pair"])})
    return RequestRecord(
        **parts[""],
        plan=plan,
        attempts=attempts_of(row),
        cascade=cascade,
        tokens=None if row["input_tokens"] is None else Tokens(**parts["tokens"]),
    )


def attempts_of(row: Mapping[str, Any]) -> list[Attempt]:
    """The calls of a request, from a row of the table log."""
    return [Attempt(*values) for values in orjson.loads(row["attempts"] or b"[]")]


def clean(text: str | None) -> str | None:
    """A text that every database takes: without NUL, and without halves of characters."""
    if text is None or _is_clean(text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _is_clean(text: str) -> bool:
    return text.isascii() and "\0" not in text

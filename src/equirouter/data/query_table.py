"""A table of queries: what was asked, as `equirouter data import` writes it and `collect` reads it.

One row per query, in parquet (any format of an outcomes table is read). In the words of an outcomes
table, and like it with nothing where something is not known:

| column | holds |
|---|---|
| `query_id` | the name of the query, unique |
| `query` | the text that is routed on: what the gateway's `scope` reads of the conversation |
| `messages` | the whole conversation as it was sent, a JSON list of chat messages, pictures included |
| `parameters` | what else the request said (`tools`, `response_format`, `max_tokens`, ...), a JSON object without `model`, `messages` and `stream` |
| `task` | the kind of query |
| `count` | requests of the log that this row is: its near-duplicates are folded into it |
| `weight` | requests of the whole log that this row stands for: `count`, times what a sample left out; the weights add up to the requests of the log |
| `asked_at` | Unix seconds of the request |
| `model` | the model that answered in the log; all below is about its answer |
| `answer` | its whole text; "" where it had none (it called tools, or was refused) |
| `finish_reason` | as the provider said: `stop`, `length`, `tool_calls`, `content_filter`, ... |
| `input_tokens`, `output_tokens` | as they were counted; reasoning is part of the output |
| `cost_usd` | what that call cost |
| `latency_seconds` | from the request to the end of the answer |
| `feedback` | what users said of the answer, from 0 (bad) to 1 (good) |
| `disagreed` | 1 where two models that were asked at once gave different answers, 0 where equal ones: `collect` asks the former first |
| `reference` | a right answer, for graders and reviewers; no log has one, but a person may |

Only `query` must be there: a table that a person wrote has a message of the user for each query,
weight 1, and where there is no `query_id` a name that is made of what was asked. An outcomes table is no table of queries: it has a row per model.
"""  # noqa: E501  # a table

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from equirouter.data.logs.recognise import log_advice
from equirouter.data.reading.columns import ID, RawTable
from equirouter.data.reading.files import read_file
from equirouter.errors import DataError
from equirouter.output import atomic_write

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuery:
    """A row of a table of queries; see the module. None: not known."""

    query_id: str
    query: str
    messages: str
    parameters: str | None = None
    task: str | None = None
    count: int = 1
    weight: float = 1.0
    asked_at: float | None = None
    model: str | None = None
    answer: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_seconds: float | None = None
    feedback: float | None = None
    disagreed: int | None = None
    reference: str | None = None

    def body(self) -> dict[str, Any]:
        """The request again, as a chat completion without a model."""
        others: dict[str, Any] = json.loads(self.parameters) if self.parameters else {}
        return {**others, "messages": json.loads(self.messages)}


_TEXTS = (
    *("query_id", "query", "messages", "parameters", "task"),
    *("model", "answer", "finish_reason", "reference"),
)
_WHOLE = ("count", "input_tokens", "output_tokens", "disagreed")
_COLUMNS = tuple(field.name for field in fields(AskedQuery))
_SCHEMA = pa.schema(
    [
        pa.field(
            name,
            pa.large_string() if name in _TEXTS else pa.int64() if name in _WHOLE else pa.float64(),
            nullable=name not in ("query_id", "query", "messages", "count", "weight"),
        )
        for name in _COLUMNS
    ]
)


def write_queries(queries: Iterable[AskedQuery], path: str | Path) -> int:
    """Write a table of queries as parquet, some thousand rows at a time; returns how many.

    The file appears whole or not at all. Raises DataError for another suffix, OutputError.
    """
    path = Path(path)
    if path.suffix.lower() != ".parquet":
        raise DataError(f"{path}: a table of queries is written as .parquet; name the file so")
    written, waiting = 0, iter(queries)
    with atomic_write(path, "wb") as stream:
        writer = _writer(stream)
        while rows := list(islice(waiting, _ROWS_AT_ONCE)):
            columns = [[getattr(row, name) for row in rows] for name in _COLUMNS]
            writer.write_table(pa.table(columns, schema=_SCHEMA))
            written += len(rows)
        writer.close()
    return written


def _writer(stream: IO[bytes]) -> Any:  # noqa: ANN401  # pyarrow has no types
    return pq.ParquetWriter(stream, _SCHEMA, compression="zstd")


def read_queries(path: str | Path) -> list[AskedQuery]:
    """The rows of a table of queries. Raises DataError that names file, row and column.

    >>> from equirouter.data.query_table import AskedQuery, read_queries, write_queries
    >>> asked = AskedQuery(query_id="a", query="2 + 2?", messages='[{"role": "user"}]')
    >>> write_queries([asked], "queries.parquet")
    1
    >>> read_queries("queries.parquet") == [asked]
    True
    """
    try:
        raw = _with_queries(read_file(Path(path)))
    except DataError as error:
        advice = log_advice(Path(path), str(error), "a table of queries is expected")
        raise DataError(advice or str(error)) from error
    cells: dict[str, Sequence[Any]] = {}
    for name in (name for name in _COLUMNS if name in raw.columns):
        if name in _TEXTS:
            cells[name] = raw.optional_texts(name)
        else:
            expected = "expected a number that is not negative, or nothing where it is not known"
            numbers = raw.numbers(name, low=0.0, high=float("inf"), expected=expected)
            kind = int if name in _WHOLE else float
            cells[name] = [None if cell != cell else kind(cell) for cell in numbers.tolist()]
    queries = [
        _query(dict(zip(cells, row, strict=True))) for row in zip(*cells.values(), strict=True)
    ]
    if "query_id" not in raw.columns:
        queries = _named(queries)
    _check(raw, queries)
    return queries


def _with_queries(raw: RawTable) -> RawTable:
    """The columns, if queries are among them. Raises DataError."""
    for name in ("query_id", "query"):
        may_be_left_out = name == "query_id" and raw.looks_like(ID) is None
        if name not in raw.columns and not may_be_left_out:
            raise DataError(
                f"{raw.path}: there is no column {name!r}; found {raw.listing()}. A table of "
                "queries has query_id and query: equirouter data import makes it out of a log"
            )
    return raw


def _named(queries: Sequence[AskedQuery]) -> list[AskedQuery]:
    """The queries with names made of what was asked, so that they stay where rows are added."""
    seen: dict[str, int] = {}
    named = []
    for asked in queries:
        what = json.dumps([asked.messages, asked.parameters]).encode()
        name = hashlib.sha256(what).hexdigest()[:16]
        seen[name] = seen.get(name, 0) + 1
        named.append(replace(asked, query_id=name if seen[name] == 1 else f"{name}#{seen[name]}"))
    return named


def _query(cells: dict[str, Any]) -> AskedQuery:
    known = {name: cell for name, cell in cells.items() if cell is not None}
    text = known.setdefault("query", "")
    known.setdefault("query_id", "")
    if "messages" not in known:
        known["messages"] = json.dumps([{"role": "user", "content": text}], ensure_ascii=False)
    return AskedQuery(**known)


def _check(raw: RawTable, queries: Sequence[AskedQuery]) -> None:
    seen: dict[str, int] = {}
    for row, asked in enumerate(queries):
        if not asked.query_id:
            raise DataError(f"{raw.place(row, 'query_id')}: the cell is empty, a name is expected")
        above = seen.setdefault(asked.query_id, row)
        if above != row:
            raise DataError(
                f"{raw.place(row, 'query_id')}: {asked.query_id!r} stands above already, in "
                f"{raw.place(above).removeprefix(f'{raw.path}: ')}; a table of queries has a row "
                "per query, an outcomes table one per model"
            )
        messages = _parsed(asked.messages)
        are_objects = isinstance(messages, list) and all(isinstance(m, dict) for m in messages)
        if not (messages and are_objects):
            raise DataError(f"{raw.place(row, 'messages')}: a JSON list of messages is expected")
        if asked.parameters is not None and not isinstance(_parsed(asked.parameters), dict):
            raise DataError(f"{raw.place(row, 'parameters')}: a JSON object is expected")


def _parsed(text: str) -> Any:  # noqa: ANN401  # whatever JSON can hold
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

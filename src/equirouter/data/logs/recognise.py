"""Which format a log is in, told from its first records."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from equirouter.data.logs.base import LogReader, Record
from equirouter.data.logs.sources import first_records
from equirouter.errors import DataError
from equirouter.registry import LOG_FORMATS

_LOOKED_AT = 20


def known_formats() -> dict[str, LogReader]:
    """Name -> reader, in the order in which they are tried."""
    return {name: kind() for name, kind in LOG_FORMATS.load_all().items()}


def format_of(path: Path) -> str:
    """The name of the format of a file: that of most of its first records.

    Raises DataError, which says what was found and which formats there are, for none of them.
    """
    records = first_records(path, _LOOKED_AT)
    if not records:
        raise DataError(f"{path}: there is no record in it, requests are expected")
    kind = _recognised(records)
    if kind is None:
        keys = list(dict.fromkeys(key for record in records for key in record.content))
        listed = ", ".join(map(repr, keys[:20])) + (" ..." if len(keys) > 20 else "")
        formats = "".join(f"\n  {name}: {known.title}" for name, known in known_formats().items())
        raise DataError(
            f"{path}: this log is in no format that is known. Its first records have "
            f"{listed or 'no fields'}. Known are{formats}\n"
            'Name the nearest with --format, or rename the fields: {"messages": [...], '
            '"model": ..., "response": ...} is enough'
        )
    return kind


def no_outcomes_advice(path: Path, wrong: str) -> str | None:
    """A message about a file that is a log, or a table of queries; None for any other.

    wrong: what is wrong with it as a table of outcomes, which stays the message where it has
    columns that such a table has as well.
    """
    try:
        records = [] if path.is_dir() else first_records(path, _LOOKED_AT)
    except DataError:
        return None
    columns = {name for record in records for name in record.content}
    if columns >= _OF_QUERIES:
        return (
            f"{path}: this is a table of queries, without any outcome: equirouter collect asks the "
            "models for answers to them"
        )
    if _recognised(records) in _TABLES and any(map(_is_outcome, columns)):
        return None
    return log_advice(
        path,
        wrong,
        "an outcomes table is expected: one row per query and model with its performance and cost",
    )


def log_advice(path: Path, wrong: str, expected: str) -> str | None:
    """A message about a file that is a log where a table is expected; None for any other.

    wrong: what is wrong with it as that table. expected: which table that is.
    """
    try:
        name = None if path.is_dir() else _recognised(first_records(path, _LOOKED_AT))
    except DataError:
        return None
    if name is None or name == "text-files":
        return None
    begin = f"equirouter data import {shlex.quote(str(path))} --out queries.parquet"
    if name == "prompts":
        return f"{wrong}. If it is a log of requests, begin with: {begin}"
    return (
        f"{path}: this looks like a log of requests ({name}: {known_formats()[name].title}), and "
        f"{expected}. Begin with: {begin}"
    )


_OF_QUERIES = {"query_id", "query", "messages", "weight"}
_TABLES = ("gateway", "prompts")
"""The formats whose columns an outcomes table has too."""


def _is_outcome(column: str) -> bool:
    return column in ("performance", "score", "cost_usd", "cost") or column.endswith("|total_cost")


def _recognised(records: Sequence[Record]) -> str | None:
    """The first format, in their order, of those that recognise the most records."""
    if not records:
        return None
    counts = {
        name: sum(reader.recognises(record.content) for record in records)
        for name, reader in known_formats().items()
    }
    best = max(counts, key=lambda name: counts[name])
    return best if 2 * counts[best] >= len(records) else None

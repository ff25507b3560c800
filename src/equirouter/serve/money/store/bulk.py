"""Adding to counters in rows that may not be there yet."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["add_up", "adding", "summed"]


def adding(table: sa.Table, dialect: str) -> sa.Executable:
    """The statement that adds to all columns of a table beside its primary key."""
    insert: Any = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    keys = [column.name for column in table.primary_key.columns]
    sums = {c.name: c + insert.excluded[c.name] for c in table.c if c.name not in keys}
    added: sa.Executable = insert.on_conflict_do_update(index_elements=keys, set_=sums)
    return added


def summed(table: sa.Table, sums: Mapping[tuple[Any, ...], Sequence[int]]) -> list[dict[str, Any]]:
    """Primary key -> the other columns, as the rows that `adding` takes.

    They are in the order of their keys, so that two processes cannot wait for each other.
    """
    names = [column.name for column in table.c]
    return [dict(zip(names, (*key, *sums[key]), strict=True)) for key in sorted(sums)]


def add_up(
    connection: sa.Connection, table: sa.Table, sums: Mapping[tuple[Any, ...], Sequence[int]]
) -> None:
    """Add to the rows with these primary keys, which are made where missing."""
    if sums:
        connection.execute(adding(table, connection.dialect.name), summed(table, sums))

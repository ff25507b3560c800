"""Many rows in one statement.

SQLite's driver lets other threads run Python at every row that it steps to, and may then wait 5 ms
for its turn while it holds the lock of the database, which all reservations need. So rows go in,
and come out, as one JSON text per statement.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

__all__ = ["add_up", "insert_rows", "select_rows"]


def insert_rows(
    connection: sa.Connection, table: sa.Table, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows of values in the order of names; those whose key is there are left as it is."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        statement = _sqlite_insert(table.name, tuple(names), (), ())
        connection.exec_driver_sql(statement, (_json(rows),))
        return
    insert = postgresql.insert(table).on_conflict_do_nothing()
    connection.execute(insert, [dict(zip(names, row, strict=True)) for row in rows])


def add_up(
    connection: sa.Connection, table: sa.Table, sums: Mapping[tuple[Any, ...], Sequence[int]]
) -> None:
    """Add to the other columns of the rows with these primary keys, which are made where missing.

    Rows are taken in the order of their keys, so that two processes cannot wait for each other.
    """
    if not sums:
        return
    keys = tuple(column.name for column in table.primary_key.columns)
    added = tuple(column.name for column in table.c if column.name not in keys)
    rows = [[*key, *sums[key]] for key in sorted(sums)]
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            _sqlite_insert(table.name, (*keys, *added), keys, added), (_json(rows),)
        )
        return
    insert = postgresql.insert(table)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=keys,
            set_={name: table.c[name] + insert.excluded[name] for name in added},
        ),
        [dict(zip((*keys, *added), row, strict=True)) for row in rows],
    )


def select_rows(connection: sa.Connection, select: sa.Select[Any]) -> list[list[Any]]:
    """The rows of a SELECT of numbers and texts, each column with a name of its own."""
    if connection.dialect.name != "sqlite":
        return [list(row) for row in connection.execute(select)]
    rows = select.subquery()
    whole = sa.select(sa.func.json_group_array(sa.func.json_array(*rows.c)))
    found: list[list[Any]] = orjson.loads(connection.execute(whole).scalar_one())
    return found


def _json(rows: Sequence[Sequence[Any]]) -> str:
    return orjson.dumps(rows).decode()


@cache
def _sqlite_insert(
    table: str, names: tuple[str, ...], keys: tuple[str, ...], added: tuple[str, ...]
) -> str:
    values = ", ".join(f"json_extract(value, '$[{i}]')" for i in range(len(names)))
    then = "DO NOTHING"
    if keys:
        sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in added)
        then = f"({', '.join(keys)}) DO UPDATE SET {sums}"
    # WHERE true: without it SQLite takes ON for a condition of a join.
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM json_each(?) "  # noqa: S608
        f"WHERE true ON CONFLICT {then}"
    )

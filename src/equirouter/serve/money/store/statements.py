"""The statements of reservations and batches, made once: see books.py; adding to counters."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from equirouter.serve.money.store.schema import (
    OPEN,
    accounts,
    counts,
    inserting,
    keys,
    log,
    reservations,
    sums,
    texts,
    windows,
    workers,
)


def statements(dialect: str) -> dict[str, sa.Executable]:
    """Name -> statement. Parameters that end in _ say which row, the others what is written."""
    return _of_reservations(dialect) | _of_batches(dialect)


def _of_reservations(dialect: str) -> dict[str, sa.Executable]:
    insert = inserting(dialect)
    window = insert(windows)
    among = _among(keys.c.id, sa.bindparam("ids", type_=_list_of(sa.Text(), dialect)), dialect)
    return {
        "lock": sa.select(keys.c.id).where(among).order_by(keys.c.id).with_for_update(),
        "read": _read().where(among),
        "open_account": insert(accounts).values(
            key_id=sa.bindparam("key_id_"),
            period=sa.bindparam("period_"),
            day=sa.bindparam("day_"),
            spent_nusd=sa.literal_column("0"),
            reserved_nusd=sa.bindparam("added"),
        ),
        "add": _add(),
        "window": window.on_conflict_do_update(
            index_elements=[windows.c.key_id],
            set_={c.name: window.excluded[c.name] for c in windows.c if c.name != "key_id"},
        ),
        "reserve": insert(reservations),
    }


def _of_batches(dialect: str) -> dict[str, sa.Executable]:
    on_sqlite = dialect == "sqlite"
    insert = inserting(dialect)
    c = reservations.c
    numbers = sa.bindparam("numbers", type_=_list_of(sa.BigInteger(), dialect))
    ended = sa.and_(c.worker == sa.bindparam("worker_"), _among(c.n, numbers, dialect))
    taken = sa.select(c.n, c.key_id, c.period, c.day, c.amount_nusd, c.state, c.request_id)
    number = sa.bindparam("number", type_=sa.BigInteger())
    mine = workers.c.id == sa.bindparam("worker_")
    entries = insert(log).values({x.name: sa.bindparam(x.name) for x in log.c if x.name != "id"})
    return {
        "beat": sa.update(workers)
        .where(mine, workers.c.batch < number)
        .values(beats=workers.c.beats + sa.literal_column("1"), batch=number, gone_at=sa.null()),
        "worker": sa.select(workers.c.id).where(mine),
        "enter": insert(workers),
        "taken": taken.where(ended) if on_sqlite else taken.where(ended).with_for_update(),
        "end": sa.delete(reservations).where(ended),
        "part": sa.update(reservations)
        .where(c.worker == sa.bindparam("worker_"), c.n == sa.bindparam("n_"))
        .values(
            amount_nusd=c.amount_nusd - sa.bindparam("freed", type_=sa.BigInteger()),
            state=sa.literal_column(str(OPEN)),
        ),
        "charged": sa.select(log.c.at_us, log.c.key_id, log.c.cost_nusd).where(
            log.c.request_id == sa.bindparam("request_id_"), log.c.note.is_not(None)
        ),
        "forget": sa.delete(log).where(log.c.request_id == sa.bindparam("request_id_")),
        "log": entries.on_conflict_do_nothing(),
        "text": insert(texts).on_conflict_do_nothing(),
        "sum": adding(sums, dialect),
        "count": adding(counts, dialect),
        "account": adding(accounts, dialect),
        "unused": _give_back(windows.c.requests, windows.c.tokens),
        "last_unused": _give_back(windows.c.last_requests, windows.c.last_tokens),
    }


def _list_of(type_: Any, dialect: str) -> Any:  # noqa: ANN401  # types of SQLAlchemy
    return sa.Text() if dialect == "sqlite" else postgresql.ARRAY(type_)


def _among(
    column: sa.Column[Any], items: sa.BindParameter[Any], dialect: str
) -> sa.ColumnElement[bool]:
    """Whether a column is one of a list: of JSON for SQLite, an array for PostgreSQL."""
    if dialect == "sqlite":
        return column.in_(sa.select(sa.func.json_each(items).table_valued("value").c.value))
    return column == sa.any_(items)


def _give_back(requests: sa.Column[int], tokens: sa.Column[int]) -> sa.Update:
    """Give back the unused part of a key's rate, where the window is still of that minute."""

    def left(column: sa.Column[int], name: str) -> sa.ColumnElement[int]:
        unused = sa.bindparam(f"unused_{name}", type_=sa.BigInteger())
        return sa.case((column > unused, column - unused), else_=sa.literal_column("0"))

    return (
        sa.update(windows)
        .where(
            windows.c.key_id == sa.bindparam("key_id_"),
            windows.c.minute == sa.bindparam("minute_"),
        )
        .values({requests: left(requests, "requests"), tokens: left(tokens, "tokens")})
    )


def _read() -> sa.Select[Any]:
    """All that is known of keys: limits, the account of the latest period, the window.

    last_day: of periods that begin later a clock that was wrong has opened them.
    """
    last_day = sa.bindparam("last_day", type_=sa.BigInteger())
    newest = (
        sa.select(sa.func.max(accounts.c.day))
        .where(
            accounts.c.key_id == keys.c.id,
            accounts.c.period == keys.c.period,
            accounts.c.day <= last_day,
        )
        .correlate(keys)
        .scalar_subquery()
    )
    latest = sa.and_(
        accounts.c.key_id == keys.c.id,
        accounts.c.period == keys.c.period,
        accounts.c.day == newest,
    )
    return sa.select(
        keys.c.id,
        keys.c.revoked_at,
        keys.c.budget_nusd,
        keys.c.period,
        keys.c.requests_per_minute,
        keys.c.tokens_per_minute,
        accounts.c.day,
        accounts.c.spent_nusd,
        accounts.c.reserved_nusd,
        *(column for column in windows.c if column.name != "key_id"),
    ).select_from(
        keys.outerjoin(accounts, latest).outerjoin(windows, windows.c.key_id == keys.c.id)
    )


def _add() -> sa.Update:
    """The money is taken only if it is there: the rule stands in the statement as well."""
    after = accounts.c.spent_nusd + accounts.c.reserved_nusd + sa.bindparam("added")
    return (
        sa.update(accounts)
        .where(
            accounts.c.key_id == sa.bindparam("key_id_"),
            accounts.c.period == sa.bindparam("period_"),
            accounts.c.day == sa.bindparam("day_"),
            after <= sa.bindparam("most", type_=sa.BigInteger()),
        )
        .values(reserved_nusd=accounts.c.reserved_nusd + sa.bindparam("added"))
    )


def adding(table: sa.Table, dialect: str) -> sa.Executable:
    """The statement that adds to all columns of a table beside its primary key."""
    insert = inserting(dialect)(table)
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

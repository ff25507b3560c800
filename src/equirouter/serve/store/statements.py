"""The statements of a reservation, made once: see books.py."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from equirouter.serve.store.tables import OPEN, accounts, keys, reservations, windows

__all__ = ["statements"]


def statements(dialect: str) -> dict[str, sa.Executable]:
    """Name -> statement. Parameters that end in _ say which row, the others what is written."""
    on_sqlite = dialect == "sqlite"
    insert: Any = sqlite.insert if on_sqlite else postgresql.insert
    ids: Any = sa.bindparam("ids", type_=sa.Text() if on_sqlite else postgresql.ARRAY(sa.Text()))
    one = sa.and_(
        reservations.c.worker == sa.bindparam("worker_"),
        reservations.c.n == sa.bindparam("n_"),
        reservations.c.state == sa.literal_column(str(OPEN)),
    )
    is_open = sa.select(reservations.c.amount_nusd).where(one)
    window = insert(windows)
    among = (
        keys.c.id.in_(sa.select(sa.func.json_each(ids).table_valued("value").c.value))
        if on_sqlite
        else keys.c.id == sa.any_(ids)
    )
    return {
        "lock": sa.select(keys.c.id).where(among).order_by(keys.c.id).with_for_update(),
        "read": _read().where(among),
        "open": is_open if on_sqlite else is_open.with_for_update(),
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
        "extend": sa.update(reservations)
        .where(one)
        .values(amount_nusd=reservations.c.amount_nusd + sa.bindparam("added")),
        "reserve": insert(reservations),
    }


def _read() -> sa.Select[Any]:
    """All that is known of keys: limits, the account of the latest period, the window."""
    newest = (
        sa.select(sa.func.max(accounts.c.day))
        .where(accounts.c.key_id == keys.c.id, accounts.c.period == keys.c.period)
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

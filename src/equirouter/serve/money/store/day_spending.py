"""The money that all workers together may spend in a day on learning: taken in pieces, durably."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from equirouter.serve.money.store.schema import day_spending


def take(
    connection: sa.Connection, purpose: str, day: int, limit_nusd: int, wanted_nusd: int
) -> int:
    """Take money of a day, as much as is wanted or is left; returns how much.

    It counts as spent until it is given back, so that a process that dies spends what it had taken.
    """
    c = day_spending.c
    insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = {"purpose": purpose, "day": day, "spent_nusd": 0}
    connection.execute(insert(day_spending).values(row).on_conflict_do_nothing())
    mine = (c.purpose == purpose) & (c.day == day)
    spent: int = connection.execute(
        sa.select(c.spent_nusd).where(mine).with_for_update()
    ).scalar_one()
    taken = max(0, min(wanted_nusd, limit_nusd - spent))
    if taken:
        _add(connection, mine, taken)
    return taken


def give_back(connection: sa.Connection, purpose: str, day: int, amount_nusd: int) -> None:
    """Money that was taken is left over."""
    c = day_spending.c
    _add(connection, (c.purpose == purpose) & (c.day == day), -amount_nusd)


def _add(connection: sa.Connection, mine: Any, amount_nusd: int) -> None:  # noqa: ANN401
    spent = day_spending.c.spent_nusd
    connection.execute(sa.update(day_spending).where(mine).values(spent_nusd=spent + amount_nusd))

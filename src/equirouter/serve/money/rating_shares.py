"""How many ratings of each key count where outcomes are learned from what users said."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import sqlalchemy as sa

from equirouter.serve.money.store.schema import feedback, keys, log


@dataclass(frozen=True, slots=True)
class Capped:
    """A key that rated more than counts. first: where its ratings that count begin in the log."""

    key_id: str | None
    name: str
    given: int
    counted: int
    first: int


def most_that_counts(others: Iterable[int], share: float) -> int:
    """How many ratings of a key count beside those of each other key; others: not empty.

    So many that they are `share` of all with those of the others together, or as many as the
    median of the others gave, whichever is more: a share of 0.25 is a third of what they gave.
    """
    given = list(others)
    return max(int(sum(given) * share / (1 - share)), int(median(given)), 1)


def capped_keys(
    connection: sa.Connection, share: float, *rated: sa.ColumnElement[bool]
) -> list[Capped]:
    """The keys of which not all ratings count, their latest do: see most_that_counts.

    rated: conditions on the requests. A gateway without keys, or with ratings of one key alone,
    has none; neither has a share of 1.
    """
    c = log.c
    joined = log.join(feedback, feedback.c.request_id == c.request_id)
    counts = sa.select(c.key_id, sa.func.count()).select_from(joined).where(*rated)
    by_key = connection.execute(counts.group_by(c.key_id))
    given: dict[str | None, int] = {row[0]: row[1] for row in by_key}
    if share >= 1 or len(given) < 2:
        return []
    names = {row.id: row.name for row in connection.execute(sa.select(keys.c.id, keys.c.name))}
    found = []
    for key_id, n in given.items():
        most = most_that_counts((m for other, m in given.items() if other != key_id), share)
        if n <= most:
            continue
        latest = (
            sa.select(c.id).select_from(joined).where(c.key_id.is_not_distinct_from(key_id), *rated)
        )
        first = connection.execute(
            latest.order_by(c.id.desc()).offset(most - 1).limit(1)
        ).scalar_one()
        name = "no key" if key_id is None else f"key {names.get(key_id, key_id)!r}"
        found.append(Capped(key_id, name, n, most, first))
    return found


def counting(capped: Iterable[Capped]) -> sa.ColumnElement[bool]:
    """A condition on requests: their ratings count."""
    c = log.c
    return sa.and_(
        sa.true(),
        *(c.key_id.is_distinct_from(key.key_id) | (c.id >= key.first) for key in capped),
    )

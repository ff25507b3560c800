"""Versions that are tried beside the current one: which, until when, and what each brought.

What both brought is read from the log, by whoever asks: so all workers and replicas see the same,
and a restart loses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson
import sqlalchemy as sa

from equirouter.serve.money.store.schema import canaries, feedback, inserting, log

Ended: TypeAlias = Literal["promoted", "rolled back", "withdrawn"]
"""withdrawn: as another version became current, or was named in gateway.toml."""

_USUAL_FROM, _USUAL_AT_LEAST = 1000, 100
_ROWS_AT_ONCE = 1000
_LATE_ROWS, _LATE_US = 1000, 60_000_000
"""Read again: rows of other workers, which may become visible in another order."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Of the current version's latest requests: mean cost, share that failed, mean score.

    score: None where nobody gave feedback.
    """

    cost_nusd: float
    errors: float
    score: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A version that is tried, or was. pipeline, over: the ids of both; at_us: when it began."""

    id: int
    pipeline: str
    over: str
    version: str
    over_version: str
    share: float
    salt: bytes
    usual: Usual
    at_us: int
    ended_at_us: int | None
    verdict: Ended | None
    why: str | None


def find_trial(connection: sa.Connection, pipeline: str, over: str) -> Trial | None:
    """The trial of a pipeline against another one.

    One that was rolled back before is rolled back against every other.
    """
    c = canaries.c
    is_it = sa.and_(c.pipeline == pipeline, sa.or_(c.over == over, c.verdict == "rolled back"))
    order = sa.case((c.verdict == "rolled back", 0), else_=1)
    return _trial(connection, sa.select(canaries).where(is_it).order_by(order))


def latest_trial(connection: sa.Connection, version: str) -> Trial | None:
    """The trial of a version, or of any where it is "latest", that began last."""
    is_it = sa.true() if version == "latest" else canaries.c.version == version
    return _trial(connection, sa.select(canaries).where(is_it).order_by(canaries.c.id.desc()))


def begin_trial(connection: sa.Connection, values: Mapping[str, Any], usual: Usual) -> bool:
    """Enter a trial unless it is there; whether this call did. All others that run end."""
    insert = inserting(connection.dialect.name)
    row = {**values, "usual": orjson.dumps(usual).decode()}
    made = connection.execute(insert(canaries).values(row).on_conflict_do_nothing())
    c = canaries.c
    is_it = sa.and_(c.pipeline == values["pipeline"], c.over == values["over"])
    open_ones = sa.select(c.id).where(c.verdict.is_(None), ~is_it)
    for other in connection.execute(open_ones).scalars().all():
        why = f"{values['version']} is tried beside {values['over_version']}"
        end_trial(connection, other, "withdrawn", why, values["at_us"])
    return bool(made.rowcount)


def end_trial(connection: sa.Connection, trial: int, verdict: Ended, why: str, at_us: int) -> bool:
    """End a trial that runs; whether this call did."""
    ended = connection.execute(
        sa.update(canaries)
        .where(canaries.c.id == trial, canaries.c.verdict.is_(None))
        .values(verdict=verdict, why=why, ended_at_us=at_us)
    )
    return bool(ended.rowcount)


def usual_of(connection: sa.Connection, pipeline: str) -> Usual | int:
    """The usual figures of a pipeline; the number of its requests while these are too few."""
    rows = connection.execute(
        sa.select(log.c.status, log.c.cost_nusd, log.c.decided_by, feedback.c.score)
        .select_from(log.outerjoin(feedback, feedback.c.request_id == log.c.request_id))
        .where(log.c.pipeline == pipeline, log.c.endpoint != "route")
        .order_by(log.c.id.desc())
        .limit(_USUAL_FROM)
    ).fetchall()
    cost = sum(row.cost_nusd or 0 for row in rows)
    if len(rows) < _USUAL_AT_LEAST or not cost:
        return len(rows)
    errors = sum(row.status >= 500 or row.decided_by == "router_failure" for row in rows)
    scores = [row.score for row in rows if row.score is not None]
    score = sum(scores) / len(scores) if scores else None
    return Usual(cost / len(rows), errors / len(rows), score)


def _trial(connection: sa.Connection, wanted: sa.Select[Any]) -> Trial | None:
    row = connection.execute(wanted.limit(1)).mappings().first()
    if row is None:
        return None
    values = dict(row)
    usual = Usual(**orjson.loads(values.pop("usual")))
    return Trial(**{**values, "salt": bytes.fromhex(values["salt"])}, usual=usual)


@dataclass(slots=True)
class Outcome:
    """The first known outcomes of units. is_new: with the version that is tried."""

    is_new: list[bool] = field(default_factory=list)
    cost_nusd: list[float] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    rated_new: list[bool] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


class Reader:
    """Reads what was not read before: each unit counts once, and its first feedback once.

    So units are independent of each other, however many requests a conversation has.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._id, self._given_us = 0, 0
        self._units: set[int] = set()
        self._rated: set[int] = set()

    def read(self, connection: sa.Connection) -> Outcome:
        """The outcomes of units that are new."""
        outcome = Outcome()
        while self._requests(connection, outcome):
            pass
        self._feedback(connection, outcome)
        return outcome

    def _requests(self, connection: sa.Connection, outcome: Outcome) -> bool:
        """Read some rows; whether there may be more."""
        c = log.c
        before = self._id
        rows = connection.execute(
            sa.select(c.id, c.pipeline, c.status, c.cost_nusd, c.decided_by, c.plan)
            .where(c.id > max(before - _LATE_ROWS, 0), self._ours(), c.endpoint != "route")
            .order_by(c.id)
            .limit(_ROWS_AT_ONCE)
        ).fetchall()
        for row in rows:
            self._id = max(self._id, row.id)
            plan = orjson.loads(row.plan)
            unit = plan.get("unit")
            if unit is None or unit in self._units:
                continue
            self._units.add(unit)
            outcome.is_new.append(row.pipeline == self._trial.pipeline)
            outcome.cost_nusd.append(row.cost_nusd or 0.0)
            is_nobody = not plan["candidates"]
            outcome.failed.append(
                row.status >= 500 or row.decided_by == "router_failure" or is_nobody
            )
        return len(rows) == _ROWS_AT_ONCE and self._id > before

    def _feedback(self, connection: sa.Connection, outcome: Outcome) -> None:
        c = feedback.c
        rows = connection.execute(
            sa.select(c.given_at_us, c.score, log.c.pipeline, log.c.plan)
            .select_from(feedback.join(log, c.request_id == log.c.request_id))
            .where(
                c.given_at_us > self._given_us - _LATE_US,
                c.at_us >= self._trial.at_us,
                self._ours(),
            )
            .order_by(c.given_at_us)
        )
        for row in rows:
            self._given_us = max(self._given_us, row.given_at_us)
            unit = orjson.loads(row.plan).get("unit")
            if unit is not None and unit not in self._rated:
                self._rated.add(unit)
                outcome.rated_new.append(row.pipeline == self._trial.pipeline)
                outcome.scores.append(row.score)

    def _ours(self) -> sa.ColumnElement[bool]:
        both = (self._trial.pipeline, self._trial.over)
        return sa.and_(log.c.at_us >= self._trial.at_us, log.c.pipeline.in_(both))

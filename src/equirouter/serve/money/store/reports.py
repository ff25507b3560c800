"""Reports over the store, for the dashboard: sums, times and single decisions of a period.

Times are Unix seconds, a period is since <= started_at < until. Money is in nano-USD.

Sums come from tables that the writer keeps, so they cost the same for a thousand requests as for a
billion; a period of up to three hours is read in whole minutes, a longer one in half hours. Only
latencies are read from the log itself, of up to 10,000 requests that lie evenly in the period.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.log_columns import clean, record_of
from equirouter.serve.money.store.schema import STEPS, counts, feedback, log, sums, texts
from equirouter.serve.records import RequestRecord

_FINE, _COARSE = STEPS
_FINE_UP_TO = 3 * 3600
_SAMPLE = 10_000

Phase: TypeAlias = Literal["decision", "first_byte", "upstream"]
"""decision: the plan, of requests that were routed; first_byte: until the answer's first byte;
upstream: total less decision."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a period.

    errors: answered with a status of 400 or more. routed: by policy, session or cascade. cost_nusd:
    of all. strongest_nusd: what the strongest model would have cost, over the requests where that
    and the cost are known; compared_nusd: what those did cost. estimated: their tokens were counted
    here. fallbacks: more than one model was called.
    """

    requests: int
    errors: int
    routed: int
    cost_nusd: int
    strongest_nusd: int
    compared_nusd: int
    estimated: int
    fallbacks: int


@dataclass(frozen=True, slots=True)
class TimeSlice:
    """Totals of one step of time. calls: answered requests per model; start: Unix seconds."""

    start: float
    totals: Totals
    calls: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; None without requests. count: how many they are over."""

    count: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Cascades:
    """ended: how many in which way, as Cascaded says it. totals: of them alone."""

    ended: Mapping[str, int]
    totals: Totals


@dataclass(frozen=True, slots=True)
class ModelFeedback:
    """Feedback on a model's answers. mean: of the scores, in [0, 1]."""

    model: str
    count: int
    mean: float


@dataclass(frozen=True, slots=True)
class Logged:
    """A request as it is in the log. number: rises with the time of writing."""

    number: int
    record: RequestRecord
    score: float | None = None
    comment: str | None = None


class StoreReports:
    """Reports over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def totals(self, since: float, until: float) -> Totals:
        """Sums of a period."""
        return await self._database.read(totals_in, since, until)

    async def slices(self, since: float, until: float, seconds: float) -> Sequence[TimeSlice]:
        """The period in steps, oldest first, those without requests too."""
        by_number = await self._database.read(slices_in, since, until, seconds)
        made = []
        for i in range(math.ceil((until - since) / seconds)):
            rows = by_number.get(i, [])
            calls: dict[str, int] = defaultdict(int)
            for row in rows:
                if row["model"]:
                    calls[row["model"]] += int(row["requests"])
            made.append(TimeSlice(since + i * seconds, _totals(rows), dict(calls)))
        return made

    async def latencies(self, since: float, until: float) -> Mapping[Phase, Percentiles]:
        """Of requests that were answered; beyond 10,000 they are sampled."""
        return await self._database.read(_latencies, self._database.dialect, since, until)

    async def calls(self, since: float, until: float) -> Mapping[str, Mapping[str, int]]:
        """Upstream -> how many of its calls ended in which way."""
        made: dict[str, Counter[str]] = defaultdict(Counter)
        for name, n in (await self._database.read(_counts, "call", since, until)).items():
            upstream, _, outcome = orjson.loads(name)
            made[upstream][outcome] += n
        return made

    async def cascades(self, since: float, until: float) -> Cascades:
        """Of requests of which two models were asked at once."""
        return await self._database.read(_cascades, since, until)

    async def statuses(self, since: float, until: float) -> Mapping[int, int]:
        """Requests per HTTP status."""
        counted = await self._database.read(_counts, "status", since, until)
        return {int(name): n for name, n in counted.items()}

    async def feedback(self, since: float, until: float) -> Sequence[ModelFeedback]:
        """Of requests that started in the period."""
        return await self._database.read(_feedback, since, until)

    async def recent(
        self, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[Logged]:
        """The newest requests with a number below `before` and above `after`, newest first."""
        return await self._database.read(_recent, limit, before, after)

    async def one(self, request_id: str) -> Logged | None:
        """The request of that id."""
        return await self._database.read(_by_id, clean(request_id))


def _period(table: sa.Table, since: float, until: float) -> sa.ColumnElement[bool]:
    step = _FINE if until - since <= _FINE_UP_TO else _COARSE
    first = math.floor(since / step) * step
    return sa.and_(table.c.step == step, table.c.start >= first, table.c.start < until)


def slices_in(
    connection: sa.Connection, since: float, until: float, seconds: float
) -> dict[int, list[sa.RowMapping]]:
    """Number of the step -> its rows, by model and by who decided."""
    c = sums.c
    start = math.floor(since)
    whole = max(1, round(seconds))
    number = ((c.start - start) // whole).label("number")
    added = [sa.func.sum(c[name]).label(name) for name in _SUMMED]
    summed = connection.execute(
        sa.select(number, c.model, c.decided_by, *added)
        .where(_period(sums, since, until))
        .group_by("number", c.model, c.decided_by)
    ).mappings()
    rows: dict[int, list[sa.RowMapping]] = defaultdict(list)
    for row in summed:
        rows[max(0, int(row["number"]))].append(row)
    return rows


_SUMMED = (
    "requests",
    "errors",
    "fallbacks",
    "estimated",
    "cost_nusd",
    "compared_cost_nusd",
    "compared_strongest_nusd",
)


def totals_in(connection: sa.Connection, since: float, until: float) -> Totals:
    """Sums of a period."""
    slices = slices_in(connection, since, until, until - since)
    return _totals([row for rows in slices.values() for row in rows])


def _totals(rows: Sequence[sa.RowMapping]) -> Totals:
    def total(name: str) -> int:
        return sum(int(row[name]) for row in rows)

    return Totals(
        requests=total("requests"),
        errors=total("errors"),
        routed=sum(
            int(row["requests"])
            for row in rows
            if row["decided_by"] in ("policy", "session", "cascade")
        ),
        cost_nusd=total("cost_nusd"),
        strongest_nusd=total("compared_strongest_nusd"),
        compared_nusd=total("compared_cost_nusd"),
        estimated=total("estimated"),
        fallbacks=total("fallbacks"),
    )


def _cascades(connection: sa.Connection, since: float, until: float) -> Cascades:
    slices = slices_in(connection, since, until, until - since)
    rows = [row for rows in slices.values() for row in rows if row["decided_by"] == "cascade"]
    ended = _counts(connection, "cascade", since, until)
    return Cascades(ended, _totals(rows))


def _counts(connection: sa.Connection, kind: str, since: float, until: float) -> dict[str, int]:
    summed = connection.execute(
        sa.select(counts.c.name, sa.func.sum(counts.c.n))
        .where(_period(counts, since, until), counts.c.kind == kind)
        .group_by(counts.c.name)
    )
    return {name: int(n) for name, n in summed}


def _latencies(
    connection: sa.Connection, dialect: str, since: float, until: float
) -> dict[Phase, Percentiles]:
    c = log.c
    there = sa.and_(c.at_us >= round(since * 1e6), c.at_us < round(until * 1e6))
    ends = [
        number
        for order in (c.at_us, c.at_us.desc())
        for number in connection.execute(
            sa.select(c.id).where(there).order_by(order).limit(1)
        ).scalars()
    ]
    phases: dict[Phase, list[float]] = {"decision": [], "first_byte": [], "upstream": []}
    if ends:
        low, high = min(ends), max(ends)
        every = max(1, (high - low + 1) // _SAMPLE)
        ids = list(range(low, high + 1, every))
        rows = connection.execute(
            sa.select(c.decision_us, c.first_byte_us, c.total_us, c.decided_by).where(
                among(c.id, ids, dialect), there, c.served_model.is_not(None)
            )
        )
        for decision, first_byte, total, decided_by in rows:
            phases["upstream"].append((total - (decision or 0)) / 1000.0)
            if decision is not None and decided_by != "named":  # there was nothing to decide
                phases["decision"].append(decision / 1000.0)
            if first_byte is not None:
                phases["first_byte"].append(first_byte / 1000.0)
    return {phase: _percentiles(values) for phase, values in phases.items()}


def among(column: sa.Column[Any], ids: list[int], dialect: str) -> sa.ColumnElement[bool]:
    """Whether a column is one of many numbers."""
    if dialect == "sqlite":
        listed = sa.func.json_each(orjson.dumps(ids).decode()).table_valued("value")
        return column.in_(sa.select(listed.c.value))
    return column == sa.any_(sa.literal(ids, postgresql.ARRAY(sa.BigInteger())))


def _percentiles(values: list[float]) -> Percentiles:
    if not values:
        return Percentiles(0)
    values.sort()
    n = len(values)
    return Percentiles(n, *(values[min(int(share * n), n - 1)] for share in (0.5, 0.95, 0.99)))


def _feedback(connection: sa.Connection, since: float, until: float) -> list[ModelFeedback]:
    c = feedback.c
    rows = connection.execute(
        sa.select(c.model, sa.func.count(), sa.func.avg(c.score))
        .where(c.at_us >= round(since * 1e6), c.at_us < round(until * 1e6))
        .group_by(c.model)
        .order_by(c.model)
    )
    return [ModelFeedback(model or "", n, float(mean)) for model, n, mean in rows]


def _joined() -> sa.Select[Any]:
    return sa.select(
        log, texts.c.prompt, texts.c.answer, feedback.c.score, feedback.c.comment
    ).select_from(
        log.outerjoin(texts, texts.c.request_id == log.c.request_id).outerjoin(
            feedback, feedback.c.request_id == log.c.request_id
        )
    )


def _recent(
    connection: sa.Connection, limit: int, before: int | None, after: int | None
) -> list[Logged]:
    wanted = _joined().order_by(log.c.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(log.c.id < before)
    if after is not None:
        wanted = wanted.where(log.c.id > after)
    return [logged_of(dict(row)) for row in connection.execute(wanted).mappings()]


def _by_id(connection: sa.Connection, request_id: str | None) -> Logged | None:
    row = (
        connection.execute(_joined().where(log.c.request_id == request_id)).mappings().one_or_none()
    )
    return None if row is None else logged_of(dict(row))


def logged_of(row: Mapping[str, Any]) -> Logged:
    """A request as it was logged, from a row of log, texts and feedback."""
    record = replace(record_of(row), prompt=row["prompt"], answer=row["answer"])
    return Logged(row["id"], record, row["score"], row["comment"])

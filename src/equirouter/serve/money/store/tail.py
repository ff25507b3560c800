"""Decisions of a pipeline, read from the log bit by bit: for what watches it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from equirouter.serve.money.store.log_columns import attempts_of
from equirouter.serve.money.store.reports import among
from equirouter.serve.money.store.schema import feedback, log
from equirouter.serve.records import Attempt

_MOST_AT_FIRST, _MOST_AT_ONCE = 20_000, 2_000
_PIECE = 250
_OF_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses by which a provider says that the request is wrong."""


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """A request. model: who answered. ms: until the answer, or of a stream its beginning, came.

    calls: of each call that says something of the model that was called: it, and whether it failed.
    """

    model: str | None
    stream: bool
    prompt_tokens: float
    output_tokens: float | None
    cost_nusd: int | None
    predicted_nusd: int | None
    reported_nusd: int | None
    ms: float | None
    far: bool | None
    script: str | None
    calls: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Rated:
    """Feedback on an answer. predicted: the score that the router gave the model, if it did."""

    model: str
    score: float
    predicted: float | None


class Tail:
    """The requests that one pipeline decided since a time, each read once, in their order.

    `look` finds those that are new, and `rows` reads them piece by piece, as a row has kilobytes.
    Beyond 20,000 at first, and 2,000 at a time later, an even sample is read. since: Unix seconds.
    """

    def __init__(self, pipeline: str, since: float) -> None:
        self._pipeline, self._since_us = pipeline, round(since * 1e6)
        self._last: int | None = None
        self._left = range(0)  # ids of rows that are to be read
        self._given_us = 0

    def look(self, connection: sa.Connection) -> None:
        """Find the requests that came since the last look, once all of that are read."""
        if self._left:
            return
        c = log.c
        most = _MOST_AT_FIRST if self._last is None else _MOST_AT_ONCE
        newest = connection.execute(sa.select(sa.func.max(c.id))).scalar() or 0
        if self._last is None:
            oldest = sa.select(c.id).where(c.at_us >= self._since_us).order_by(c.at_us).limit(1)
            first = connection.execute(oldest).scalar()
            self._last = newest if first is None else first - 1
        ids = range(self._last + 1, newest + 1)
        self._left = ids[:: max(1, math.ceil(len(ids) / most))]
        self._last = newest

    def rows(self, connection: sa.Connection) -> list[dict[str, Any]]:
        """The next rows, for seen_in; none once all are read."""
        c = log.c
        rows: list[dict[str, Any]] = []
        while self._left and not rows:  # others' are between them
            ids = self._left[:_PIECE]
            wanted = (
                sa.select(log)
                .where(
                    among(c.id, list(ids), connection.dialect.name),
                    c.pipeline == self._pipeline,
                    c.endpoint != "route",
                )
                .order_by(c.id)
            )
            rows = [dict(row) for row in connection.execute(wanted).mappings()]
            self._left = self._left[_PIECE:]
        return rows

    def ratings(self, connection: sa.Connection) -> list[Rated]:
        """New feedback."""
        c = feedback.c
        rows = connection.execute(
            sa.select(c.given_at_us, c.score, log.c.served_model, log.c.plan)
            .select_from(feedback.join(log, c.request_id == log.c.request_id))
            .where(
                c.given_at_us > self._given_us,
                c.at_us >= self._since_us,
                log.c.pipeline == self._pipeline,
            )
            .order_by(c.given_at_us)
            .limit(_MOST_AT_FIRST)
        )
        ratings, given_us = [], self._given_us
        for row in rows:  # one after the other: a plan has kilobytes
            given_us = row.given_at_us
            predicted = orjson.loads(row.plan)["scores"].get(row.served_model)
            ratings.append(Rated(row.served_model or "", row.score, predicted))
        self._given_us = given_us  # not before: what a failure cut off is read again
        return ratings


def seen_in(row: Mapping[str, Any]) -> LoggedCall:
    """A request, from a row of the log."""
    plan = orjson.loads(row["plan"])
    model = row["served_model"]
    attempts = attempts_of(row)
    answered = [
        attempt.ms for attempt in attempts if attempt.outcome == "ok" and attempt.model == model
    ]
    return LoggedCall(
        model,
        bool(row["stream"]),
        plan["prompt_tokens"],
        row["output_tokens"],
        row["cost_nusd"],
        row["predicted_nusd"],
        row["reported_nusd"],
        answered[-1] if answered else None,
        plan["far"],
        plan.get("script"),
        tuple((attempt.model, attempt.outcome != "ok") for attempt in attempts if _tells(attempt)),
    )


def _tells(attempt: Attempt) -> bool:
    """Whether a call says something of its model: one that was made, ended, and fitted it."""
    ended = attempt.outcome not in ("refused", "cancelled")
    return ended and attempt.status not in _OF_THE_REQUEST

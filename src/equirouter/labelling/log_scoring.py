"""Answers of shadows in the gateway's log, and those of its clients, scored by graders there."""

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import sqlalchemy as sa

from equirouter.conversation import read_scope
from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError, DataError, UserError
from equirouter.labelling.collection_store import Collection, KeptAnswer, KeptQuery
from equirouter.labelling.graders.base import Grader, make_grader
from equirouter.labelling.grading import Scored
from equirouter.labelling.pool_calls import check_models
from equirouter.labelling.scoring import score
from equirouter.serve.money.day_limit import give_back, take, today
from equirouter.serve.money.store.migrate import migrate
from equirouter.serve.money.store.schema import grades, inserting, log, texts
from equirouter.serve.money.store.store import connected
from equirouter.serve.records import nusd, usd
from equirouter.serve.settings import GatewaySettings

AT_ONCE = 500
"""Answers of one run."""
SETTLED_SECONDS = 30.0
"""Other shadows of a request may still be answering."""
LOOKS_BACK_SECONDS = 86_400.0
LOST_SECONDS = 3600.0
"""A process that scores for longer has died."""
_PIECES = 5
_IN_ONE_TRANSACTION = 100  # answers: the gateway waits for the lock meanwhile
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class LogScored:
    """The account of a run: answers that were looked at, and how many of them have a score.

    unknown: those without, and why: note -> how many. stopped: why some wait for another run, None
    where none do. spent_usd: of this run.
    """

    answers: int = 0
    scored: int = 0
    unknown: Mapping[str, int] | None = None
    stopped: str | None = None
    spent_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer in the log. query: the request that the client made."""

    request_id: str
    at_us: int
    query: str
    model: str
    prompt: str
    answer: str


def log_graders(config: Path, settings: GatewaySettings) -> list[Grader]:
    """The graders of shadow.score. Raises ConfigError for one that cannot score what is logged."""
    if settings.shadow.score and not settings.log.log_texts:
        raise ConfigError(f"{config}: shadow.score needs texts: set log.log_texts = true")
    graders = []
    for spec in settings.shadow.score:
        try:
            grader = make_grader(spec)
            check_models(settings, grader.models or None)
        except UserError as error:
            raise ConfigError(f"{config}: shadow.score, {spec!r}: {error}") from error
        why = _unfit(grader, check_models(settings, None))
        if why is not None:
            raise ConfigError(f"{config}: shadow.score, {spec!r}: {why}")
        graders.append(grader)
    return graders


def _unfit(grader: Grader, pool: Sequence[str]) -> str | None:
    """Why a grader cannot score the answers of shadows; pool: the models that may answer."""
    if grader.needs_reference:
        return (
            "it compares with right answers, which a log does not have; judge, compare, agreement "
            "and command need none"
        )
    if grader.needs_feedback:
        return (
            "it repeats what users said, and no user sees the answer of a shadow; the feedback on "
            "the other answers counts by itself. Name judge, compare, agreement or command, or none"
        )
    if len(pool) < grader.least_models:
        return (
            f"it needs the answers of at least {grader.least_models} models, and the pool has "
            f"{len(pool)} that chat: {', '.join(pool)}. judge, compare and command need fewer"
        )
    return None


def score_log(config: Path, settings: GatewaySettings, *, now: float | None = None) -> LogScored:
    """Score answers that shadows gave, and their clients', by the graders of shadow.score.

    No answer is scored twice, by whatever process. What judges cost counts under
    shadow.limit_usd_per_day. Raises ConfigError for graders that cannot be made.
    """
    graders = log_graders(config, settings)
    if not graders:
        raise ConfigError(f"{config}: shadow.score names no grader, so nothing is scored")
    now = time.time() if now is None else now
    limit = settings.shadow.limit_usd_per_day
    asks = any(grader.asks_models for grader in graders) and limit is not None
    limit_nusd = 0 if limit is None else nusd(limit)

    async def begin() -> tuple[list[_Answer], int]:
        async with connected(settings.store) as database:
            await migrate(database)
            answers: list[_Answer] = []
            again = True
            while again and len(answers) < AT_ONCE:
                found = await database.read(_waiting, now)  # takes long: without the lock
                mine = [
                    answer
                    for part in _parts(found)
                    for answer in await database.write(_claimed, part, now)
                ]
                answers += mine
                again = len(mine) < len(found)  # another process took some: there may be more
            wanted = limit_nusd // _PIECES if answers and asks else 0
            money = (today(now), limit_nusd, wanted)
            return answers, await database.write(take, "shadow", *money) if wanted else 0

    async def end(
        answers: Sequence[_Answer], scored: Scored | None, left_nusd: int, *, again: bool
    ) -> None:
        async with connected(settings.store) as database:
            scores = {} if scored is None else _by_answer(scored.table)
            for part in _parts(answers):
                await database.write(_keep, part, scores, again=again)
            if left_nusd:
                await database.write(give_back, "shadow", today(now), left_nusd)

    answers, taken = asyncio.run(begin())
    if not answers:
        return LogScored()
    done, spent = None, 0
    why: str | None = "the money of the day is used up (shadow.limit_usd_per_day)"
    try:
        if taken or not asks:
            done, spent, why = _scored(answers, config, settings, usd(taken) if asks else None)
    finally:
        cut = done is None or done.stopped is not None or bool(done.given_up)
        # a judge that says nothing is not paid again and again
        again = cut and (done is not None or spent == 0)
        asyncio.run(end(answers, done, taken - spent if asks else 0, again=again))
    scored = 0 if done is None else sum(done.by.values())
    return LogScored(
        len(answers),
        scored,
        {} if done is None else done.unknown,
        why or (None if done is None else done.stopped),
        usd(spent),
    )


def _scored(
    answers: Sequence[_Answer], config: Path, settings: GatewaySettings, limit_usd: float | None
) -> tuple[Scored | None, int, str | None]:
    """The scores, what they cost in nano-USD, and why there are none."""
    with TemporaryDirectory(prefix="equirouter-") as folder:
        _collect(folder, answers, settings)
        try:
            scored: Scored | None = score(
                folder, settings.shadow.score, config=config, limit_usd=limit_usd
            )
            why = None
        except DataError as error:  # no answer has a score
            scored, why = None, str(error)
        with Collection.open(folder) as collection:
            return scored, collection.spent_nusd(), why


def _collect(folder: str, answers: Sequence[_Answer], settings: GatewaySettings) -> None:
    """The answers as a collection, which graders work on."""
    scope, turns = settings.pipeline.scope, settings.pipeline.window_turns
    prompts = {answer.query: answer.prompt for answer in answers}
    with Collection.create(folder) as collection:
        collection.add_queries(
            KeptQuery(
                query,
                place,
                read_scope(orjson.loads(prompt), scope, turns).text,
                f'{{"messages": {prompt}}}',
                *(None, 1.0, None, None),
            )
            for place, (query, prompt) in enumerate(prompts.items())
        )
        for answer in answers:
            made = KeptAnswer(
                answer.query, answer.model, "logged", answer=answer.answer, cost_nusd=0
            )
            collection.keep(made)  # what it cost is in the log


def _is_lost(now: float) -> sa.ColumnElement[bool]:
    """Whether the process that claimed an answer has died."""
    g = grades.c
    has_nothing = g.note.is_(None) & g.score.is_(None)
    return has_nothing & (g.claimed_at_us < round((now - LOST_SECONDS) * _US))


def _waiting(connection: sa.Connection, now: float) -> list[_Answer]:
    """Answers of shadows that nobody has scored, the oldest first, and those of their clients."""
    c, g, t = log.c, grades.c, texts.c
    now_us = round(now * _US)
    is_free = g.request_id.is_(None) | _is_lost(now)
    newest = connection.execute(sa.select(sa.func.max(g.at_us))).scalar() or 0
    at_us = t.request_id == c.request_id
    new = (
        sa.select(c.id, c.plan)
        .join(texts, at_us)
        .outerjoin(grades, g.request_id == c.request_id)
        .where(
            c.decided_by == "shadow",
            c.status < 400,
            c.served_model.is_not(None),
            c.at_us >= newest - round(LOOKS_BACK_SECONDS * _US),
            c.at_us < now_us - round(SETTLED_SECONDS * _US),
            is_free,
            t.answer.is_not(None),
        )
        .order_by(c.at_us)  # as an index has them, so that it ends with the last that is wanted
        .limit(AT_ONCE)
    )
    rows = connection.execute(new).all()
    parents = {orjson.loads(row.plan).get("shadow_of") for row in rows} - {None}
    wanted = (
        sa.select(c.request_id, c.at_us, c.plan, c.decided_by, c.served_model, t.prompt, t.answer)
        .join(texts, at_us)
        .outerjoin(grades, g.request_id == c.request_id)
        .where(
            c.id.in_([row.id for row in rows]) | c.request_id.in_(parents),
            is_free,
            t.answer.is_not(None),
            t.prompt.is_not(None),
        )
        .order_by(c.id)
    )
    return [_answer(row) for row in connection.execute(wanted)]


def _parts(answers: Sequence[_Answer]) -> Iterator[Sequence[_Answer]]:
    """Some at a time; those to one query stay together, as graders compare them."""
    query = attrgetter("query")
    part: list[_Answer] = []
    for _, answers_to_one in groupby(sorted(answers, key=query), query):
        part += answers_to_one
        if len(part) >= _IN_ONE_TRANSACTION:
            yield part
            part = []
    if part:
        yield part


def _claimed(connection: sa.Connection, found: Sequence[_Answer], now: float) -> list[_Answer]:
    """Those that no other process has claimed meanwhile, entered as being scored by this one."""
    return [answer for answer in found if _enter(connection, answer, now)]


def _answer(row: Any) -> _Answer:  # noqa: ANN401  # a row of the log
    is_shadow = row.decided_by == "shadow"
    query = orjson.loads(row.plan)["shadow_of"] if is_shadow else row.request_id
    return _Answer(row.request_id, row.at_us, query, row.served_model, row.prompt, row.answer)


def _enter(connection: sa.Connection, answer: _Answer, now: float) -> bool:
    """Whether this process is the first to score an answer."""
    claimed = {"claimed_at_us": round(now * _US)}
    row = {"request_id": answer.request_id, "at_us": answer.at_us, **claimed}
    insert = inserting(connection.dialect.name)(grades).values(row)
    entered = connection.execute(
        insert.on_conflict_do_update(
            index_elements=["request_id"], set_=claimed, where=_is_lost(now)
        )
    )
    return entered.rowcount == 1


def _keep(
    connection: sa.Connection,
    answers: Sequence[_Answer],
    scores: Mapping[tuple[str, str], tuple[float, str | None]],
    *,
    again: bool,
) -> None:
    """Write the scores. again: answers without one are left for another run."""
    for answer in answers:
        score_, by = scores.get((answer.query, answer.model), (None, None))
        mine = grades.c.request_id == answer.request_id
        if score_ is None and again:
            connection.execute(sa.delete(grades).where(mine))
        else:
            row = {"score": score_, "by": by, "note": "no score" if score_ is None else None}
            connection.execute(sa.update(grades).where(mine).values(row))


def _by_answer(table: Outcomes) -> dict[tuple[str, str], tuple[float, str | None]]:
    """(query, model) -> the score, and who gave it."""
    assert table.scored_by is not None  # noqa: S101  # `score` says it
    by = table.scored_by.to_lists()
    return {
        (query, model): (float(table.performance[row, column]), by[row][column])
        for row, query in enumerate(table.query_ids)
        for column, model in enumerate(table.models)
        if math.isfinite(table.performance[row, column])
    }

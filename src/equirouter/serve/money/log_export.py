"""The log as an outcomes table again: queries, the models that answered, feedback, costs.

A request of a cascade has the answers of several models to one query.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa

from equirouter.arrays import FloatArray
from equirouter.conversation import Scope, read_scope
from equirouter.data.cells import TextCells
from equirouter.data.outcomes import Outcomes
from equirouter.errors import DataError
from equirouter.serve.money.rating_shares import Capped, capped_keys, counting
from equirouter.serve.money.store.log_columns import attempts_of
from equirouter.serve.money.store.schema import feedback, grades, log, texts
from equirouter.serve.money.user_signals import HUNG_UP, UserSignals
from equirouter.serve.records import Attempt, usd

_PAGE = 2000
_UNKNOWN = ("bound", "nothing")
"""Ways of charging a request that say nothing of what its answer cost."""


@dataclass(frozen=True, slots=True)
class Exported:
    """table: the outcomes. The rest counts requests: what is in the table, and what could not be.

    rated: answered ones with feedback or a grade. unrated: without, left out unless asked for.
    without_text: logged while log_texts was off, or with no text in the scope. complete: queries
    with an outcome of every model. explored: queries with a propensity. capped: keys of which
    not all ratings count; their others are taken as not given.
    """

    table: Outcomes
    used: int
    rated: int
    unrated: int
    without_text: int
    complete: int
    explored: int
    capped: tuple[Capped, ...] = ()


@dataclass(slots=True)
class _Mean:
    """The known values of a query and a model, a value per request."""

    scores: dict[str | None, list[float]] = field(default_factory=dict)
    """What users said, by key."""
    grades: list[float] = field(default_factory=list)
    """What graders said."""
    graded_by: str | None = None
    costs_nusd: list[int] = field(default_factory=list)
    tokens: list[tuple[int, int]] = field(default_factory=list)
    answer: str | None = None
    """The latest final answer, where texts were kept."""
    signals: dict[str, list[float]] = field(default_factory=dict)

    def rate(self, row: Mapping[str, Any]) -> None:
        """Add what a user said of a request."""
        self.scores.setdefault(row["key_id"], []).append(row["score"])


@dataclass(slots=True)
class _Chances:
    """How likely the outcomes of a text are not known, model by model, over its requests.

    explored: whether any of them could have gone to another model. otherwise: models that answered
    as another one failed, or as shadows, with a chance that is not known.
    """

    unknown: dict[str, float] = field(default_factory=dict)
    explored: bool = False
    otherwise: set[str] = field(default_factory=set)

    def add(self, chances: Mapping[str, float]) -> None:
        """A request with these chances of a call."""
        for model, chance in chances.items():
            self.unknown[model] = self.unknown.get(model, 1.0) * (1.0 - chance)

    def propensity(self, model: str) -> float | None:
        """With what probability the model's outcome is known; None where that is not known."""
        if not self.explored or model in self.otherwise:
            return None
        return 1.0 - self.unknown.get(model, 1.0)


def export_log(
    connection: sa.Connection,
    *,
    since: float = 0.0,
    until: float = 2.0**40,
    scope: Scope = "last_user",
    window_turns: int = 8,
    unrated: bool = False,
    key_share: float = 1.0,
) -> Exported:
    """The requests of a period, in Unix seconds, as a table: a row per text, a column per model.

    Several requests of one text and one model are averaged, ratings first by key, so that each key
    has one voice. performance: what graders said of the
    answers to a text, else what users said of the answer that was served, which holds for models
    that gave the same; NaN where there is neither; scored_by: which of them. cost_usd: what the
    calls cost, where that is known; answers: where a cascade read them. signals: of checked
    replies; and what users said and did, each kind by itself: user.score, user.thumbs, user.edit,
    and those of UserSignals. propensity: for texts of which a request could be explored, the
    probability that one went to the model. unrated: also texts that nobody scored. key_share: of
    all ratings, those of one key at most, see rating_shares.py; 1: all count.
    scope, window_turns: what of a conversation is the query, as the gateway routes on it.
    Raises DataError, which says what is missing, when there is nothing to export.
    """
    cells: dict[tuple[str, str], _Mean] = {}
    readers: set[str] = set()
    chances: dict[str, _Chances] = {}
    did = UserSignals()
    rated = missing = silent = used = 0  # requests
    wanted = _wanted(since, until)
    capped = capped_keys(connection, key_share, *wanted)
    for row in _answered(connection, wanted, capped):
        text = _text(row, scope, window_turns)
        if text and row["decided_by"] != "shadow":
            did.read(row, text)
        if row["status"] == HUNG_UP:
            continue
        if row["score"] is None and row["grade"] is None:
            silent += row["decided_by"] != "shadow"  # which no user saw
            if not unrated:
                continue
        else:
            rated += 1
        if not text:
            missing += 1
            continue
        used += 1
        _add(cells, text, row)
        plan = orjson.loads(row["plan"] or b"{}")
        _add_chances(chances.setdefault(text, _Chances()), plan, row)
        if plan.get("pair") is not None:
            readers.add(plan["pair"]["extractor"])
    if not cells:
        raise DataError(_nothing(silent, missing, unrated=unrated))
    for place, cell in cells.items():
        cell.signals |= did.values.get(place, {})
    table = _table(cells, chances, readers)
    explored = (
        0 if table.propensity is None else sum(chance.explored for chance in chances.values())
    )
    return Exported(
        table, used, rated, silent, missing, int(table.is_complete.sum()), explored, tuple(capped)
    )


def _wanted(since: float, until: float) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions on the log: answered requests of a period."""
    c = log.c
    return (
        c.at_us >= round(since * 1e6),
        c.at_us < round(until * 1e6),
        c.served_model.is_not(None),
        c.endpoint.in_(("chat.completions", "responses", "messages")),
        (c.status < 400) | ((c.status == HUNG_UP) & c.stream),
    )


def _answered(
    connection: sa.Connection,
    conditions: Sequence[sa.ColumnElement[bool]],
    capped: Iterable[Capped],
) -> Iterator[Any]:
    """Answered requests with their texts and feedback, oldest first."""
    c = log.c
    wanted = (
        sa.select(
            c.id,
            c.served_model,
            c.cost_nusd,
            c.charged_by,
            c.attempts,
            c.plan,
            c.decided_by,
            c.input_tokens,
            c.output_tokens,
            *(c.at_us, c.key_id, c.session, c.stream, c.status),
            texts.c.prompt,
            *(feedback.c.score, feedback.c.source),
            *(grades.c.score.label("grade"), grades.c.by.label("graded_by")),
        )
        .select_from(
            log.outerjoin(texts, texts.c.request_id == c.request_id)
            .outerjoin(feedback, (feedback.c.request_id == c.request_id) & counting(capped))
            .outerjoin(grades, grades.c.request_id == c.request_id)
        )
        .where(*conditions)
    )
    return log_pages(connection, wanted)


def log_pages(connection: sa.Connection, wanted: sa.Select[Any]) -> Iterator[Any]:
    """The rows of a SELECT with the log's id, in its order, read a page at a time."""
    last, page = 0, wanted.order_by(log.c.id).limit(_PAGE)
    while rows := connection.execute(page.where(log.c.id > last)).mappings().all():
        yield from rows
        last = rows[-1]["id"]


def _text(row: Mapping[str, Any], scope: Scope, window_turns: int) -> str:
    if row["prompt"] is None:
        return ""
    return read_scope(orjson.loads(row["prompt"]), scope, window_turns).text


def _add(cells: dict[tuple[str, str], _Mean], text: str, row: Mapping[str, Any]) -> None:
    """Add the calls of a request, of which one was served."""
    attempts = attempts_of(row)
    model, is_known = row["served_model"], row["charged_by"] not in _UNKNOWN
    ok = [attempt for attempt in attempts if attempt.outcome == "ok" and attempt.role != "check"]
    served = served_call(row, attempts)
    cell = cells.setdefault((text, model), _Mean())
    if row["score"] is not None:
        cell.rate(row)
        cell.signals.setdefault(f"user.{row['source']}", []).append(row["score"])
    if row["grade"] is not None:
        cell.grades.append(row["grade"])
        cell.graded_by = row["graded_by"]
    cost_nusd = served_cost_nusd(row, attempts)
    if cost_nusd is not None:
        cell.costs_nusd.append(cost_nusd)
    if served is None or served.role is None:
        _add_tokens(cell, row["input_tokens"], row["output_tokens"])
        return
    _add_reply(cell, served)
    for attempt in ok:
        if attempt is served:
            continue
        cell = cells.setdefault((text, attempt.model), _Mean())
        _add_reply(cell, attempt)
        if attempt.cost_nusd is not None and is_known:
            cell.costs_nusd.append(attempt.cost_nusd)
        if row["score"] is not None and attempt.answer_id and attempt.answer_id == served.answer_id:
            cell.rate(row)


def served_call(row: Mapping[str, Any], attempts: Sequence[Attempt]) -> Attempt | None:
    """The call of a row of the log whose answer was served."""
    model = row["served_model"]
    ok = [attempt for attempt in attempts if attempt.outcome == "ok" and attempt.role != "check"]
    return next((attempt for attempt in reversed(ok) if attempt.model == model), None)


def served_cost_nusd(row: Mapping[str, Any], attempts: Sequence[Attempt]) -> int | None:
    """The cost of the served answer alone: the request without its other calls; None: not known."""
    if row["cost_nusd"] is None or row["charged_by"] in _UNKNOWN:
        return None
    served = served_call(row, attempts)
    return int(row["cost_nusd"]) - sum(
        attempt.cost_nusd or 0 for attempt in attempts if attempt is not served
    )


def _add_reply(cell: _Mean, attempt: Attempt) -> None:
    _add_tokens(cell, attempt.input_tokens, attempt.output_tokens)
    cell.answer = cell.answer if attempt.answer is None else attempt.answer
    for name, value in (attempt.signals or {}).items():
        cell.signals.setdefault(name, []).append(value)


def _add_tokens(cell: _Mean, read: int | None, written: int | None) -> None:
    if read is not None and written is not None:
        cell.tokens.append((read, written))


def _add_chances(chances: _Chances, plan: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Add with what probability each model was called."""
    drawn, model = plan.get("chances"), row["served_model"]
    if row["decided_by"] == "shadow":
        chances.otherwise.add(model)
        return
    if not drawn:
        chances.add({model: 1.0})
        return
    chances.explored = True
    chances.add(drawn)
    if plan["candidates"][0][0] != model:
        chances.otherwise.add(model)


def _table(
    cells: Mapping[tuple[str, str], _Mean],
    chances: Mapping[str, _Chances],
    readers: set[str],
) -> Outcomes:
    """readers: the extractors that read the answers."""
    import numpy as np

    queries = list(dict.fromkeys(text for text, _ in cells))
    models = sorted({model for _, model in cells})
    row_of = {text: i for i, text in enumerate(queries)}
    column_of = {model: i for i, model in enumerate(models)}
    shape = (len(queries), len(models))
    performance, cost, read, written = (np.full(shape, np.nan) for _ in range(4))
    by: list[list[str | None]] = [[None] * len(models) for _ in queries]
    graded = {text for (text, _), cell in cells.items() if cell.grades}
    for (text, model), cell in cells.items():
        at = row_of[text], column_of[model]
        # what different people and judges say of the answers to one query does not compare
        rated = [float(np.mean(scores)) for scores in cell.scores.values()]
        scores = cell.grades if text in graded else rated
        if scores:
            performance[at] = np.mean(scores)
            by[at[0]][at[1]] = cell.graded_by if text in graded else "users"
        if cell.costs_nusd:
            cost[at] = usd(sum(cell.costs_nusd)) / len(cell.costs_nusd)
        if cell.tokens:
            read[at], written[at] = np.mean(cell.tokens, axis=0)
    propensity = [[chances[text].propensity(model) for model in models] for text in queries]
    known = {at: cell.answer for at, cell in cells.items() if cell.answer is not None}
    answers = [[known.get((text, model)) for model in models] for text in queries]
    signals = {name for cell in cells.values() for name in cell.signals}
    return Outcomes(
        query_ids=tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in queries),
        texts=tuple(queries),
        tasks=("all",) * len(queries),
        models=tuple(models),
        performance=performance,
        cost_usd=cost,
        input_tokens=read,
        output_tokens=written,
        propensity=np.array(propensity, dtype=np.float64)
        if any(chance.explored for chance in chances.values())
        else None,
        answers=TextCells.of(answers) if known else None,
        answers_by=next(iter(readers)) if known and len(readers) == 1 else None,
        signals={name: _signal(name, cells, row_of, column_of) for name in sorted(signals)},
        scored_by=TextCells.of(by) if graded else None,
        name="log",
    )


def _signal(
    name: str,
    cells: Mapping[tuple[str, str], _Mean],
    row_of: Mapping[str, int],
    column_of: Mapping[str, int],
) -> FloatArray:
    """Signals of a check on replies, (queries, models), NaN where that is not known."""
    import numpy as np

    values = np.full((len(row_of), len(column_of)), np.nan)
    for (text, model), cell in cells.items():
        if name in cell.signals:
            values[row_of[text], column_of[model]] = np.mean(cell.signals[name])
    return values


def _nothing(silent: int, missing: int, *, unrated: bool) -> str:
    if missing:
        return (
            f"none of the {missing} requests has the text that was asked: they were logged without "
            "texts. Set log_texts = true under [log] in gateway.toml; it holds for what is logged "
            "from then on"
        )
    if silent and not unrated:
        return (
            f"none of the {silent} answered requests has feedback, which is what becomes their "
            "performance: send it to /v1/feedback, or export the costs alone with --unrated"
        )
    return "no request was answered in that time: there is nothing to export"

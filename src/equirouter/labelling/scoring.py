"""Scores for the answers of a collection, and the outcomes table that they make."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from equirouter.answers import make_extractor
from equirouter.checks import ResponseCheck
from equirouter.checks.asking import AskingCheck
from equirouter.checks.making import signal_checks
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.files import read_file
from equirouter.data.tables import write_table
from equirouter.errors import ConfigError, DataError
from equirouter.labelling.asked_signals import AskedSignal, asked_signal
from equirouter.labelling.bias import Interval, length_slope, order_bias
from equirouter.labelling.graders.base import Case, Grade, Grader, Surroundings
from equirouter.labelling.graders.making import make_grader
from equirouter.labelling.pool_models import PoolModels
from equirouter.labelling.purse import limit_in_nusd
from equirouter.labelling.review.choosing import choose
from equirouter.labelling.review.correcting import Corrected, corrected
from equirouter.labelling.review.people import merged
from equirouter.labelling.store import Collection, KeptAnswer, KeptGrade, KeptQuery
from equirouter.labelling.table import EMPTY, outcomes_of
from equirouter.progress import Progress, silent
from equirouter.serve.records import usd
from equirouter.serve.settings_file import read_settings

__all__ = ["Marks", "Scored", "read_references", "score"]

_REFUSED = frozenset({"refusal", "content_filter"})


@dataclass(slots=True)
class Marks:
    """Answers of one model that are not as they should be: how many of which kind."""

    answers: int = 0
    failed: int = 0
    empty: int = 0
    cut: int = 0
    refused: int = 0


@dataclass(slots=True)
class Scored:
    """The table, and an account of it.

    by: who scored -> how many answers. unknown: answers without a score, and why: note -> how many.
    length: a judge -> how its scores rise with the length of answers; order: a judge that compares
    -> how often the answer shown first won, and the share of pairs judged alike in both orders.
    corrected: by the labels of people, where that was asked for. spent_usd: of the folder, ever.
    stopped, given_up: why judges were not asked all. constant: who scored -> the one score that all
    answers got, of which nothing can be learned.
    """

    table: Outcomes
    by: dict[str, int]
    unknown: dict[str, int]
    marks: dict[str, Marks]
    length: dict[str, Interval] = field(default_factory=dict)
    order: dict[str, tuple[Interval, float]] = field(default_factory=dict)
    corrected: Corrected | None = None
    spent_usd: float = 0.0
    stopped: str | None = None
    given_up: dict[str, str] = field(default_factory=dict)
    constant: dict[str, float] = field(default_factory=dict)


def score(
    folder: str | Path,
    graders: Sequence[str | Grader],
    out: str | Path | None = None,
    *,
    references: str | Path | Mapping[str, str] | None = None,
    answers_by: str | None = None,
    judge: str | None = None,
    rubric: str | Path | None = None,
    labels: bool = False,
    checks: Sequence[str] = (),
    config: str | Path | None = None,
    limit_usd: float | None = None,
    concurrency: int = 8,
    progress: Progress = silent,
    spending: Callable[[float], None] = lambda _: None,
) -> Scored:
    """Score the answers in a folder of `collect`, and write them as an outcomes table.

    graders: names with settings, or graders; an answer has the score of the first that knows one,
    and 0 where it is empty. references: a table with query_id (or query) and reference, or a
    mapping of query_id. answers_by: how final answers are read, for the table and the graders that
    compare them. judge, rubric: of graders that ask a model. labels: correct the scores by those of
    people, which count as they are where there are some. checks: of equirouter.checks, with their
    settings; what they say is a column signal.NAME, which plans learn from; what a model said that
    one asked is paid and kept. config: gateway.toml, None for the one that was collected with.
    limit_usd: for all that the folder has cost, of which spending hears.
    Raises DataError, ConfigError, UnknownNameError.

    >>> from equirouter.labelling.store import Collection, KeptAnswer, KeptQuery
    >>> with Collection.create("answers") as made:
    ...     made.add_queries([KeptQuery("a", 0, "2 + 2?", "{}", None, 1.0, None, None)])
    ...     for model, text in (("small", "It is 5."), ("large", "It is 4.")):
    ...         made.keep(KeptAnswer("a", model, "answered", answer=text, cost_nusd=1000))
    >>> score("answers", ["number"], references={"a": "4"}).table.performance.tolist()
    [[1.0, 0.0]]
    """
    with Collection.open(folder, writes=True) as collection:
        given = references if isinstance(references, Mapping) else _references(references)
        _require_options(graders, answers_by, judge)
        texts = {"by_answer": answers_by, "model": judge, "rubric": _text(rubric)}
        settings = {name: value for name, value in texts.items() if value is not None}
        made = [
            (one.split(":")[0], make_grader(one, **settings))
            if isinstance(one, str)
            else (type(one).__name__, one)
            for one in graders
        ]
        if not made:
            raise ConfigError("no grader is named: name at least one, such as exact or judge")
        named = signal_checks(checks)
        asking = {name: one for name, one in named.items() if isinstance(one, AskingCheck)}
        asks = bool(asking) or any(grader.asks_models for _, grader in made)
        models = _models(collection, config, limit_usd, concurrency, spending) if asks else None
        work = _Work(collection, given)
        for name, grader in made:
            work.run(name, grader, models, progress)
        asked: dict[str, AskedSignal] = {}
        for name, check in asking.items():
            asked |= work.asked(name, check, models, progress)
        alone = {name: one for name, one in named.items() if isinstance(one, ResponseCheck)}
        extractor = answers_by or next(filter(None, (one.answers_by for _, one in made)), None)
        found = work.corrected() if labels else None
        trouble = [] if models is None else models.trouble()
        scored = work.scored(extractor, alone, asked, Path(folder).name, trouble)
        scored.corrected = found
        scored.spent_usd = usd(collection.spent_nusd())
        scored.stopped = None if models is None else models.stopped
        scored.given_up = {} if models is None else models.given_up
    if out is not None:
        write_table(scored.table, out)
    return scored


def _require_options(
    graders: Sequence[str | Grader], answers_by: str | None, judge: str | None
) -> None:
    """Raise ConfigError for a grader without what only the user can say."""
    for name, setting, value, option in (
        ("judge", "model", judge, "who judges (--judge MODEL)"),
        ("compare", "model", judge, "who compares (--judge MODEL)"),
        ("agreement", "by_answer", answers_by, "how answers are read (--answers-by NAME)"),
    ):
        for spec in graders:
            named = isinstance(spec, str) and spec.partition(":")[0] == name
            if named and value is None and f":{setting}=" not in str(spec):
                raise ConfigError(f"{name}: say {option}, or {name}:{setting}=VALUE")


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _models(
    collection: Collection,
    config: str | Path | None,
    limit_usd: float | None,
    concurrency: int,
    spending: Callable[[float], None],
) -> PoolModels:
    path = config or collection.about("gateway.toml")
    if path is None:
        raise ConfigError("a judge is a model of a pool: name the gateway.toml (--config)")
    collection.count_lost()
    return PoolModels(
        read_settings(path),
        collection,
        limit_nusd=limit_in_nusd(limit_usd),
        concurrency=concurrency,
        spending=spending,
    )


def _references(path: str | Path | None) -> dict[str, str]:
    return {} if path is None else read_references(path)


def read_references(path: str | Path) -> dict[str, str]:
    """The name or the text of a query -> its reference. Raises DataError for another table."""
    raw = read_file(Path(path))
    key = raw.find(("query_id", "query"))
    if key is None or "reference" not in raw.columns:
        raise DataError(
            f"{raw.path}: expected columns query_id (or query) and reference; found {raw.listing()}"
        )
    pairs = zip(raw.optional_texts(key), raw.optional_texts("reference"), strict=True)
    return {name: text for name, text in pairs if name is not None and text is not None}


class _Work:
    """The answers to score, and the scores so far."""

    def __init__(self, collection: Collection, references: Mapping[str, str]) -> None:
        self._collection = collection
        self._queries = {query.query_id: query for query in collection.queries()}
        self._answers = {
            (one.query_id, one.model): one
            for one in collection.answers()
            if one.query_id in self._queries
        }
        known = {query.query_id for query in self._queries.values()}
        known |= {query.query for query in self._queries.values()}
        if references and not known & references.keys():
            raise DataError(
                f"no reference, of {len(references)}, belongs to a query of "
                f"{collection.folder}; they are found by query_id, or by the text of the query"
            )
        self._cases = [
            _case(self._queries[key[0]], one, references)
            for key, one in self._answers.items()
            if one.is_answer
        ]
        if not self._cases:
            raise DataError(f"{collection.folder}: no model has answered anything there")
        self._scores: dict[tuple[str, str], tuple[float, str]] = {}
        self._notes: dict[tuple[str, str], str] = {}
        self._account = _Account()
        for case in self._cases:
            if not case.answer.strip():
                self._scores[case.query_id, case.model] = (0.0, EMPTY)

    def run(self, name: str, grader: Grader, models: PoolModels | None, progress: Progress) -> None:
        """Let a grader score what has none yet; one that compares answers sees all of them."""
        cases = [case for case in self._cases if case.answer.strip()]
        kept = self._collection.grades(grader.key) if grader.asks_models else {}
        known = {key: Grade(one.score, one.note) for key, one in kept.items()}

        def graded(some: Sequence[Case], grades: Sequence[Grade]) -> None:
            rows = [
                KeptGrade(grader.key, case.query_id, case.model, grade.score, grade.note)
                for case, grade in zip(some, grades, strict=True)
                if grade.score is not None  # an unknown one is asked again
            ]
            self._collection.keep_grades(rows)

        grades = grader.grade(cases, Surroundings(models, progress, known, graded))
        by = f"{name}:{grader.detail}" if grader.detail else name
        for case, grade in zip(cases, grades, strict=True):
            if grade.score is not None:
                self._scores.setdefault(_key(case), (grade.score, by))
            else:
                self._notes[_key(case)] = f"{by}: {grade.note or 'no score'}"
        if grader.asks_models:
            self._account.add(by, cases, grades)

    def asked(
        self, name: str, check: AskingCheck, models: PoolModels | None, progress: Progress
    ) -> dict[str, AskedSignal]:
        """Let a model say what a check asks of each answer, and what that cost."""
        assert models is not None  # noqa: S101  # there are some where a check asks
        return asked_signal(name, check, self._cases, self._collection, models, progress)

    def corrected(self) -> Corrected:
        """Correct the scores by the labels of people. Raises DataError for too few."""
        labels = merged(self._collection.labels())
        choice = choose(self._collection)
        done = frozenset(
            name
            for name, answers in choice.shown.items()
            if all((name, one.models[0]) in labels for one in answers)
        )
        found = corrected(self._scores, labels, choice.chances(done))
        self._scores = found.scores
        return found

    def scored(
        self,
        extractor: str | None,
        checks: Mapping[str, ResponseCheck],
        asked: Mapping[str, AskedSignal],
        name: str,
        trouble: Sequence[str],
    ) -> Scored:
        """The table and the account of it."""
        queries = sorted(self._queries.values(), key=lambda query: query.place)
        answered = list(dict.fromkeys(model for _, model in self._answers))
        unknown = Counter(note for key, note in self._notes.items() if key not in self._scores)
        models = [one for one in answered if any(model == one for _, model in self._scores)]
        if not models:
            raise DataError(
                f"{self._collection.folder}: no answer has a score: "
                + "; ".join([*trouble, *(f"{why} ({n})" for why, n in unknown.items())])
            )
        return Scored(
            outcomes_of(
                queries,
                models,
                self._answers,
                self._scores,
                read=None if extractor is None else make_extractor(extractor),
                checks=checks,
                asked=asked,
                name=name,
            ),
            dict(Counter(by for _, by in self._scores.values())),
            dict(unknown),
            {model: self._marks(model) for model in answered},
            self._account.length,
            self._account.order,
            constant=self._constant(),
        )

    def _constant(self) -> dict[str, float]:
        """Graders that gave several answers, and all of them one score."""
        given: dict[str, list[float]] = {}
        for score_, by in self._scores.values():
            given.setdefault(by, []).append(score_)
        return {
            by: scores[0]
            for by, scores in given.items()
            if by != EMPTY and len(scores) > 1 and len(set(scores)) == 1
        }

    def _marks(self, model: str) -> Marks:
        marks = Marks()
        for (_, other), one in self._answers.items():
            if other != model:
                continue
            marks.answers += one.is_answer
            marks.failed += not one.is_answer
            marks.empty += one.is_answer and not (one.answer or "").strip()
            marks.cut += one.finish_reason == "length"
            marks.refused += one.finish_reason in _REFUSED
        return marks


class _Account:
    """How judges err, each by its name."""

    def __init__(self) -> None:
        self.length: dict[str, Interval] = {}
        self.order: dict[str, tuple[Interval, float]] = {}

    def add(self, by: str, cases: Sequence[Case], grades: Sequence[Grade]) -> None:
        """Measure one."""
        slope = length_slope(cases, [grade.score for grade in grades])
        if slope is not None:
            self.length[by] = slope
        order = order_bias(grades)
        if order is not None:
            self.order[by] = order


def _key(case: Case) -> tuple[str, str]:
    return case.query_id, case.model


def _case(query: KeptQuery, one: KeptAnswer, references: Mapping[str, str]) -> Case:
    return Case(
        query.query_id,
        query.query,
        one.model,
        one.answer or "",
        json.loads(query.body),
        query.task,
        one.finish_reason,
        references.get(query.query_id, references.get(query.query)),
        query.feedback if query.feedback_model == one.model else None,
    )

"""Answers and their scores, as one grader after the other gives them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from equirouter.answers import make_extractor
from equirouter.checks import Response, ResponseCheck
from equirouter.checks.model_calls import COST, AskingCheck
from equirouter.data.outcomes import Outcomes
from equirouter.errors import DataError
from equirouter.labelling.bias import Interval, length_slope, order_bias
from equirouter.labelling.collection_store import Collection, KeptAnswer, KeptGrade, KeptQuery
from equirouter.labelling.graders.base import Case, Grade, Grader, Surroundings
from equirouter.labelling.graders.verdicts import ask_for_verdicts
from equirouter.labelling.pool_models import CountedModels, PoolModels
from equirouter.labelling.review.choosing import choose
from equirouter.labelling.review.correcting import Corrected, corrected, merged
from equirouter.labelling.table import EMPTY, AskedSignal, outcomes_of
from equirouter.progress import Progress, silent
from equirouter.serve.records import usd

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


class Grading:
    """The answers to score, and the scores so far."""

    def __init__(self, collection: Collection, references: Mapping[str, str]) -> None:
        self._collection = collection
        self._queries = {query.query_id: query for query in collection.queries()}
        self._answers = {
            (answer.query_id, answer.model): answer
            for answer in collection.answers()
            if answer.query_id in self._queries
        }
        known = {query.query_id for query in self._queries.values()}
        known |= {query.query for query in self._queries.values()}
        if references and not known & references.keys():
            raise DataError(
                f"no reference, of {len(references)}, belongs to a query of "
                f"{collection.folder}; they are found by query_id, or by the text of the query"
            )
        self._cases = [
            _case(self._queries[key[0]], answer, references)
            for key, answer in self._answers.items()
            if answer.is_answer
        ]
        if not self._cases:
            raise DataError(f"{collection.folder}: no model has answered anything there")
        self._scores: dict[tuple[str, str], tuple[float, str]] = {}
        self._notes: dict[tuple[str, str], str] = {}
        self._length: dict[str, Interval] = {}
        self._order: dict[str, tuple[Interval, float]] = {}
        for case in self._cases:
            if not case.answer.strip():
                self._scores[case.query_id, case.model] = (0.0, EMPTY)

    def count(self, grader: Grader, models: CountedModels) -> None:
        """Let models count what a grader would ask them."""
        cases, known = self._answered(), self._known(grader)
        grader.grade(cases, Surroundings(models, silent, known))

    def run(self, name: str, grader: Grader, models: PoolModels | None, progress: Progress) -> None:
        """Let a grader score what has none yet; one that compares answers sees all of them."""
        cases, known = self._answered(), self._known(grader)
        scored_before = set(self._scores)

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
            pairs = zip(cases, grades, strict=True)
            self._measure(by, [pair for pair in pairs if _key(pair[0]) not in scored_before])

    def _measure(self, by: str, graded: Sequence[tuple[Case, Grade]]) -> None:
        """How a judge errs."""
        slope = length_slope([case for case, _ in graded], [grade.score for _, grade in graded])
        if slope is not None:
            self._length[by] = slope
        order = order_bias(grade for _, grade in graded)
        if order is not None:
            self._order[by] = order

    def _answered(self) -> list[Case]:
        return [case for case in self._cases if case.answer.strip()]

    def _known(self, grader: Grader) -> dict[tuple[str, str], Grade]:
        """Grades that a paid grader need not give: its own, kept, or those of one before it."""
        if not grader.asks_models:
            return {}
        kept = self._collection.grades(grader.key)
        scored = {of: Grade(score) for of, (score, _) in self._scores.items()}
        return scored | {of: Grade(grade.score, grade.note) for of, grade in kept.items()}

    def asked(
        self, name: str, check: AskingCheck, models: PoolModels | None, progress: Progress
    ) -> dict[str, AskedSignal]:
        """Ask about every answer that has a text and is of another model, and keep what is said.

        What the collection knows of this check is not paid for again. As in the gateway, but for
        its limit of the price: here the limit of the collection holds. The signal, and what it
        cost: each answer as if it had been asked about alone.
        """
        assert models is not None  # noqa: S101  # there are some where a check asks
        kept_as = _key_of_check(check)
        grades = self._collection.grades(kept_as)
        known = {of: grade for of, grade in grades.items() if grade.score is not None}
        places: dict[str, list[tuple[str, str]]] = {}  # equal prompts are one question
        for case in self._cases:
            is_own = models.is_same(check.model, case.model)
            if _key(case) not in known and case.answer.strip() and not is_own:
                prompt = check.prompt(Response(case.query, case.answer, case.finish_reason))
                places.setdefault(prompt, []).append(_key(case))
        prompts = list(places)
        n_heard = 0

        def heard(place: int, value: float | None) -> None:
            nonlocal n_heard
            n_heard += 1
            progress("check", n_heard, len(prompts))
            if value is not None:
                cost_nusd, whose = models.latest_nusd, places[prompts[place]]
                kept = {of: KeptGrade(kept_as, *of, value, cost_nusd=cost_nusd) for of in whose}
                known.update(kept)
                self._collection.keep_grades([*kept.values()])

        ask_for_verdicts(models, [(check.model, prompt) for prompt in prompts], check.read, heard)
        costs = {of: grade.cost_nusd for of, grade in known.items()}
        return {
            name: {of: grade.score for of, grade in known.items() if grade.score is not None},
            name + COST: {of: usd(cost) for of, cost in costs.items() if cost is not None},
        }

    def corrected(self) -> Corrected:
        """Correct the scores by the labels of people. Raises DataError for too few."""
        labels = merged(self._collection.labels())
        choice = choose(self._collection)
        done = frozenset(
            name
            for name, answers in choice.shown.items()
            if all((name, answer.models[0]) in labels for answer in answers)
        )
        correction = corrected(self._scores, labels, choice.chances(done))
        self._scores = correction.scores
        return correction

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
        scored = {model for _, model in self._scores}
        models = [model for model in answered if model in scored]
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
            self._length,
            self._order,
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
        for (_, other), answer in self._answers.items():
            if other != model:
                continue
            marks.answers += answer.is_answer
            marks.failed += not answer.is_answer
            marks.empty += answer.is_answer and not (answer.answer or "").strip()
            marks.cut += answer.finish_reason == "length"
            marks.refused += answer.finish_reason in _REFUSED
        return marks


def _key(case: Case) -> tuple[str, str]:
    return case.query_id, case.model


def _case(query: KeptQuery, answer: KeptAnswer, references: Mapping[str, str]) -> Case:
    return Case(
        query.query_id,
        query.query,
        answer.model,
        answer.answer or "",
        json.loads(query.body),
        query.task,
        answer.finish_reason,
        references.get(query.query_id, references.get(query.query, query.reference)),
        query.feedback if query.feedback_model == answer.model else None,
    )


def _key_of_check(check: AskingCheck) -> str:
    """Equal for checks that ask the same: class, settings, and the words of the prompt."""
    names = getattr(check, "__dataclass_fields__", ())
    settings = {name: getattr(check, name) for name in names}
    words = check.prompt(Response("", ""))
    given = json.dumps(settings, sort_keys=True, default=str)
    return f"check {type(check).__name__} {given} {words}"

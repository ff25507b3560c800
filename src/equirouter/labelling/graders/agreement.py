"""No labels at all: answers compared with each other."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import PositiveInt

from equirouter.answers import NO_ANSWER, make_extractor
from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import DataError
from equirouter.labelling.graders.base import Case, Grade, Grader, Surroundings


@dataclass(kw_only=True, eq=False)
class AgreementGrader(Grader):
    """The probability that an answer is right, by who else gave it.

    Each model is right with a chance of its own, and a wrong answer is one of several: both are
    found by expectation and maximisation, as in Dawid and Skene 1979 with one number per model.
    Models that err alike, as relatives do, are believed too much. It needs short answers that can
    be compared and at least three models.
    """

    least_models = 3

    by_answer: str
    """How answers are read: number, choice, boxed, json:/path, label or exact."""
    rounds: PositiveInt = 50
    """Rounds of expectation and maximisation."""

    @property
    def answers_by(self) -> str:
        """As by_answer says."""
        return self.by_answer

    def __post_init__(self) -> None:
        self._extract = make_extractor(self.by_answer)

    def grade(self, cases: Sequence[Case], surroundings: Surroundings) -> list[Grade]:  # noqa: ARG002
        """As Grader.grade. Raises DataError for fewer than three models, and prose."""
        models = {model: place for place, model in enumerate(sorted({c.model for c in cases}))}
        if not cases:
            return []
        if len(models) < self.least_models:
            raise DataError(
                f"agreement needs the answers of at least three models, and there are "
                f"{len(models)}: two that differ do not say which of them is right"
            )
        rows = {
            query: place for place, query in enumerate(dict.fromkeys(c.query_id for c in cases))
        }
        codes = np.full((len(rows), len(models)), -1)
        names: dict[str, dict[str, int]] = defaultdict(dict)
        for case in cases:
            read = self._extract(case.answer)
            if read != NO_ANSWER:
                known = names[case.query_id]
                codes[rows[case.query_id], models[case.model]] = known.setdefault(read, len(known))
        repeated = sum(len(known) for known in names.values()) < int((codes >= 0).sum())
        if not repeated:
            raise DataError(
                f"agreement: read by {self.by_answer!r}, no two answers to any of the {len(rows)} "
                "queries are equal, so they say nothing of each other; are they prose? judge or "
                "review score those"
            )
        chances = probabilities(codes, self.rounds)
        return [self._grade(chances[rows[case.query_id], models[case.model]]) for case in cases]

    @staticmethod
    def _grade(chance: float) -> Grade:
        if np.isnan(chance):
            return Grade(0.0, "no answer of that kind")
        return Grade(float(chance))


def probabilities(codes: IntArray, rounds: int = 50) -> FloatArray:
    """The probability that each answer is right, (N, K), NaN where there is none.

    codes (N, K): equal numbers are equal answers to that query, -1 is none. One of the answers to
    a query is right, or none of them.
    """
    n, k = codes.shape
    has = codes >= 0
    width = int(codes.max()) + 1
    votes = np.zeros((n, width, k), dtype=bool)
    row, column = np.nonzero(has)
    votes[row, codes[row, column], column] = True
    there = votes.any(axis=2)
    # wrong answers to a query: as many as the query with the most different answers was given
    wrong = np.log(max(int(there.sum(axis=1).max()), 2))
    at = (np.arange(n)[:, None], np.maximum(codes, 0))
    skill = np.full(k, 0.7)
    share = np.zeros((n, width))
    for _ in range(rounds):
        odds = np.log(skill) - np.log1p(-skill)  # (K,)
        # against the case that nobody is right, whose logarithm is 0
        logs = np.where(there, votes @ odds + votes.sum(axis=2) * wrong, -np.inf)
        top = np.maximum(logs.max(axis=1, keepdims=True), 0.0)
        weight = np.exp(logs - top)
        share = weight / (weight.sum(axis=1, keepdims=True) + np.exp(-top))
        right = np.where(has, share[at], 0.0)
        # one success and one failure more, so that nobody is sure
        skill = (right.sum(axis=0) + 1) / (has.sum(axis=0) + 2)
    return np.where(has, share[at], np.nan)

"""Graders: a score from 0 to 1 for an answer, or that nobody can say."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol

from equirouter.checks.check_spec import made_from_spec
from equirouter.errors import DataError
from equirouter.progress import Progress, silent
from equirouter.registry import GRADERS


@dataclass(frozen=True, slots=True)
class Case:
    """An answer to grade. body: the request, a chat completion without a model.

    reference: a right answer, None where there is none. feedback: from 0 to 1, what users said of
    this answer.
    """

    query_id: str
    query: str
    model: str
    answer: str
    body: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    finish_reason: str | None = None
    reference: str | None = None
    feedback: float | None = None

    def document(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        body = document.pop("body")
        return {**document, "messages": body.get("messages")}


@dataclass(frozen=True, slots=True)
class Grade:
    """The score of an answer, from 0 to 1; None: not known, and note says why."""

    score: float | None
    note: str | None = None


class Models(Protocol):
    """The models of the gateway's pool, for graders that ask them."""

    def is_same(self, one: str, other: str) -> bool:
        """Whether two names of the pool are one model of a provider."""

    def price_order(self) -> Sequence[str]:
        """The models of the pool, the most expensive first."""

    def ask(
        self, prompts: Sequence[tuple[str, str]], heard: Callable[[int, str | None], None]
    ) -> None:
        """Ask (model, prompt). heard: called with the place of each and its answer, None for none.

        In any order, as soon as it is there. Never where the cost of grading is only estimated.
        """


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The means that a grader may use. models: None where no model may be asked.

    known: (query_id, model) -> a grade of this grader from before, which is not to be paid again.
    graded: hears of grades as soon as they are known, so that they need not be paid twice.
    """

    models: Models | None = None
    progress: Progress = silent
    known: Mapping[tuple[str, str], Grade] = field(default_factory=dict)
    graded: Callable[[Sequence[Case], Sequence[Grade]], None] = lambda _cases, _grades: None


class Grader(ABC):
    """Gives each answer a score. A subclass is a keyword-only dataclass: its fields are settings.

    `grade` may look at all answers together. The same answers get the same scores, an empty list
    gets none, and cases are not changed.
    """

    needs_reference: ClassVar[bool] = False
    """Whether it compares with a reference: without any it raises DataError."""
    needs_feedback: ClassVar[bool] = False
    """Whether it repeats what users said, so that it tells nothing of answers that none saw."""
    least_models: ClassVar[int] = 1
    """Of how many models it needs answers."""
    asks_models: ClassVar[bool] = False
    """Whether it costs money; its grades are then kept and used again."""

    @abstractmethod
    def grade(self, cases: Sequence[Case], surroundings: Surroundings) -> list[Grade]:
        """The grade of each case, in their order. Raises DataError, ConfigError."""

    @property
    def key(self) -> str:
        """Equal for graders that give equal grades: the class and its settings."""
        settings = {name: getattr(self, name) for name in getattr(self, "__dataclass_fields__", ())}
        return f"{type(self).__name__} {json.dumps(settings, sort_keys=True, default=str)}"

    @property
    def answers_by(self) -> str | None:
        """The extractor of `equirouter.answers` by which it reads answers, None for none."""
        return None

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the gateway's pool that its settings name."""
        return ()

    @property
    def detail(self) -> str:
        """More of who scored than the grader's name, such as a judge's model; "" for nothing."""
        return ""


class EachGrader(Grader):
    """A grader that looks at one answer at a time."""

    @abstractmethod
    def one(self, case: Case) -> Grade:
        """The grade of one answer, which is not empty."""

    def grade(self, cases: Sequence[Case], surroundings: Surroundings) -> list[Grade]:
        """As Grader.grade. A case without a reference is unknown where one is needed."""
        if self.needs_reference and cases and all(case.reference is None for case in cases):
            raise DataError(
                "there is nothing to compare with, as no query has a right answer: give them in a "
                "column reference beside query_id (--references FILE), or choose a grader that "
                "needs none, such as judge, agreement or feedback"
            )
        grades = []
        for place, case in enumerate(cases, start=1):
            lacks = self.needs_reference and case.reference is None
            grades.append(Grade(None, "no reference") if lacks else self.one(case))
            surroundings.progress("score", place, len(cases))
        return grades


def require_models(surroundings: Surroundings, name: str) -> Models:
    """The models that may be asked. Raises DataError where none may."""
    if surroundings.models is None:
        raise DataError(
            f"{name} asks a model of the gateway's pool, and no pool was given: name the "
            "gateway.toml (--config)"
        )
    return surroundings.models


def make_grader(spec: str, **settings: Any) -> Grader:  # noqa: ANN401
    """A grader, for example "exact" or "number:tolerance=0.01".

    Values are JSON, or texts as they stand. settings: count more than the spec's. Raises
    UnknownNameError and ConfigError, which name the part that is wrong and the known ones.

    >>> make_grader("number:tolerance=0.01").tolerance
    0.01
    """
    grader: Grader = made_from_spec(GRADERS, spec, settings)
    return grader


def split_specs(text: str) -> list[str]:
    """The specs in a list with commas; a comma in a setting belongs to it."""
    names = "|".join(map(re.escape, GRADERS.names()))
    return [part.strip() for part in re.split(rf",(?=\s*(?:{names})(?:[:,]|\s*$))", text)]

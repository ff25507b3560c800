"""Equal as mathematics, by the package math-verify."""

import re
from dataclasses import dataclass
from typing import Any

from equirouter.errors import DataError
from equirouter.extras import require
from equirouter.labelling.graders.base import Case, EachGrader, Grade


@dataclass(kw_only=True, eq=False)
class MathGrader(EachGrader):
    """1 where the final expression of the answer equals that of the reference, else 0.

    Fractions, sets, intervals, matrices and equations in LaTeX or plain text; 0.5 is 1/2. Needs the
    extra `grade`. Source: https://github.com/huggingface/Math-Verify
    """

    needs_reference = True

    def __post_init__(self) -> None:
        self._verifier: Any = require("math_verify", extra="grade", purpose="compare mathematics")

    def one(self, case: Case) -> Grade:
        """Compare both. Raises DataError for a reference in which there is no mathematics."""
        reference = (case.reference or "").strip()
        right = self._parse(reference if _has_words(reference) else _marked(reference))
        if not (right or _has_words(reference)):
            right = self._parse(f"${reference}$")  # the dollar was a price
        if not right:
            raise DataError(
                f"query {case.query_id!r}: no mathematics is found in the reference "
                f"{case.reference!r}; exact or contains compare texts"
            )
        given = [read for text in _readings(case.answer) if (read := self._parse(text))]
        if not given:
            return Grade(0.0, "no mathematics")
        return Grade(float(any(self._verifier.verify(right, read) for read in given)))

    def _parse(self, text: str) -> list[Any]:
        return list(self._verifier.parse(text))


_MARKS = ("$", "\\boxed", "\\(", "\\[")
_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:and|sqrt|sin|cos|tan|log|exp|pmod)\b)[A-Za-z]{3,}")
_STATED = re.compile(r"(?:\b(?:is|are)\b|:)(?!.*(?:\b(?:is|are)\b|:))")
_LONGEST_LINE = 200


def _has_words(text: str) -> bool:
    """Whether a text is prose, whose last number or marked expression is meant."""
    return _WORD.search(text) is not None


def _is_marked(text: str) -> bool:
    return any(mark in text for mark in _MARKS)


def _marked(text: str) -> str:
    """An expression between dollars: without marks only its last number would be read."""
    return text if _is_marked(text) else f"${text}$"


def _readings(answer: str) -> list[str]:
    """The texts in which the final expression may be: all, its last line, what that states."""
    lines = answer.strip().splitlines()
    if _is_marked(answer) or not lines or len(lines[-1]) > _LONGEST_LINE:
        return [answer]
    last = lines[-1].strip().removesuffix(".")
    stated = _STATED.search(last)
    return [answer, _marked(last), *([] if stated is None else [_marked(last[stated.end() :])])]

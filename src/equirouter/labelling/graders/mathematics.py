"""Equal as mathematics, by the package math-verify."""

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
        right = self._read(case.reference or "")
        if not right:
            raise DataError(
                f"query {case.query_id!r}: no mathematics is found in the reference "
                f"{case.reference!r}; exact or contains compare texts"
            )
        given = self._read(case.answer)
        if not given:
            return Grade(0.0, "no mathematics")
        return Grade(float(bool(self._verifier.verify(right, given))))

    def _read(self, text: str) -> list[Any]:
        # an expression alone is read as LaTeX only between dollars
        expressions: list[Any] = self._verifier.parse(text)
        return expressions or list(self._verifier.parse(f"${text}$"))

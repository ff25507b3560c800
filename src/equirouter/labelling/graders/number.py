"""The last number."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from equirouter.answers import NO_ANSWER, make_extractor
from equirouter.errors import DataError
from equirouter.labelling.graders.base import Case, EachGrader, Grade

_NUMBER = make_extractor("number")


@dataclass(kw_only=True, eq=False)
class NumberGrader(EachGrader):
    """1 where the last number of the answer is that of the reference, else 0."""

    needs_reference = True

    tolerance: Annotated[float, Field(ge=0, le=1)] = 1e-6
    """How far it may be off, as a share of the reference."""

    answers_by = "number"

    def one(self, case: Case) -> Grade:
        """Compare the numbers. Raises DataError for a reference without one."""
        right, given = _NUMBER(case.reference or ""), _NUMBER(case.answer)
        if right == NO_ANSWER:
            raise DataError(
                f"query {case.query_id!r}: the reference {case.reference!r} has no number to "
                "compare with; exact or contains compare texts"
            )
        if given == NO_ANSWER:
            return Grade(0.0, "no number")
        near = abs(float(given) - float(right)) <= self.tolerance * abs(float(right))
        return Grade(float(given == right or near))

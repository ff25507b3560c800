"""The letter that was chosen."""

from dataclasses import dataclass

from equirouter.answers import NO_ANSWER, make_extractor
from equirouter.errors import DataError
from equirouter.labelling.graders.base import Case, EachGrader, Grade

_LETTER = make_extractor("choice")


@dataclass(kw_only=True, eq=False)
class ChoiceGrader(EachGrader):
    """1 where the answer chooses the letter of the reference, A to J, also in prose; else 0."""

    needs_reference = True

    answers_by = "choice"

    def one(self, case: Case) -> Grade:
        """Compare the letters. Raises DataError for a reference without one."""
        right = _LETTER(case.reference or "")
        if right == NO_ANSWER:
            raise DataError(
                f"query {case.query_id!r}: the reference {case.reference!r} has no letter from A "
                "to J, which choice compares; exact or contains compare texts"
            )
        return Grade(float(_LETTER(case.answer) == right))

"""Scores that users gave."""

from collections.abc import Sequence
from dataclasses import dataclass

from equirouter.errors import DataError
from equirouter.labelling.graders.base import Case, EachGrader, Grade, Surroundings


@dataclass(kw_only=True, eq=False)
class FeedbackGrader(EachGrader):
    """The feedback of users on an answer of the log; unknown for all others."""

    needs_feedback = True

    def grade(self, cases: Sequence[Case], surroundings: Surroundings) -> list[Grade]:
        """As Grader.grade. Raises DataError where no answer has feedback."""
        if cases and all(case.feedback is None for case in cases):
            raise DataError(
                "no answer has feedback of users: the log has none, or its models are not in the "
                "pool under the same names; another grader scores answers"
            )
        return super().grade(cases, surroundings)

    def one(self, case: Case) -> Grade:
        """The feedback as it is."""
        return Grade(case.feedback, None if case.feedback is not None else "no feedback")

"""The contract of a grader, check by check.

A check takes a factory of graders, cases, of which the first is a right answer and the second a
wrong one, and surroundings, for graders that ask models.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

from equirouter.errors import DataError
from equirouter.labelling.graders.base import Case, Grade, Grader, Surroundings
from equirouter.testing.expect import expect, expect_error

GraderCheck = Callable[[Callable[[], Grader], Sequence[Case], Surroundings], None]
_NOBODY = Surroundings()


def check_grader(
    make: Callable[[], Grader], cases: Sequence[Case], surroundings: Surroundings = _NOBODY
) -> int:
    """Run GRADER_CHECKS one after another and return how many there are.

    Raises AssertionError at the first that fails.
    """
    for check in GRADER_CHECKS:
        check(make, cases, surroundings)
    return len(GRADER_CHECKS)


def a_right_answer_scores_more(
    make: Callable[[], Grader], cases: Sequence[Case], surroundings: Surroundings
) -> None:
    """The right answer has a score of at least one half, the wrong one less, both from 0 to 1."""
    right, wrong = (grade.score for grade in make().grade(cases, surroundings)[:2])
    good = right is not None and wrong is not None and 0 <= wrong < 0.5 <= right <= 1
    expect(good, f"right {right}, wrong {wrong}: expected 0 <= wrong < 0.5 <= right <= 1")


def each_case_has_a_grade_of_its_own(
    make: Callable[[], Grader], cases: Sequence[Case], surroundings: Surroundings
) -> None:
    """As many grades as cases, the same each time and in any order; the cases stay as they are."""
    before = copy.deepcopy(list(cases))
    grades = make().grade(cases, surroundings)
    expect(len(grades) == len(cases), f"{len(grades)} grades for {len(cases)} cases")
    expect(list(cases) == before, "the cases were changed")
    expect(_equal(make().grade(cases, surroundings), grades), "a second time, other grades")
    backwards = make().grade(list(cases)[::-1], surroundings)[::-1]
    expect(_equal(backwards, grades), "in another order, other grades")


def no_cases_have_no_grades(
    make: Callable[[], Grader], _cases: Sequence[Case], surroundings: Surroundings
) -> None:
    """An empty list of cases is no error."""
    expect(make().grade([], surroundings) == [], "no cases: expected no grades")


def equal_graders_have_equal_keys(
    make: Callable[[], Grader], _cases: Sequence[Case], _surroundings: Surroundings
) -> None:
    """The key, under which paid grades are kept, depends on settings alone."""
    expect(make().key == make().key, f"two equal graders have different keys: {make().key}")


def a_missing_reference_is_said(
    make: Callable[[], Grader], cases: Sequence[Case], surroundings: Surroundings
) -> None:
    """Without any reference: DataError; where one is missing, that answer has no score."""
    if not make().needs_reference:
        return
    bare = [replace(case, reference=None) for case in cases]
    expect_error(
        lambda: make().grade(bare, surroundings),
        DataError,
        "reference",
        "no case has a reference",
    )
    one_lacks = [*cases[:-1], bare[-1]]
    score = make().grade(one_lacks, surroundings)[-1].score
    expect(score is None, f"a case without a reference scores {score}: expected None")


def missing_models_are_said(
    make: Callable[[], Grader], cases: Sequence[Case], _surroundings: Surroundings
) -> None:
    """One that asks models raises DataError where none may be asked; no other grader needs them."""
    if make().asks_models:
        expect_error(
            lambda: make().grade(cases, _NOBODY), DataError, "model", "no model may be asked"
        )
    else:
        make().grade(cases, _NOBODY)


def paid_grades_are_used_again(
    make: Callable[[], Grader], cases: Sequence[Case], surroundings: Surroundings
) -> None:
    """Grades of a grader that costs money are given again, and nothing is asked."""
    if not make().asks_models:
        return
    grades = make().grade(cases, surroundings)
    known = {(case.query_id, case.model): grade for case, grade in zip(cases, grades, strict=True)}
    heard: list[Case] = []
    again = replace(surroundings, known=known, graded=lambda some, _: heard.extend(some))
    expect(_equal(make().grade(cases, again), grades), "known grades were not given again")
    expect(not heard, f"{len(heard)} cases were graded again")


def _equal(actual: Sequence[Grade], expected: Sequence[Grade]) -> bool:
    return len(actual) == len(expected) and all(
        first.score == other.score
        or (
            first.score is not None
            and other.score is not None
            and abs(first.score - other.score) < 1e-9
        )
        for first, other in zip(actual, expected, strict=True)
    )


GRADER_CHECKS: tuple[GraderCheck, ...] = (
    a_right_answer_scores_more,
    each_case_has_a_grade_of_its_own,
    no_cases_have_no_grades,
    equal_graders_have_equal_keys,
    a_missing_reference_is_said,
    missing_models_are_said,
    paid_grades_are_used_again,
)

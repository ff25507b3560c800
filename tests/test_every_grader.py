"""Every registered grader under the contract: a new one is tested by being registered."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest

from equirouter.errors import DataError
from equirouter.labelling.graders import Case, Grader, make_grader
from equirouter.labelling.graders.base import Surroundings
from equirouter.registry import GRADERS


class SureModels:
    """Models of a pool whose judge likes answers that hold "42", wherever they are shown."""

    def is_same(self, one: str, other: str) -> bool:
        return one == other

    def price_order(self) -> Sequence[str]:
        return ["strong", "right", "wrong"]

    def ask(self, prompts: Sequence[tuple[str, str]]) -> Sequence[str | None]:
        return [self._one(prompt) for _, prompt in prompts]

    @staticmethod
    def _one(prompt: str) -> str:
        if "<answer_A>" not in prompt:
            return f"So it is.\nScore: {10 if '42' in prompt.partition('<answer>')[2] else 0}"
        first, second = prompt.partition("<answer_B>")[::2]
        return f"Better: {'A' if '42' in first else 'B' if '42' in second else 'equal'}"


def case(model: str, answer: str, query_id: str = "q") -> Case:
    body = {"messages": [{"role": "user", "content": "6 * 7?"}]}
    return Case(query_id, "6 * 7?", model, answer, body)


PROGRAM = "import json, sys; print(float('42' in json.load(sys.stdin)['answer']))"
# name -> its spec, the reference, a right answer and a wrong one
EXAMPLES: dict[str, tuple[str, str | None, str, str]] = {
    "exact": ("exact", "Paris", "**paris.**", "Rome"),
    "choice": ("choice", "B", "The answer is (B), as A is too small.", "A."),
    "number": ("number", "1234.5", "She pays $1,234.50", "She pays 12"),
    "math": ("math", r"\frac{1}{2}", r"So it is $\boxed{0.5}$.", "So it is 0.7"),
    "regex": ("regex:pattern=^\\d+:\\d+$", None, "It is\n4:2", "four to two"),
    "json": ("json", '{"a": {"b": 1}}', 'Here:\n```json\n{"a": {"b": 1.0}}\n```', "a is b"),
    "contains": ("contains", "nine  lives", "Cats have Nine\nlives.", "Cats have lives."),
    "command": (f'command:run=python3 -c "{PROGRAM}"', None, "it is 42", "it is 41"),
    "reference": ("reference", "the cat sat", "The cat sat!", "no animals"),
    "judge": ("judge:model=strong", None, "it is 42", "it is 41"),
    "compare": ("compare:model=other:against=strong", None, "it is 42", "it is 41"),
    "feedback": ("feedback", None, "liked", "disliked"),
    "agreement": ("agreement:by_answer=number", None, "it is 42", "it is 41"),
}


@pytest.fixture(params=GRADERS.names())
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "math":
        pytest.importorskip("math_verify")
    return str(request.param)


def made(name: str) -> Grader:
    return make_grader(EXAMPLES[name][0])


def cases(name: str) -> list[Case]:
    """The right answer, the wrong one, and those of others."""
    _, reference, right, wrong = EXAMPLES[name]
    strong = "it is 42" if name in ("agreement", "compare") else "it is 7"
    plain = [case("right", right), case("wrong", wrong), case("strong", strong)]
    liked = [1.0, 0.0, None] if name == "feedback" else [None] * 3
    return [
        replace(one, reference=reference, feedback=feedback)
        for one, feedback in zip(plain, liked, strict=True)
    ]


SURE = Surroundings(SureModels())


def test_a_right_answer_scores_more_than_a_wrong_one(name: str) -> None:
    right, wrong, _ = made(name).grade(cases(name), SURE)
    assert right.score is not None
    assert wrong.score is not None
    assert 0 <= wrong.score < 0.5 <= right.score <= 1


def test_each_case_has_a_grade_and_the_same_one_again(name: str) -> None:
    given = cases(name)
    before = copy.deepcopy(given)
    grades = made(name).grade(given, SURE)
    assert len(grades) == len(given)
    assert given == before
    assert made(name).grade(given, SURE) == grades
    backwards = made(name).grade(given[::-1], SURE)
    assert [one.score for one in backwards] == pytest.approx([one.score for one in grades[::-1]])


def test_no_cases_have_no_grades(name: str) -> None:
    assert made(name).grade([], SURE) == []


def test_equal_graders_have_equal_keys_and_others_do_not(name: str) -> None:
    assert made(name).key == made(name).key
    keys = {made(other).key for other in GRADERS.names() if other != "math" or name == "math"}
    assert len(keys) >= len(GRADERS.names()) - 1


def test_one_that_needs_a_reference_says_so_where_there_is_none(name: str) -> None:
    grader = made(name)
    bare = [replace(one, reference=None) for one in cases(name)]
    if not grader.needs_reference:
        assert any(one.score is not None for one in grader.grade(bare, SURE))
        return
    with pytest.raises(DataError, match="no query has one"):
        grader.grade(bare, SURE)
    one_lacks = [*cases(name)[:2], bare[2]]
    assert grader.grade(one_lacks, SURE)[2].score is None


def test_one_that_asks_models_says_so_where_there_are_none(name: str) -> None:
    grader = made(name)
    if grader.asks_models:
        with pytest.raises(DataError, match="asks a model of the gateway's pool"):
            grader.grade(cases(name), Surroundings())
    else:
        grader.grade(cases(name), Surroundings())


def test_what_is_known_is_not_asked_again(name: str) -> None:
    grader = made(name)
    if not grader.asks_models:
        return
    given = cases(name)
    grades = grader.grade(given, SURE)
    known = {(one.query_id, one.model): g for one, g in zip(given, grades, strict=True)}

    class Silent(SureModels):
        def ask(self, prompts: Sequence[tuple[str, str]]) -> Sequence[str | None]:
            raise AssertionError(prompts)

    assert grader.grade(given, Surroundings(Silent(), known=known)) == grades


def test_every_grader_has_an_example() -> None:
    assert set(EXAMPLES) == set(GRADERS.names())

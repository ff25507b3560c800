"""Every registered grader under the contract: a new one is tested by being registered."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from equirouter.labelling.graders import Case, EachGrader, Grade, Grader, make_grader
from equirouter.labelling.graders.base import Surroundings
from equirouter.registry import GRADERS
from equirouter.testing import GRADER_CHECKS, check_grader
from equirouter.testing.graders import GraderCheck

Heard = Callable[[int, str | None], None]


class SureModels:
    """Models of a pool whose judge likes answers that hold "42", wherever they are shown."""

    def is_same(self, one: str, other: str) -> bool:
        return one == other

    def price_order(self) -> Sequence[str]:
        return ["strong", "right", "wrong"]

    def ask(self, prompts: Sequence[tuple[str, str]], heard: Heard) -> None:
        for place, (_, prompt) in enumerate(prompts):
            heard(place, self._one(prompt))

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


@pytest.mark.parametrize("check", GRADER_CHECKS)
def test_the_contract(check: GraderCheck, name: str) -> None:
    check(lambda: made(name), cases(name), Surroundings(SureModels()))


def test_graders_of_different_settings_have_different_keys() -> None:
    keys = {made(name).key for name in GRADERS.names() if name != "math"}
    assert len(keys) == len(GRADERS.names()) - 1
    assert make_grader("number:tolerance=0.5").key != make_grader("number").key


def test_every_grader_has_an_example() -> None:
    assert set(EXAMPLES) == set(GRADERS.names())


class Careless(EachGrader):
    """Breaks the contract: it says the same of all."""

    def one(self, case: Case) -> Grade:  # noqa: ARG002
        return Grade(1.0)


def test_a_grader_that_breaks_the_contract_is_found() -> None:
    with pytest.raises(AssertionError, match=r"right 1\.0, wrong 1\.0"):
        check_grader(Careless, cases("exact"))
    assert check_grader(lambda: made("exact"), cases("exact")) == len(GRADER_CHECKS)

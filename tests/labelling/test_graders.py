"""Each grader's own rules, by hand."""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from equirouter.errors import ConfigError, DataError, UnknownNameError
from equirouter.labelling.bias import length_slope, order_bias
from equirouter.labelling.graders import Case, Grade, make_grader
from equirouter.labelling.graders.agreement import probabilities
from equirouter.labelling.graders.base import Surroundings, split_specs
from equirouter.labelling.graders.judge import JudgeGrader


def case(answer: str, reference: str | None = None, model: str = "m", query_id: str = "q") -> Case:
    body = {"messages": [{"role": "user", "content": "why?"}]}
    return Case(query_id, "why?", model, answer, body, reference=reference)


def score(spec: str, answer: str, reference: str | None = None) -> float | None:
    (grade,) = make_grader(spec).grade([case(answer, reference)], Surroundings())
    return grade.score


@pytest.mark.parametrize(
    ("spec", "answer", "reference", "expected"),
    [
        ("number", "about 100.00000001", "100", 1.0),
        ("number:tolerance=0.01", "it is 100.9", "100", 1.0),
        ("number:tolerance=0.01", "it is 101.1", "100", 0.0),
        ("number", "no idea", "100", 0.0),
        ("number", "-5", "5", 0.0),
        ("exact:by_answer=exact", "Paris", "paris", 0.0),
        ("exact:by_answer=json:/a/b", '{"a": {"b": 3}}', '{"a": {"b": 3.0}}', 1.0),
        ("json", '{"a": 1, "b": {"c": 2}}', '{"a": 1, "b": {"c": 3}}', 0.5),
        ("json", '{"a": 1, "b": [true]}', '{"b": [1], "a": 1.0}', 0.5),
        ("json", '{"a": "1"}', '{"a": 1}', 0.0),
        ("json", '{"a": {}}', '{"b": null}', 0.0),
        ("json", '"yes"', '"yes"', 1.0),
        ("json", "null", "null", 1.0),
        ("json", "[1, 2]", None, 1.0),
        ("json", "{", None, 0.0),
        ("contains", "red and green", "red\nblue", 0.5),
        ("regex:pattern=a,b:c", "xa,b:cx", None, 1.0),
        # the cat sat / the dog sat: two of three words are shared on both sides, 2 * 2 / 6
        ("reference", "the dog sat", "the cat sat", 2 / 3),
    ],
)
def test_scores_by_hand(spec: str, answer: str, reference: str | None, expected: float) -> None:
    assert score(spec, answer, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        ("0.5", [r"The answer is $\frac{1}{2}$", "1/2", "so 50%"], ["2"]),
        (r"2\sqrt{3}", [r"\boxed{2\sqrt{3}}", r"It is 2\sqrt{3}.", "2*sqrt(3)"], ["2", "3"]),
        ("1+x^2", [r"\boxed{x^2+1}", "x^2 + 1", "So:\n$f = x^2+1$"], ["1", "2"]),
        ("[0, 1)", [r"\boxed{[0,1)}", "[0, 1)"], ["1", r"$[0,1]$", "(0, 1)"]),
        ("(1,2)", ["(1, 2)", "The point is (1, 2)."], ["2"]),
        (r"\{3,-3\}", ["x = 3 or x = -3", r"$\{-3, 3\}$"], ["-3"]),
        ("42", ["**42**", "first 7, then 42", "1,000 less 958: 42"], ["no idea", "41"]),
        ("$12$", ["12 cm", r"\boxed{12}"], ["1.2"]),
        ("She sold 48/2 = 24 clips (in May).\n#### 72", ["72", r"$72$"], ["24"]),
        (r"\$18", ["18", r"\boxed{\$18}"], ["8"]),
        ("so it is 5 (five) apples", ["5"], ["6"]),
        ("sqrt(2)", [r"$\sqrt{2}$", "sqrt(2)"], ["2"]),
        (r"50\%", ["0.5", r"$50\%$"], ["5"]),
    ],
)
def test_mathematics(reference: str, right: list[str], wrong: list[str]) -> None:
    pytest.importorskip("math_verify")
    assert {answer: score("math", answer, reference) for answer in right} == dict.fromkeys(right, 1)
    assert {answer: score("math", answer, reference) for answer in wrong} == dict.fromkeys(wrong, 0)


def test_a_reference_without_mathematics_is_named() -> None:
    pytest.importorskip("math_verify")
    with pytest.raises(DataError, match="no mathematics is found in the reference 'Paris'"):
        score("math", "5", "Paris")


def test_json_by_a_schema(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema_rs")
    path = tmp_path / "schema.json"
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    path.write_text(json.dumps(schema), "utf-8")
    assert score(f"json:schema={path}", '{"a": 1}') == 1.0
    assert score(f"json:schema={path}", '{"a": "1"}') == 0.0
    assert score(f"json:schema={path}", '{"b": 1}') == 0.0
    path.write_text('{"type": 7}', "utf-8")
    with pytest.raises(ConfigError, match="this is no JSON Schema"):
        make_grader(f"json:schema={path}")


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("exakt", UnknownNameError, "did you mean 'exact'"),
        ("number:tolerence=1", ConfigError, "no setting 'tolerence': known: tolerance"),
        ("number:tolerance=2", ConfigError, "tolerance is 2"),
        ("number:tolerance=x", ConfigError, "tolerance is 'x'"),
        ("regex", ConfigError, "no default for pattern"),
        ("regex:pattern=(", ConfigError, "cannot be read"),
        ("exact:by_answer=word", ConfigError, "not an answer extractor"),
        ("judge", ConfigError, "no default for model"),
        ("judge:model=m:rubric=/no/such", ConfigError, "the rubric cannot be read"),
        ("command:run=", ConfigError, "run is empty"),
    ],
)
def test_a_wrong_spec_is_named(spec: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make_grader(spec)


@pytest.mark.parametrize(
    ("spec", "reference", "said"),
    [
        ("number", "none", "has no number"),
        ("choice", "maybe", "has no letter"),
        ("json", "one", "is no JSON"),
    ],
)
def test_a_reference_that_cannot_be_compared_is_named(spec: str, reference: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        score(spec, "1", reference)


def test_a_comma_in_a_setting_belongs_to_it() -> None:
    text = r"exact,regex:pattern=\d{1,3},number:tolerance=0.1,judge"
    assert split_specs(text) == [
        "exact",
        r"regex:pattern=\d{1,3}",
        "number:tolerance=0.1",
        "judge",
    ]


# a program of one's own


def program(tmp_path: Path, text: str) -> str:
    path = tmp_path / "grade.py"
    path.write_text(text, "utf-8")
    return f"command:run={shlex.join((sys.executable, str(path)))}:seconds=5"


def grades(spec: str, *answers: str) -> list[Grade]:
    return make_grader(spec).grade([case(answer) for answer in answers], Surroundings())


def test_a_command_gets_json_and_no_shell_sees_it(tmp_path: Path) -> None:
    spec = program(
        tmp_path,
        "import json, sys\nd = json.load(sys.stdin)\n"
        "assert d['messages'][0]['content'] == 'why?'\n"
        "print(len(d['answer']) / 10)\n",
    )
    found = grades(spec, "12345", "$(touch x); `id`"[:10])
    assert [one.score for one in found] == [0.5, 1.0]
    assert grades(spec, "\ud83d")[0].score == 0.1  # half of a character, which no file holds


def test_a_command_has_time_and_memory_limits(tmp_path: Path) -> None:
    text = (
        "import json, sys, time\nanswer = json.load(sys.stdin)['answer']\n"
        "if answer == 'slow': time.sleep(60)\n"
        "if answer == 'big': bytearray(2_000_000_000)\n"
        "if answer == 'bad': print('much'); sys.exit(0)\n"
        "print(1)\n"
    )
    spec = program(tmp_path, text).replace("seconds=5", "seconds=1.5")
    good, slow, big, bad = grades(spec, "good", "slow", "big", "bad")
    assert good.score == 1.0
    assert (slow.score, slow.note) == (None, "no score within 1.5 s")
    assert big.score is None
    assert "MemoryError" in (big.note or "")
    assert (bad.score, bad.note) == (None, "printed 'much', not a number")


def test_a_command_that_never_scores_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="exit code 3"):
        grades(program(tmp_path, "raise SystemExit(3)"), "a", "b")


# answers compared with each other


def test_agreement_by_hand() -> None:
    # one query, three models of skill 0.7: two say 0, one says 1; 2 wrong ones each
    # odds of 0: (0.7/0.3 * 2) ** 2 = 21.8, of 1: 4.67, of none: 1
    found = probabilities(np.array([[0, 0, 1]]), rounds=1)
    assert found[0] == pytest.approx([21.78 / 27.44, 21.78 / 27.44, 4.667 / 27.44], abs=1e-3)


def test_agreement_believes_those_who_are_often_right() -> None:
    rng = np.random.default_rng(7)
    skill = np.array([0.9, 0.8, 0.6, 0.4, 0.3])
    right = rng.random((400, 5)) < skill
    codes = np.where(right, 0, rng.integers(1, 9, (400, 5)))
    found = probabilities(codes)
    assert np.all(np.diff(found.mean(axis=0)) < 0)  # the order of the models
    assert found.mean(axis=0) == pytest.approx(skill, abs=0.06)
    assert np.corrcoef(found.ravel(), right.ravel())[0, 1] > 0.9


def test_agreement_needs_three_models_and_answers_that_can_be_equal() -> None:
    grader = make_grader("agreement:by_answer=exact")
    two = [case("1", model="a"), case("1", model="b")]
    with pytest.raises(DataError, match="at least three models"):
        grader.grade(two, Surroundings())
    prose = [case(f"prose of {model}", model=model) for model in "abc"]
    with pytest.raises(DataError, match="no two answers"):
        grader.grade(prose, Surroundings())


# judges


class Judges:
    """A judge that says what it is told, in turn."""

    def __init__(self, *said: str | None) -> None:
        self.said = list(said)
        self.prompts: list[tuple[str, str]] = []

    def is_same(self, one: str, other: str) -> bool:
        return one == other

    def price_order(self) -> Sequence[str]:
        return ["best"]

    def ask(
        self, prompts: Sequence[tuple[str, str]], heard: Callable[[int, str | None], None]
    ) -> None:
        self.prompts += prompts
        for place in range(len(prompts)):
            heard(place, self.said.pop(0))


def judged(judges: Judges, *cases: Case, spec: str = "judge:model=j") -> list[float | None]:
    return [one.score for one in make_grader(spec).grade(cases, Surroundings(judges))]


def test_a_judge_that_says_nonsense_is_asked_again_and_then_unknown() -> None:
    judges = Judges("I like it.", "Score: 7", "Score: 100", "hm", None, "Score: 3")
    assert judged(judges, case("a", query_id="1")) == [0.7]
    assert len(judges.prompts) == 2
    assert judged(judges, case("a", query_id="2")) == [None]
    assert len(judges.prompts) == 5


@pytest.mark.parametrize("spec", ["judge", "compare"])
def test_a_judge_that_says_nothing_but_nonsense_is_not_paid_for_the_rest(
    spec: str,
) -> None:
    judges = Judges(*["I like cats."] * 100)
    cases = [case(f"{n}", query_id=str(n)) for n in range(30)]
    if spec == "compare":
        cases += [case(f"other {n}", query_id=str(n), model="large") for n in range(30)]
    against = ":against=large" if spec == "compare" else ""
    grades = make_grader(f"{spec}:model=j{against}").grade(cases, Surroundings(judges))
    assert len(judges.prompts) == 3 * 10  # each is asked three times
    told = [one.note or "" for one in grades[:30]]
    assert sum("from the judge" in note for note in told) == (10 if spec == "judge" else 5)
    assert sum(note.startswith("not asked") for note in told) == (20 if spec == "judge" else 25)


def test_a_judge_grades_no_answer_of_its_own_unless_asked() -> None:
    own = case("mine", model="j")
    assert judged(Judges(), own) == [None]
    assert judged(Judges("Score: 10"), own, spec="judge:model=j:grades_own=true") == [1.0]
    # with two judges the other one grades it; answers of others have the mean of both
    judges = Judges("Score: 4", "Score: 8", "Score: 6")
    assert judged(judges, own, case("b", query_id="2"), spec="judge:model=j+k") == [
        0.4,
        pytest.approx(0.7),
    ]
    assert [model for model, _ in judges.prompts] == ["k", "j", "k"]


def test_a_judge_sees_rubric_request_answer_and_reference(tmp_path: Path) -> None:
    rubric = tmp_path / "rubric.txt"
    rubric.write_text("Only rhymes count.", "utf-8")
    judges = Judges("Score: 5")
    judged(judges, case("roses", reference="are red"), spec=f"judge:model=j:rubric={rubric}")
    (_, prompt) = judges.prompts[0]
    for part in ("Only rhymes count.", "why?", "roses", "are red"):
        assert part in prompt
    key = JudgeGrader(model="j", rubric=str(rubric)).key
    rubric.write_text("Only facts count.", "utf-8")
    assert JudgeGrader(model="j", rubric=str(rubric)).key != key


def test_a_comparison_in_both_orders_undoes_a_love_of_the_first() -> None:
    pair = (case("a", model="m"), case("b", model="best"))
    assert judged(Judges("Better: A", "Better: A"), *pair, spec="compare:model=j") == [0.5, 0.5]
    assert judged(Judges("Better: A", "Better: B"), *pair, spec="compare:model=j") == [1.0, 0.5]
    assert judged(Judges("Better: equal", "Better: A"), *pair, spec="compare:model=j") == [
        0.25,
        0.5,
    ]


def test_order_bias_is_measured() -> None:
    spec = make_grader("compare:model=j")
    judges = Judges("Better: A", "Better: A", "Better: A", "Better: B")
    cases = [case(model, model=model, query_id=q) for q in "12" for model in ("m", "best")]
    found = order_bias(spec.grade(cases, Surroundings(judges)))
    assert found is not None
    # pair 1: first wins twice; pair 2: once of two, and the same answer both times
    assert (found[0].mean, found[1], found[0].n) == (0.75, 0.5, 2)


def test_length_bias_is_measured() -> None:
    cases = [
        case("x" * length, query_id=str(query), model=str(length))
        for query in range(30)
        for length in (100, 200, 400)
    ]
    scores = [0.1 * (i % 3) + (i // 3) / 100 for i in range(len(cases))]  # 0.1 for each doubling
    found = length_slope(cases, scores)
    assert found is not None
    assert found.mean == pytest.approx(0.1)
    assert found.n == 30
    assert length_slope(cases[:3], scores[:3]) is None

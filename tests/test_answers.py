"""Final answers read out of responses: what each extractor gives, and what holds for all texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.answers import NO_ANSWER, make_extractor
from equirouter.errors import ConfigError


@pytest.mark.parametrize(
    ("spec", "response", "answer"),
    [
        ("number", "So 3 + 4 makes 7.", "7"),
        ("number", "She pays $1,234.50 in total.", "1234.5"),
        ("number", "18.0", "18"),
        ("number", "The difference is -3", "-3"),
        ("number", "The difference is \N{MINUS SIGN}3", "-3"),
        ("number", "pages 5-3", "3"),
        ("number", "(3)-4", "4"),
        ("number", "1, 2, 3", "3"),
        ("number", "-0.0", "0"),
        ("number", "1e-5", "0.00001"),
        ("number", "0.33333333", "0.333333"),
        ("number", "1234567.891", "1234567.89"),
        ("number", "model gpt4 cannot say", ""),
        ("choice", "b", "B"),
        ("choice", "(C)", "C"),
        ("choice", "B) iron, as A) is wrong", "B"),
        ("choice", "Not A). The answer is (D).", "D"),
        ("choice", "The correct answer is **G**.", "G"),
        ("choice", "The answer is $\\boxed{\\text{C}}$", "C"),
        ("choice", "Wings lift it.\n\nE", "E"),
        ("choice", "I weighed (A) against (B)", "B"),
        ("choice", "The answer is a dog. A cat is not.", ""),
        ("choice", "Certainly! Below is the code.", ""),
        ("boxed", "\\boxed{1} and so \\boxed{\\dfrac{1}{2}}", "\\frac{1}{2}"),
        ("boxed", "$\\boxed{18.0}$", "18"),
        ("boxed", "\\boxed{\\text{even}}", "even"),
        ("boxed", "\\boxed{x^{2", ""),
        ("json:/answer", '{"answer": 18}', "18"),
        ("json:/answer", '```json\n{"answer": "18.0"}\n```', "18"),
        ("json:/answer", 'So: {"answer": [1, 2.0]}.', '["1", "2"]'),
        ("json:/a~1b/1", '{"a/b": [false, true]}', "true"),
        ("json:", '"word"', "word"),
        ("json:/answer", '{"answer": null}', ""),
        ("json:/answer", '{"answer": NaN}', ""),
        ("json:/answer", '{"other": 1}', ""),
        ("label", " **Very  Positive.** ", "very positive"),
        ("exact", " Two words\n", "Two words"),
        ("exact", " \n", ""),
    ],
)
def test_what_is_read(spec: str, response: str, answer: str) -> None:
    assert make_extractor(spec)(response) == answer


@pytest.mark.parametrize("spec", ["number", "choice", "label", "exact"])
@given(text=st.text() | st.text("0123456789.,-eE ABab()*:\n"))
def test_an_answer_is_its_own_answer(spec: str, text: str) -> None:
    read = make_extractor(spec)
    answer = read(text)
    assert read(answer) == answer


@given(st.integers(-(10**30), 10**30), st.text("0", max_size=3), st.sampled_from(["", ".", " kg"]))
def test_an_integer_is_one_answer_however_it_is_written(number: int, zeros: str, end: str) -> None:
    read = make_extractor("number")
    written = {f"{number}{end}", f"{number}.0{zeros}", f"so it is {number:,}{end}"}
    assert {read(text) for text in written} == {str(number)}


@given(st.sampled_from("ABCDEFGHIJ"))
def test_a_letter_is_one_choice_however_it_is_set(letter: str) -> None:
    read = make_extractor("choice")
    forms = (
        "{}",
        "({})",
        "{}.",
        "**{}**",
        "The answer is {}.",
        "Answer: ({})",
        "{}) words",
        "x\n{}",
    )
    assert {read(form.format(letter)) for form in forms} == {letter}


@pytest.mark.parametrize("spec", ["number", "choice", "boxed", "json:/a", "label", "exact"])
@given(st.text() | st.text('\\boxed{}[]"`json:a\n'))
def test_no_text_is_too_strange(spec: str, text: str) -> None:
    assert isinstance(make_extractor(spec)(text), str)


@pytest.mark.parametrize("spec", ["number", "choice", "boxed", "json:/a", "label"])
def test_nothing_has_no_answer(spec: str) -> None:
    assert make_extractor(spec)("") == NO_ANSWER


def test_a_name_that_was_kept_makes_the_same_extractor() -> None:
    for spec in ("number", "json:/answer@2/x"):
        made = make_extractor(spec)
        assert made.name == f"{spec}@1"
        assert make_extractor(made.name) == made


@pytest.mark.parametrize("name", ["numbers", "", "json", "json:answer", "json/answer", "exact:"])
def test_an_unknown_extractor_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected number, choice, boxed, label, exact or json:/"):
        make_extractor(name)


def test_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="this version of equirouter has number@1"):
        make_extractor("number@2")

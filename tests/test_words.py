"""Words that depend on a number, and values in words."""

import pytest

from equirouter.words import number_of, plain


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 queries"), (1, "1 query"), (2, "2 queries"), (21, "21 queries")]
)
def test_one_and_many(count: int, words: str) -> None:
    assert number_of(count, "query", "queries") == words


def test_the_plural_has_an_s_unless_it_is_given() -> None:
    assert [number_of(count, "model") for count in (0, 1, 2)] == ["0 models", "1 model", "2 models"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "none"),
        (True, "yes"),
        (0.1, "0.1"),
        ([3, 1, 6], "3, 1, 6"),
        (list(range(100)), "100 values from 0 to 99"),
        ({"a": 1, "b": None}, "a 1, b none"),
        ("head+tail", "head+tail"),
    ],
)
def test_plain_words(value: object, expected: str) -> None:
    assert plain(value) == expected

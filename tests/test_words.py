"""Words that depend on a number."""

import pytest

from equirouter.words import number_of


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 queries"), (1, "1 query"), (2, "2 queries"), (21, "21 queries")]
)
def test_one_and_many(count: int, words: str) -> None:
    assert number_of(count, "query", "queries") == words


def test_the_plural_has_an_s_unless_it_is_given() -> None:
    assert [number_of(count, "model") for count in (0, 1, 2)] == ["0 models", "1 model", "2 models"]

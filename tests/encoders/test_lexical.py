"""LexicalEncoder: pieces of text by hand, any language, and laws that hold for every text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.encoders.lexical import LexicalEncoder
from equirouter.errors import ConfigError

WIDE = LexicalEncoder(dimension=2**16)
"""So wide that the few pieces of a short text hardly ever share a bucket."""

some_text = st.text(min_size=1, max_size=60).filter(
    lambda text: not text.isspace() and not any("\ud800" <= char <= "\udfff" for char in text)
)


def similarity(one: str, other: str) -> float:
    pair = WIDE.encode([one, other])
    return float(pair[0] @ pair[1])


def test_the_pieces_of_a_short_text_by_hand() -> None:
    # "\nab ab\n" has the runs "\nab", "ab ", "b a", " ab", "ab\n" and four of 4 bytes, each once;
    # the word "ab" twice, the pair "ab ab" once, no punctuation
    row = WIDE.encode(["ab ab"])[0]
    half = len(row) // 2
    runs, words = row[:half][row[:half] > 0], row[half:][row[half:] > 0]
    assert (len(runs), len(words)) == (9, 2)
    twice = 1 + np.log(2)
    length = np.sqrt(9 + 1 + twice**2)
    np.testing.assert_allclose(runs, 1 / length, rtol=1e-6)
    np.testing.assert_allclose(sorted(words), np.array([1, twice]) / length, rtol=1e-6)


def test_case_does_not_count_and_punctuation_does() -> None:
    assert similarity("Sort THIS list", "sort this LIST") == pytest.approx(1.0)
    assert similarity("f(x) = y", "f x y") < 0.9


@pytest.mark.parametrize(
    ("near", "far"),
    [
        (("写一个排序函数", "写一个搜索函数"), "法国的首都是哪里？"),
        (("เขียนฟังก์ชันเรียงลำดับ", "เขียนฟังก์ชันค้นหา"), "เมืองหลวงของฝรั่งเศสคืออะไร"),
        (("def f(x): return x + 1", "def g(x): return x + 2"), "SELECT name FROM users;"),
    ],
)
def test_texts_that_share_pieces_are_near_in_any_script(near: tuple[str, str], far: str) -> None:
    assert similarity(*near) > 0.4
    assert similarity(*near) > 2 * similarity(near[0], far)


@given(some_text)
def test_every_text_has_a_vector_of_length_1_without_a_negative_number(text: str) -> None:
    row = WIDE.encode([text])[0]
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)
    assert row.min() >= 0


@given(some_text, some_text)
def test_a_piece_is_the_same_wherever_it_stands(before: str, after: str) -> None:
    """The runs and words of a line are among those of a text that has this line."""
    line = "sort this list"
    alone = WIDE.encode([line])[0] > 0
    within = WIDE.encode([f"{before}\n{line}\n{after}"])[0] > 0
    assert within[alone].all()


def test_a_long_text_is_read_to_its_end() -> None:
    long = "word " * 30_000
    assert similarity(long + "the end is here", long) < 1 - 1e-6
    both = WIDE.encode([long, "short"])
    np.testing.assert_array_equal(both[1], LexicalEncoder(dimension=2**16).encode(["short"])[0])


@pytest.mark.parametrize("dimension", [0, 32, 100, 2**21])
def test_a_dimension_that_is_no_power_of_two_is_refused(dimension: int) -> None:
    with pytest.raises(ConfigError, match=f"dimension is {dimension}: expected a power of 2"):
        LexicalEncoder(dimension=dimension)

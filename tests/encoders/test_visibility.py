from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.arrays import Float32Array
from equirouter.encoders import duplicate_share, make_encoder
from equirouter.encoders.joined import JoinedEncoder
from equirouter.encoders.visibility import unread_texts, unread_warning
from equirouter.errors import DataError
from tests.encoders.toymodel import write_toy_model
from tests.toys import HashingEncoder


def unit_rows(n: int, d: int = 384) -> Float32Array:
    rows = np.random.default_rng(5).normal(size=(n, d)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_share_by_hand() -> None:
    # a and b look alike, so do c, d and e, of which d and e are the same text; f and f are one
    # text twice, which is no loss; g is alone: 2 + 3 of 8
    rows = unit_rows(4)
    visibility = duplicate_share(
        rows[[0, 0, 1, 1, 1, 2, 2, 3]], ["a", "b", "c", "d", "d", "f", "f", "g"]
    )
    assert (visibility.n_duplicates, visibility.n_queries) == (5, 8)
    assert visibility.share == 5 / 8
    assert visibility.warning is not None
    assert "5 of 8 queries (62%)" in visibility.warning
    assert "--window tail" in visibility.warning


def test_rows_of_two_batches_are_still_the_same() -> None:
    rows = unit_rows(300)
    noise = np.random.default_rng(6).uniform(-1e-7, 1e-7, rows.shape).astype(np.float32)
    texts = [str(i) for i in range(600)]
    assert duplicate_share(np.concatenate([rows, rows + noise]), texts).n_duplicates == 600


def test_a_difference_that_a_router_can_see_counts() -> None:
    rows = unit_rows(2)
    rows[1] = rows[0]
    rows[1, 7] += 1e-3
    assert duplicate_share(rows, ["a", "b"]).share == 0


@pytest.mark.parametrize(("n_alike", "warns"), [(5, False), (6, True)])
def test_the_warning_starts_above_five_percent(n_alike: int, warns: bool) -> None:
    rows = unit_rows(100)
    rows[:n_alike] = rows[0]
    visibility = duplicate_share(rows, [str(i) for i in range(100)])
    assert visibility.n_duplicates == n_alike
    assert (visibility.warning is not None) == warns


@given(st.lists(st.integers(0, 9), max_size=40))
def test_the_order_of_rows_does_not_matter(kinds: list[int]) -> None:
    texts = [str(i) for i in range(len(kinds))]
    visibility = duplicate_share(unit_rows(10)[kinds], texts)
    assert visibility.n_duplicates == sum(kinds.count(kind) > 1 for kind in kinds)


def test_nothing_to_see() -> None:
    visibility = duplicate_share(unit_rows(0), [])
    assert (visibility.share, visibility.n_duplicates, visibility.warning) == (0.0, 0, None)


def test_rows_and_texts_must_agree() -> None:
    with pytest.raises(DataError, match="3 embeddings for 2 texts"):
        duplicate_share(unit_rows(3), ["a", "b"])


CHINESE = "请解释为什么水在四摄氏度时密度最大，并说明这对湖泊里的鱼有什么意义。"
THAI = "ทำไมน้ำแข็งจึงลอยน้ำ"
ENGLISH = "Why is water densest at four degrees?"


class HalfBlind(HashingEncoder):
    """Does not know the letter x."""

    def unknown_share(self, text: str) -> float:
        return text.count("x") / len(text)


def test_a_text_counts_from_a_fifth_of_unknown_tokens() -> None:
    # ten letters, of which two or more are not ASCII: one x is a tenth, two are a fifth
    texts = ["xéééééééé ", "xxééééééé ", "xxxxxxxxxx"]
    assert unread_texts(HalfBlind(), texts) == [1]  # the third is ASCII


def test_an_encoder_that_cannot_tell_says_nothing() -> None:
    assert unread_texts(HashingEncoder(), [THAI]) == []


def test_a_warning_from_one_text_in_a_hundred_on() -> None:
    ids = [f"q{i}" for i in range(200)]
    texts = [ENGLISH] * 198
    assert unread_warning(HalfBlind(), [*texts, "xé", ENGLISH], ids) == ()
    (warning,) = unread_warning(HalfBlind(), [*texts, "xé", "xé"], ids)
    assert warning.startswith("of 2 of 200 queries (the first is 'q198') the encoder toy")


def test_english_is_read_and_thai_and_most_of_chinese_are_not(model_folder: Path) -> None:
    encoder = make_encoder("minilm", weights=model_folder)
    assert encoder.unknown_share(ENGLISH) == 0.0
    assert encoder.unknown_share(THAI) == 1.0
    assert (encoder.unknown_share(CHINESE) or 0.0) > 0.5
    assert unread_texts(encoder, [ENGLISH, CHINESE, THAI, "Is “é” a letter, and “ü”?"]) == [1, 2]


@pytest.mark.parametrize("name", ["minilm", "static"])
def test_unknown_word_pieces_are_counted(name: str, tmp_path: Path) -> None:
    options = {"dimension": 12} if "static" in name else {}
    encoder = make_encoder(name, weights=write_toy_model(tmp_path), **options)
    assert encoder.unknown_share("the cat sat") == 0.0
    assert encoder.unknown_share("the cat ก ข") == 0.5
    assert encoder.unknown_share("\u200b\u200b") == 1.0  # no piece at all


def test_a_joined_encoder_reads_what_one_of_its_parts_reads() -> None:
    assert JoinedEncoder({"a": HalfBlind(), "b": HalfBlind()}).unknown_share("xy") == 0.5
    assert JoinedEncoder({"a": HalfBlind(), "b": HashingEncoder()}).unknown_share("xy") is None

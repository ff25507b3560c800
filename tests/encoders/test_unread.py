"""Texts that an encoder cannot read: what counts, and who can tell."""

from pathlib import Path

import pytest

from equirouter.encoders import make_encoder
from equirouter.encoders.joined import JoinedEncoder
from equirouter.encoders.unread import unread_texts, unread_warning
from tests.encoders.toymodel import write_toy_model
from tests.toys import HashingEncoder

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

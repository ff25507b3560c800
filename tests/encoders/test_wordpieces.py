import gc
import json
import pickle
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from equirouter.encoders import wordpieces
from equirouter.encoders.windows import Tokenize
from equirouter.encoders.wordpieces import PART_CHARACTERS, WordPieces, read_vocabulary
from equirouter.errors import DataError
from tests.encoders.toymodel import id_of, toy_tokenizer

TOY = WordPieces(toy_tokenizer(), "toy")
REFERENCE = Tokenizer.from_str(toy_tokenizer().decode())

words = st.sampled_from(
    ["cat", "CATS", "catser", "iced", "dogs1", "[SEP]", "[sep]", "[", "a" * 101, "caa", "é", "x"]
)
signs = st.sampled_from(
    [
        " ",
        "",
        "\n",
        ".",
        "-",
        "\x00",
        "\x7f",
        "\x1c",
        "水",
        "\u200b",
        "!?",
        "\u0301",
        "\u3000",
        "\f",
    ]
)
built = st.lists(st.one_of(words, signs), max_size=30).map("".join)
ascii_text = st.text(st.characters(max_codepoint=127), max_size=80)


def pieces(tokenizer: WordPieces, text: str) -> list[int]:
    return [i for part in tokenizer.parts(text) for i in part]


@pytest.fixture(scope="module")
def real(model_folder: Path) -> WordPieces:
    return WordPieces((model_folder / "tokenizer.json").read_bytes(), "tokenizer.json")


def test_pieces_by_hand() -> None:
    # "Cats" is a word; "catser" is its longest beginning and "##er"; "sax" has no beginning "sax",
    # "sa" or "s", so all of it is unknown
    ids = pieces(TOY, "The Cats, catser sax")
    assert ids == [id_of(p) for p in ("the", "cats", ",", "cats", "##er", "[UNK]")]


@given(st.one_of(built, ascii_text, st.text(max_size=80)))
def test_the_pieces_of_the_package_tokenizers(text: str) -> None:
    assert pieces(TOY, text) == REFERENCE.encode(text, add_special_tokens=False).ids


def test_the_same_with_the_real_vocabulary(
    real: WordPieces, tokenize: Tokenize, mixed_texts: list[str]
) -> None:
    odd = ["x" * 100, "x" * 101, "it's 3.14e-5!", "a[SEP]b [MASK]", "tab\tnull\x00ed", "~`^|{}"]
    for text in [*mixed_texts, *odd]:
        assert pieces(real, text) == tokenize(text)


@pytest.mark.parametrize("kind", ["plain", "accents"])
def test_a_long_text_comes_in_parts(
    real: WordPieces, tokenize: Tokenize, mixed_texts: list[str], kind: str
) -> None:
    texts = [text for text in mixed_texts if kind == "accents" or text.isascii()]
    text = " ".join(texts * 20)
    parts = list(real.parts(text))
    assert len(parts) == len(text) // PART_CHARACTERS + 1 > 2
    assert [i for part in parts for i in part] == tokenize(text)


def test_words_are_remembered_within_limits_and_never_pickled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wordpieces, "MOST_SPLIT", 2)
    tokenizer = WordPieces(toy_tokenizer(), "toy")
    for text in ("catser catser", "iced é dogs1", "a" * 101, "é" * 101, "catser iced dogs1 caa"):
        assert pieces(tokenizer, text) == REFERENCE.encode(text, add_special_tokens=False).ids
        assert len(tokenizer._split) <= 2
        assert max(map(len, tokenizer._split)) <= 100
    assert tokenizer._split
    copied = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301  # made in the line
    assert not copied._split


def test_it_is_freed_without_the_garbage_collector() -> None:
    """A gateway's collector leaves alone what was loaded at the start: see gc.freeze."""
    tokenizer = WordPieces(toy_tokenizer(), "toy")
    assert pieces(tokenizer, "catser é")
    words = weakref.ref(tokenizer._split)
    gc.disable()
    try:
        del tokenizer
        assert words() is None
    finally:
        gc.enable()


def test_another_tokenizer_is_refused() -> None:
    content = json.loads(toy_tokenizer())
    content["model"]["max_input_chars_per_word"] = 50
    with pytest.raises(
        DataError, match=r"here: not the tokenizer .*'max_input_chars_per_word': 50"
    ):
        WordPieces(json.dumps(content).encode(), "here")
    content = json.loads(toy_tokenizer())
    content["normalizer"]["lowercase"] = False
    with pytest.raises(DataError, match=r"here: not the tokenizer .*'lowercase': False"):
        read_vocabulary(json.dumps(content).encode(), "here")
    for damaged in (b"{", b"[]", b"\xff"):
        with pytest.raises(DataError, match=r"here: not (a|the) tokenizer"):
            WordPieces(damaged, "here")

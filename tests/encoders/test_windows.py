from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.encoders.base import one_of
from equirouter.encoders.windows import (
    DEFAULT_WINDOW,
    MAX_PIECES,
    WINDOWS,
    Pieces,
    Tokenize,
    head_pieces,
    tail_pieces,
    window_pieces,
)
from equirouter.errors import ConfigError

LONG = 30_000
HARD_TEXTS = {
    "prose": "The quick brown fox, 12 years old, jumps over the lazy dog. " * 500,
    "code": "for(i=0;i<n;i++){a[i]+=b[i]*c[i];}\n\tif(x){return[SEP];}" * 500,
    "white space": ("word" + " \t\r\n" * 2_000) * 20,
    "white space, then one word": " " * LONG + "word",
    "one word": "x" * LONG,
    "one word, then prose": "x" * LONG + " and so on, and on." * 300,
    "words of 99 to 102 letters": " ".join("ab" * 49 + "c" * n for n in (1, 2, 3, 4)) * 300,
    "Chinese without spaces": "水为什么在四度时密度最大" * 2_000,
    "kana without spaces": "なぜこおりはみずにうくのか" * 2_000,
    "Hangul without spaces": "얼음은왜물에뜨나요" * 2_000,
    "Thai without spaces": "ทำไมน้ำแข็งจึงลอยน้ำ" * 1_500,
    "combining marks": "e\u0301\u0308tude " * 3_000,
    "only combining marks": "a" + "\u0301" * LONG,
    "marks on ideographs and signs": "水\u0301.\u0338=\u0338" * 3_000,
    "controls": "a\x00\x01b\x0bc\x0cd\x7f e\u0085f\u200bg\ufeffh\u00adi " * 1_500,
    "emoji": "🙂" * LONG,
    "emoji with joiners": "👩\u200d👩\u200d👧\ufe0f " * 3_000,
    "special tokens": "[SEP][CLS] [MASK]x[PAD][UNK][SE P][SEP" * 1_500,
    "exotic spaces": "a\u00a0b\u2003c\u3000d\u2028e" * 3_000,
    "letters other scripts keep": "ßİŒĳΩωЖжذضقहिन्दी\U0001d400" * 1_500,
}


@pytest.mark.parametrize("cut", [head_pieces, tail_pieces])
@pytest.mark.parametrize("kind", HARD_TEXTS)
def test_a_cut_text_has_the_pieces_of_the_whole(
    kind: str, cut: Callable[[str, Tokenize, int], Pieces], tokenize: Tokenize
) -> None:
    for shift in range(0, 30, 4):  # so that the cut falls on every kind of character
        text = HARD_TEXTS[kind][shift:]
        whole = tuple(tokenize(text))
        counts: list[int] = []

        def counting(part: str, counts: list[int] = counts) -> list[int]:
            counts.append(len(tokenize(part)))
            return tokenize(part)

        cut(text, counting, 1)
        # a wrong cut changes the pieces next to it, so ask for just as many as the slice has
        for limit in {254, *(n for n in range(counts[0] - 1, counts[0] + 2) if n > 0)}:
            expected = whole[:limit] if cut is head_pieces else whole[-limit:]
            assert cut(text, tokenize, limit) == expected


CHARACTERS = (
    "aZ9éßжกำํか가🙂水.,-_[](){}=、。\u0301\u0338\u0e31\x00\u200b\u00ad\ufe0f \t\n\r\u00a0\u3000"
)
WORDS = ("[SEP]", "[MASK]", "SEP]", "[SE", "word ", "antidisestablishmentarianism", "q" * 101)
ATOMS = st.sampled_from([*CHARACTERS, *WORDS])
RUNS = st.tuples(ATOMS, st.sampled_from([1, 1, 2, 5, 99, 101, 120, 700])).map(lambda p: p[0] * p[1])


@settings(max_examples=150)
@given(st.lists(RUNS, min_size=1, max_size=60).map("".join), st.integers(1, 254))
def test_cutting_never_changes_a_piece(tokenize: Tokenize, text: str, limit: int) -> None:
    whole = tuple(tokenize(text))
    assert head_pieces(text, tokenize, limit) == whole[:limit]
    assert tail_pieces(text, tokenize, limit) == whole[-limit:]


@settings(max_examples=100)
@given(st.text(min_size=1, max_size=60), st.integers(1, 60))
def test_any_unicode_text_may_be_cut(tokenize: Tokenize, text: str, repeats: int) -> None:
    text *= repeats
    whole = tuple(tokenize(text))
    assert head_pieces(text, tokenize, 20) == whole[:20]
    assert tail_pieces(text, tokenize, 20) == whole[-20:]


@pytest.mark.parametrize(
    "text",
    [
        "a few words, " * 15_400,
        "x" * 200_000,
        " " * 199_999 + "x",
        "水" * 200_000,
        "น้ำ" * 66_666,
        "\u0301" * 199_999 + "x",
        "a\u200b" * 100_000,
    ],
)
@pytest.mark.parametrize("window", WINDOWS)
def test_of_200_000_characters_few_are_tokenised(
    text: str, window: str, tokenize: Tokenize
) -> None:
    n_read = 0

    def counting(part: str) -> list[int]:
        nonlocal n_read
        n_read += len(part)
        return tokenize(part)

    windows = window_pieces(text, one_of("window named", window, WINDOWS), counting)
    assert n_read < 10_000  # doubling the slice, up to three times what one window needs
    assert all(0 < len(pieces) <= MAX_PIECES for pieces in windows)


def test_windows_of_a_short_text_are_the_same(tokenize: Tokenize) -> None:
    head, tail = window_pieces("one two three", "head+tail", tokenize)
    assert head == tail == tuple(tokenize("one two three"))


def test_windows_of_254_pieces_are_one_and_of_255_two(tokenize: Tokenize) -> None:
    # "go" is one piece, so n times "go " are n pieces
    head, tail = window_pieces("go " * 254, "head+tail", tokenize)
    assert head == tail
    assert len(head) == 254
    head, tail = window_pieces("stop " + "go " * 254, "head+tail", tokenize)
    assert head[:2] == tuple(tokenize("stop go"))
    assert tail == tuple(tokenize("go")) * 254


def test_an_unknown_window_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no window named 'middle': one of head, tail, head\+"):
        one_of("window named", "middle", WINDOWS)
    assert one_of("window named", DEFAULT_WINDOW, WINDOWS) == DEFAULT_WINDOW

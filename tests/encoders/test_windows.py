from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.encoders.windows import (
    DEFAULT_MAX_WINDOWS,
    DEFAULT_WINDOW,
    MAX_PIECES,
    OVERLAP,
    WINDOWS,
    Pieces,
    Tokenize,
    check_max_windows,
    check_window,
    head_pieces,
    spread_pieces,
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


@settings(max_examples=150, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=60).map("".join), st.integers(1, 254))
def test_cutting_never_changes_a_piece(tokenize: Tokenize, text: str, limit: int) -> None:
    whole = tuple(tokenize(text))
    assert head_pieces(text, tokenize, limit) == whole[:limit]
    assert tail_pieces(text, tokenize, limit) == whole[-limit:]


@settings(max_examples=100, deadline=None)
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

    windows = window_pieces(text, check_window(window), counting)
    # doubling the slice, up to three times what one window needs; "windows" looks twice
    assert n_read < 10_000 + 5_000 * (DEFAULT_MAX_WINDOWS if window == "windows" else 0)
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


def numbered(n: int) -> str:
    return "".join(f"{i} " for i in range(n))


def read_numbers(part: str) -> list[int]:
    return [int(word) for word in part.split()]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3_200))
def test_windows_cover_all_of_a_text(n: int) -> None:
    # with as many windows as it takes: 1 up to 254 pieces, then one more for every 190
    windows = spread_pieces(numbered(n), read_numbers, 20)
    assert len(windows) == 1 + -(-max(n - MAX_PIECES, 0) // (MAX_PIECES - OVERLAP))
    assert sorted({piece for window in windows for piece in window}) == list(range(n))
    assert {len(window) for window in windows} == {min(n, MAX_PIECES)}
    for earlier, later in pairwise(windows):
        assert OVERLAP <= earlier[-1] + 1 - later[0] < MAX_PIECES
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(windows)]
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_max_windows_bounds_what_is_read() -> None:
    assert DEFAULT_MAX_WINDOWS == 16
    # 254 + 15 x 190 = 3104: the windows begin at 0, 190, ..., 2850
    windows = spread_pieces(numbered(3104), read_numbers, 16)
    assert [window[0] for window in windows] == [190 * i for i in range(16)]
    windows = spread_pieces(numbered(3105), read_numbers, 16)
    assert len(windows) == 16
    windows = spread_pieces(numbered(5000), read_numbers, 16)
    assert len({piece for window in windows for piece in window}) <= 16 * 254


@pytest.mark.parametrize("max_windows", [2, 3, 16])
def test_a_text_too_long_to_cover_is_read_from_head_to_tail(max_windows: int) -> None:
    text = "".join(f"{i:05d} " for i in range(20_000))
    windows = spread_pieces(text, read_numbers, max_windows)
    assert len(windows) == max_windows
    assert windows[0] == tuple(range(254))
    assert windows[-1] == tuple(range(20_000 - 254, 20_000))
    # each but the last starts a part of 20,000 / max_windows words, to the next whole word
    starts = [window[0] for window in windows[:-1]]
    expected = [20_000 * i / max_windows for i in range(max_windows - 1)]
    assert all(0 <= start - place <= 1 for start, place in zip(starts, expected, strict=True))


@settings(max_examples=50, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=60).map("".join), st.integers(2, 5))
def test_windows_are_pieces_of_the_text_in_order(
    tokenize: Tokenize, text: str, max_windows: int
) -> None:
    windows = spread_pieces(text, tokenize, max_windows)
    assert 1 <= len(windows) <= max_windows
    assert windows[0] == head_pieces(text, tokenize)
    assert windows[-1] == tail_pieces(text, tokenize)


def test_a_part_without_pieces_is_left_out(tokenize: Tokenize) -> None:
    # of four parts, the second and the third begin in a word that ends with the text
    text = "one two " * 500 + "x" * 100_000
    whole = tuple(tokenize(text))
    assert len(whole) == 1001
    assert spread_pieces(text, tokenize, 4) == [whole[:254], whole[-254:]]


def test_an_unknown_window_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no window named 'middle': one of head, tail, head\+"):
        check_window("middle")
    assert check_window(DEFAULT_WINDOW) == DEFAULT_WINDOW


def test_max_windows_is_for_windows() -> None:
    assert check_max_windows("windows", None) == 16
    assert check_max_windows("windows", 2) == 2
    assert check_max_windows("head", None) is None
    for wrong in (1, 0, 2.5, "3"):
        with pytest.raises(ConfigError, match=r"max_windows=.*: a whole number of 2 or more"):
            check_max_windows("windows", wrong)
    with pytest.raises(ConfigError, match="max_windows=4 is for the window 'windows', not for 'h"):
        check_max_windows("head", 4)

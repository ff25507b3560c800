import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.encoders.prefix import SharedPrefixes, find_prefixes
from equirouter.errors import ConfigError, PipelineError

SYSTEM = "You are a careful assistant. " * 10  # 290 characters
SHOTS = {
    kind: f"Here is how {kind} is done.\n" + f"Question: {kind}?\nAnswer: {kind}!\n\n" * 12
    for kind in ("adding", "spelling", "naming")
}


def questions(n: int, opening: str = "Number") -> list[str]:
    return [f"{opening} {number:03d}, what is it?" for number in range(n)]


def test_each_task_has_its_prefix_and_the_stem_is_one_too() -> None:
    texts = [SYSTEM + shots + question for shots in SHOTS.values() for question in questions(12)]
    texts += [SYSTEM + "No examples here: " + question for question in questions(12)]
    prefixes = find_prefixes(texts)
    assert prefixes.texts == tuple(sorted([SYSTEM, *(SYSTEM + shots for shots in SHOTS.values())]))
    assert prefixes.drop(SYSTEM + SHOTS["naming"] + "Number 500?") == "Number 500?"
    assert prefixes.drop(SYSTEM + "A joke, please.") == "A joke, please."  # the stem alone
    assert prefixes.drop("Number 500?") == "Number 500?"
    assert prefixes.drop(SYSTEM[:-2] + "! Number 500?") == SYSTEM[:-2] + "! Number 500?"


def test_what_many_questions_begin_with_is_kept() -> None:
    texts = [f"What is the capital of land {i}? Answer in one word." for i in range(500)]
    assert find_prefixes(texts).texts == ()
    # nor behind a prefix, where "What is the capital of land " goes on for all of them
    longer = [SYSTEM + text for text in texts]
    prefixes = find_prefixes(longer)
    assert prefixes.texts == (SYSTEM,)
    assert [prefixes.drop(text) for text in longer] == texts


def test_an_opening_of_some_questions_behind_a_prefix_is_no_prefix_of_its_own() -> None:
    opening = "Look at the list. Think about it. Which of the following is right: "  # 2 sentences
    some = [SYSTEM + opening + question for question in questions(40, "item")]
    others = [SYSTEM + question for question in questions(40)]
    assert find_prefixes(some + others).texts == (SYSTEM,)


@pytest.mark.parametrize(
    ("shared", "dropped"),
    [
        ("First line.\nSecond li", "First line.\n"),
        ("One sentence. Two words", "One sentence. "),
        ("One question? Two words", "One question? "),
        ("它是一句话。第二", "它是一句话。"),
        ("Version 1.5 of it. Version 2.", "Version 1.5 of it. "),
        # nothing ends in the last 10 characters but a word
        ("A b. And many words without an end", "A b. And many words without an "),
        ("A b. Andmanywordswithoutanend", "A b. "),
    ],
)
def test_a_prefix_ends_where_a_line_a_sentence_or_a_word_does(shared: str, dropped: str) -> None:
    texts = [f"{shared}{letter} and on" for letter in "abcdefghij"]
    min_length = 10 if "many" in shared else 12
    prefixes = find_prefixes(texts, min_length=min(min_length, len(dropped)))
    assert prefixes.texts == (dropped,)


def test_how_many_texts_must_share_it() -> None:
    texts = [SYSTEM + question for question in questions(10)]
    assert find_prefixes(texts[:9]).texts == ()
    assert find_prefixes(texts).texts == (SYSTEM,)
    assert find_prefixes(texts[:9] * 5).texts == ()  # the same text again is not another one
    # 10 of 100 texts are 0.1 of them, and not more
    others = [f"{number} things" for number in range(90)]
    assert find_prefixes(texts + others, min_share=0.1).texts == (SYSTEM,)
    assert find_prefixes(texts + others, min_share=0.11).texts == ()


def test_how_long_it_must_be() -> None:
    texts = [SYSTEM + question for question in questions(10)]
    assert find_prefixes(texts, min_length=290).texts == (SYSTEM,)
    assert find_prefixes(texts, min_length=291).texts == ()


def test_few_or_no_texts_share_nothing() -> None:
    assert find_prefixes([]).texts == ()
    assert find_prefixes([SYSTEM]).texts == ()
    assert find_prefixes([SYSTEM] * 100).texts == ()


def test_something_to_read_is_left() -> None:
    prefixes = SharedPrefixes((SYSTEM, SYSTEM + "More. "))
    assert prefixes.drop(SYSTEM) == SYSTEM
    assert prefixes.drop(SYSTEM + " \n") == SYSTEM + " \n"
    assert prefixes.drop(SYSTEM + "More. ") == SYSTEM + "More. "
    assert prefixes.drop(SYSTEM + "x") == "x"


WORDS = st.sampled_from(["a ", "b ", "ab ", "Go. ", "No! ", "x\n", "水。", "é", " "])
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, max_size=40), st.integers(2, 5), st.integers(1, 8), st.randoms())
def test_what_is_found_is_shared_by_enough_texts_in_any_order(
    texts: list[str], min_count: int, min_length: int, order: random.Random
) -> None:
    prefixes = find_prefixes(texts, min_count=min_count, min_length=min_length)
    for prefix in prefixes.texts:
        assert len(prefix) >= min_length
        assert sum(text.startswith(prefix) for text in set(texts)) >= min_count
        shorter = [
            len(other) for other in prefixes.texts if prefix != other and prefix.startswith(other)
        ]
        assert len(prefix) - max(shorter, default=0) >= min_length
    shuffled = texts.copy()
    order.shuffle(shuffled)
    assert find_prefixes(shuffled, min_count=min_count, min_length=min_length) == prefixes


@settings(max_examples=200, deadline=None)
@given(st.sets(TEXTS, max_size=30), TEXTS)
def test_the_longest_prefix_is_dropped_and_never_the_whole(prefixes: set[str], text: str) -> None:
    rest = SharedPrefixes(tuple(sorted(prefixes))).drop(text)
    assert text.endswith(rest)
    longest = max((p for p in prefixes if text.startswith(p)), key=len, default="")
    left = text[len(longest) :]
    assert rest == (left if left.strip() else text)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS.filter(str.strip), min_size=2, max_size=30, unique=True))
def test_dropping_a_second_time_drops_nothing(questions: list[str]) -> None:
    prefixes = find_prefixes([SYSTEM + question for question in questions], min_count=2)
    rests = [prefixes.drop(SYSTEM + question) for question in questions]
    assert [prefixes.drop(rest) for rest in rests] == rests


@settings(max_examples=100, deadline=None)
@given(st.sets(st.text(min_size=1).filter(lambda t: t.isprintable()), max_size=20))
def test_the_state_gives_the_same_prefixes(prefixes: set[str]) -> None:
    kept = SharedPrefixes(tuple(sorted(prefixes)))
    state = kept.state()
    assert {name: array.dtype for name, array in state.items()} == {
        "prefix_bytes": np.uint8,
        "prefix_offsets": np.int64,
    }
    assert SharedPrefixes.restore(state) == kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prefix_offsets": None}, "found prefix_bytes"),
        ({"more": np.zeros(1)}, "found more, prefix_bytes"),
        ({"prefix_bytes": np.zeros(9)}, "float64"),
        ({"prefix_offsets": np.array([0, 4, 10])}, "from 0 to 9"),
        ({"prefix_offsets": np.array([0, 4, 4, 9])}, "do not grow"),
        ({"prefix_bytes": np.frombuffer(b"zzzzabcde", np.uint8)}, "not sorted"),
        ({"prefix_offsets": np.array([], dtype=np.int64)}, "damaged"),
        ({"prefix_bytes": np.full(9, 255, dtype=np.uint8)}, "utf-8"),
    ],
)
def test_a_damaged_state_is_refused(change: dict[str, np.ndarray | None], message: str) -> None:
    state = SharedPrefixes(("ABCD", "ABCDz")).state() | change
    with pytest.raises(PipelineError, match=message):
        SharedPrefixes.restore({name: a for name, a in state.items() if a is not None})


def test_parameters_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=r"min_share=1\.5"):
        find_prefixes([], min_share=1.5)
    with pytest.raises(ConfigError, match="min_count=1"):
        find_prefixes([], min_count=1)
    with pytest.raises(ConfigError, match="min_length=0"):
        find_prefixes([], min_length=0)
    with pytest.raises(ConfigError, match="not sorted"):
        SharedPrefixes(("b", "a"))

"""Templates with small edits are one query; another question is another one."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.data.query_table import read_queries
from equirouter.labelling.intake.alike import ALIKE, AlikeTexts, last_turn
from equirouter.labelling.intake.importing import import_log

WORDS = [f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)]


def alike(*texts: str, context: bytes = b"") -> list[int]:
    found = AlikeTexts()
    return [found.find_or_add(text, context, place) for place, text in enumerate(texts)]


def with_word(n: int, place: int, word: str = "other") -> str:
    return " ".join([*WORDS[:place], word, *WORDS[place + 1 : n]])


@pytest.mark.parametrize(("n", "is_one"), [(59, True), (58, False), (40, False), (150, True)])
def test_one_other_word_is_alike_where_nine_of_ten_runs_are_shared(n: int, is_one: bool) -> None:
    # n words have n - 2 runs of three; another word inside changes three of them: of n + 1 runs in
    # either text n - 5 are in both. 59 words: 54 / 60 = 0.9; 58 words: 53 / 59 = 0.898
    assert alike(" ".join(WORDS[:n]), with_word(n, 20)) == [0, 0 if is_one else 1]


def test_what_is_asked_at_the_ends_and_numbers_tell_texts_apart() -> None:
    text = " ".join(WORDS[:100])
    assert alike(text, with_word(100, 0)) == [0, 1]
    assert alike(text, with_word(100, 95)) == [0, 1]
    assert alike(f"{text} 5 {text}", f"{text} 6 {text}") == [0, 1]
    assert alike(text, text.upper() + "!") == [0, 0]


def test_another_question_among_the_same_examples_is_another_query() -> None:
    # 400 words are shared, and four in a row are others: 396 of 408 runs are shared
    text = " ".join(WORDS + WORDS[::-1])
    for n, is_one in ((3, True), (4, False)):
        other = " ".join([*WORDS, *WORDS[199:99:-1], *["new"] * n, *WORDS[99 - n :: -1]])
        assert alike(text, other) == [0, 0 if is_one else 1]
    # nor is one of two examples that is asked about the other one
    first, second, rest = (" ".join(WORDS[part : part + 50]) for part in (0, 50, 100))
    texts = [f"{first} {second} {one} {rest}" for one in (first, second)]
    assert alike(*texts) == [0, 1]


def test_of_several_that_are_alike_the_first_stands_for_all() -> None:
    text = " ".join(WORDS[:120])
    assert alike(text, with_word(120, 30), with_word(120, 60), with_word(120, 90)) == [0, 0, 0, 0]


def test_other_turns_and_pictures_must_be_the_same() -> None:
    said = {"role": "user", "content": "Hello"}
    picture = {"type": "image_url", "image_url": {"url": "data:,x"}}
    asked = {"role": "user", "content": [{"type": "text", "text": "a b"}, picture]}
    text, context = last_turn([{"role": "system", "content": "Monday"}, said, asked])
    assert text == "a b"
    assert last_turn([said, asked]) == (text, context)  # instructions do not count
    assert last_turn([asked])[1] != context
    assert last_turn([said, {"role": "user", "content": "a b"}])[1] != context
    assert last_turn([]) == ("", last_turn([{"role": "system"}])[1])


@settings(deadline=None)
@given(st.data())
def test_texts_that_are_folded_share_that_many_runs(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(WORDS[:30]), min_size=48, max_size=150))
    other = list(words)
    for place in data.draw(st.lists(st.integers(0, len(words) - 1), max_size=6)):
        other[place] = data.draw(st.sampled_from(WORDS[:30]))
    one, two = ({tuple(some[i : i + 3]) for i in range(len(some) - 2)} for some in (words, other))
    share = len(one & two) / len(one | two)
    is_folded = alike(" ".join(words), " ".join(other)) == [0, 0]
    ends = words[:8] == other[:8] and words[-8:] == other[-8:]
    if is_folded:
        assert ends
        assert share >= ALIKE
    if words == other:
        assert is_folded


def test_nearly_all_that_are_alike_are_found() -> None:
    rng = np.random.default_rng(5)
    found = AlikeTexts()
    folded = 0
    for pair in range(300):
        words = [WORDS[k] for k in rng.integers(len(WORDS), size=118)]
        words[50] = f"only{pair}"
        other = [*words]
        other[30], other[80] = "this", "that"  # 110 of 122 runs: 0.902
        found.find_or_add(" ".join(words), b"", 2 * pair)
        folded += found.find_or_add(" ".join(other), b"", 2 * pair + 1) == 2 * pair
    assert folded > 285


def test_an_import_folds_a_template_keeps_the_weights_and_says_the_rule(tmp_path: Path) -> None:
    texts = [with_word(100, 40, name) for name in ("Anna", "Berta", "Carla")]
    texts += [texts[1], "Is it larger?", "Is it smaller?"]
    log = tmp_path / "log.jsonl"
    rows = [{"messages": [{"role": "user", "content": text}]} for text in texts]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    report = import_log(log, tmp_path / "q.parquet")
    queries = read_queries(tmp_path / "q.parquet")
    assert [one.count for one in queries] == [4, 1, 1]
    assert sum(one.weight for one in queries) == 6
    assert report.summary.document()["folded"] == {
        "same_words": 1,
        "alike": 2,
        "alike_from": 0.9,
    }
    said = "\n".join(report.summary.lines())
    assert "3 queries; folded into them: 1 with the same words, 2 with a similar last turn" in said
    assert "90% of their runs of 3 words" in said
    assert max(map(len, said.splitlines())) <= 80


def test_time_grows_with_the_texts_alone() -> None:
    """A hundred thousand texts in a minute of one core, though all begin and end alike."""
    rng = np.random.default_rng(5)
    found = AlikeTexts()
    head, tail = " ".join(WORDS[:10]), " ".join(WORDS[-10:])
    texts = [
        f"{head} {' '.join(WORDS[k] for k in rng.integers(len(WORDS), size=80))} {tail}"
        for _ in range(2000)
    ]
    began = time.process_time()
    for number, text in enumerate(texts):
        found.find_or_add(text, b"", number)
    assert (time.process_time() - began) / len(texts) * 100_000 < 60

"""A log becomes a table of queries: folded, counted, drawn from; a damaged one is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.data.query_table import read_queries
from equirouter.errors import ConfigError, DataError, UnknownNameError
from equirouter.labelling.intake.alike import key_of
from equirouter.labelling.intake.importing import import_log
from equirouter.labelling.intake.sampling import drawn
from equirouter.labelling.intake.summary import writing_system


def said(text: object, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_requests_of_the_same_words_are_one_query_with_a_count(tmp_path: Path) -> None:
    log = written(
        tmp_path / "log.jsonl",
        [
            {"messages": [said("Monday", "system"), said("What is 2 + 3?")], "model": "small"},
            {"messages": [said("Tuesday", "system"), said("what is 3+2")], "answer": "5"},
            {"messages": [said("What is 2 + 4?")]},
            {"messages": [said("Hello"), said("Hi", "assistant"), said("What is 2 + 3?")]},
            {"messages": [said("What is 2 + 3?")], "answer": "five"},
        ],
    )
    report = import_log(log, tmp_path / "q.parquet")
    first, second, third = read_queries(tmp_path / "q.parquet")
    # of the first query the first request that was answered stands for it
    assert (first.query, first.answer, first.count, first.weight) == ("what is 3+2", "5", 3, 3.0)
    assert (second.query, second.count) == ("What is 2 + 4?", 1)
    assert (third.query, third.count) == ("What is 2 + 3?", 1)  # after another conversation
    assert (report.n_written, report.summary.n_requests, report.summary.n_queries) == (3, 5, 3)


def test_halves_of_characters_become_question_marks(tmp_path: Path) -> None:
    row = {
        "messages": [said("Hi \ud83d there")],
        "answer": "\udc00",
        "model": "m",
        "task": "t\ud83d",
    }
    import_log(written(tmp_path / "log.jsonl", [row]), tmp_path / "q.parquet")
    (asked,) = read_queries(tmp_path / "q.parquet")
    assert (asked.query, asked.answer, asked.task) == ("Hi ? there", "?", "t?")
    assert json.loads(asked.messages) == [said("Hi ? there")]


def test_keys_tell_apart_what_another_answer_belongs_to() -> None:
    base = [said("Is it larger?")]
    assert key_of(base) == key_of([said("is it LARGER")])
    assert key_of(base) != key_of([said("Is it smaller?")])
    picture = [said([{"type": "text", "text": "Is it larger?"}, {"type": "image_url"}])]
    assert key_of(base) != key_of(picture)
    assert key_of([said("a b")]) != key_of([said("a"), said("b")])
    assert key_of([said("?")]) != key_of([said("!")])  # without words a text is itself


def test_the_query_is_what_the_scope_reads(tmp_path: Path) -> None:
    talk = [said("Who wrote Faust?"), said("Goethe.", "assistant"), said("When?")]
    log = written(tmp_path / "log.jsonl", [{"messages": talk}])
    for scope, text in (
        ("last_user", "When?"),
        ("first_user", "Who wrote Faust?"),
        ("conversation", "Who wrote Faust?\n\nGoethe.\n\nWhen?"),
    ):
        import_log(log, tmp_path / "q.parquet", scope=scope)  # type: ignore[arg-type]
        [asked] = read_queries(tmp_path / "q.parquet")
        assert asked.query == text
        assert json.loads(asked.messages) == talk


def test_what_is_no_request_is_counted_and_said(tmp_path: Path) -> None:
    rows = [
        {"custom_id": "a", "url": "/v1/embeddings", "body": {"input": "x"}},
        {"custom_id": "b", "url": "/v1/chat/completions", "body": {"messages": [said("Hi")]}},
        {"custom_id": "c", "url": "/v1/chat/completions", "body": {"messages": []}},
    ]
    report = import_log(written(tmp_path / "log.jsonl", rows), tmp_path / "q.parquet")
    assert report.summary.left_out == {
        "calls of /v1/embeddings": 1,
        "without the text that was asked": 1,
    }
    assert "give both files" in report.hints[0]
    assert report.summary.n_requests == 1


def test_damaged_lines_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    good = json.dumps({"messages": [said("Hi")]})
    bad = json.dumps({"messages": [said("Hi")], "cost_usd": -1})
    log.write_text("\n".join([good, "{", bad, *["nonsense"] * 5]), "utf-8")
    with pytest.raises(DataError) as caught:
        import_log(log, tmp_path / "q.parquet")
    message = str(caught.value)
    assert message.startswith("7 records cannot be read, so nothing was written:")
    assert f"{log}: line 2: this is not JSON" in message
    assert "'cost_usd' is '-1', a number of at least 0 is expected" in message
    assert "and 2 more" in message
    assert not (tmp_path / "q.parquet").exists()


def test_a_log_without_texts_says_which_setting_keeps_them(tmp_path: Path) -> None:
    rows = [{"call_type": "acompletion", "spend": 0.1, "messages": {}, "response": {}}]
    with pytest.raises(DataError, match="store_prompts_in_spend_logs: true"):
        import_log(written(tmp_path / "log.jsonl", rows), tmp_path / "q.parquet")


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    log = written(tmp_path / "log.jsonl", [{"messages": [said("Hi")]}])
    with pytest.raises(UnknownNameError, match="no log format 'lifelog'; known: openai-batch"):
        import_log(log, tmp_path / "q.parquet", format_name="lifelog")
    with pytest.raises(ConfigError, match="sample is 0"):
        import_log(log, tmp_path / "q.parquet", sample=0)
    with pytest.raises(DataError, match=r"written as \.parquet"):
        import_log(log, tmp_path / "q.csv")


def test_a_sample_has_its_share_of_every_task_and_the_same_seed_the_same_one(
    tmp_path: Path,
) -> None:
    pytest.importorskip("sklearn")
    rows = [
        {"messages": [said(f"{task} number {i}")], "task": task}
        for task, n in (("sums", 60), ("poems", 30), ("rare", 10))
        for i in range(n)
    ]
    log = written(tmp_path / "log.jsonl", rows)
    report = import_log(log, tmp_path / "q.parquet", sample=20)
    drawn_first = read_queries(tmp_path / "q.parquet")
    tasks = [asked.task for asked in drawn_first]
    assert [tasks.count(task) for task in ("sums", "poems", "rare")] == [12, 6, 2]
    assert sum(asked.weight for asked in drawn_first) == pytest.approx(100)
    assert (report.n_written, report.summary.n_queries) == (20, 100)
    import_log(log, tmp_path / "again.parquet", sample=20)
    assert read_queries(tmp_path / "again.parquet") == drawn_first
    import_log(log, tmp_path / "all.parquet", sample=100)
    assert len(read_queries(tmp_path / "all.parquet")) == 100


@given(
    counts=st.lists(st.integers(1, 1000), min_size=1, max_size=60),
    n=st.integers(1, 70),
    seed=st.integers(0, 5),
)
def test_weights_add_up_to_all_requests(counts: list[int], n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = np.array(counts, dtype=np.int64)
    clusters = rng.integers(3, size=len(counts))
    weights = drawn(array, ["a"] * len(counts), clusters, n, rng)
    assert weights.sum() == pytest.approx(array.sum())
    assert (weights > 0).sum() == min(n, len(counts))
    # nobody stands for fewer requests than its own
    assert (weights[weights > 0] >= array[weights > 0] - 1e-9).all()


def test_every_request_is_as_likely_to_be_stood_for() -> None:
    counts = np.array([1, 1, 2, 6], dtype=np.int64)
    total = np.zeros(4)
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        total += drawn(counts, ["b", "a", "b", "a"], np.zeros(4, dtype=np.int64), 2, rng)
    # unbiased: on average each query weighs its own requests; standard error below 0.05
    np.testing.assert_allclose(total / 2000, counts, atol=0.2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, wie geht's?", "Latin"),
        ("Привет, мир (hello)", "Cyrillic"),
        ("你好", "Han"),
        ("漢字とかな", "Japanese"),
        ("안녕", "Hangul"),
        ("2 + 2 = ?", "none"),
    ],
)
def test_writing_systems(text: str, found: str) -> None:
    assert writing_system(text) == found

"""LLMRouterBench's tree of files, made here after its public schema."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data import load_dataset, split_outcomes, write_table
from equirouter.data.sources.llmrouterbench import LLMRouterBench
from equirouter.errors import ConfigError, DataError

NAN = float("nan")


def record(index: int, score: Any, cost: Any = 0.01, **changed: Any) -> dict[str, Any]:
    return {
        "index": index,
        "origin_query": f"question {index}",
        "prompt": f"Question: question {index}\nAnswer:",
        "prediction": "4",
        "ground_truth": "4",
        "score": score,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "cost": cost,
        "raw_output": "The answer is 4.",
    } | changed


def write(root: Path, where: str, records: list[dict[str, Any]], **changed: Any) -> Path:
    """where: BENCHMARK/SPLIT/MODEL. changed: timestamp, and fields of the document."""
    dataset, split, model = where.split("/")
    stamp = changed.pop("stamp", "20251101_120000")
    path = root / where / f"{dataset}_{split}_{model}_{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "performance": 0.5,
        "time_taken": 1.0,
        "prompt_tokens": 2000,
        "completion_tokens": 200,
        "cost": 0.02,
        "counts": len(records),
        "model_name": model,
        "dataset_name": dataset,
        "split": split,
        "demo": False,
        "records": records,
    }
    path.write_text(json.dumps(document | changed), "utf-8")
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Two flagship models on two benchmarks, one of which one model lacks a query of."""
    root = tmp_path / "results" / "bench"
    write(root, "aime/hybrid/gpt-5", [record(1, 1.0), record(2, 0.0, cost=0)])
    write(root, "aime/hybrid/glm-4.6", [record(1, 0.0, cost=0.002), record(2, None, cost=0.003)])
    write(root, "gpqa/test/gpt-5", [record(1, 1)])
    write(root, "gpqa/test/glm-4.6", [record(1, 1, cost=0, completion_tokens=0, prompt_tokens=0)])
    write(root, "gpqa/test/Qwen3-8B", [record(1, 0, cost=0)])
    return root


def test_outcomes_of_a_query_are_joined_across_files(bench: Path) -> None:
    table = load_dataset(f"llmrouterbench:path={bench}")
    assert table.name == "llmrouterbench"
    assert table.models == ("glm-4.6", "gpt-5")
    assert table.query_ids == ("aime/hybrid/1", "aime/hybrid/2", "gpqa/test/1")
    assert table.tasks == ("aime", "aime", "gpqa")
    assert table.texts == ("question 1", "question 2", "question 1")
    expected = np.array([[0, 1], [NAN, 0], [1, 1]])
    assert np.array_equal(table.performance, expected, equal_nan=True)


def test_a_cost_of_nothing_is_worked_out_from_tokens_or_not_known(bench: Path) -> None:
    table = LLMRouterBench().load(bench)
    # gpt-5: 1000 x 1.25 + 100 x 10 = 2250 per million; glm-4.6 without tokens: not known.
    expected = [[0.002, 0.01], [0.003, 0.00225], [NAN, 0.01]]
    np.testing.assert_allclose(table.cost_usd, expected)
    notes = " ".join(table.notes)
    assert "1 calls with a cost of 0 or none are priced by their tokens" in notes
    assert "1 calls have no cost, no price or no tokens" in notes
    assert "1 queries lack the score of some models" in notes


def test_open_models_are_priced_by_size(bench: Path) -> None:
    table = LLMRouterBench(pool="open").load(bench)
    assert (table.name, table.models) == ("llmrouterbench-open", ("Qwen3-8B",))
    assert table.cost_usd[0, 0] == pytest.approx(1100 * 0.2e-6)  # as Mistral 7B
    assert LLMRouterBench(pool="all").load(bench).n_models == 3


def test_the_archive_is_read_without_unpacking_it(bench: Path, tmp_path: Path) -> None:
    (bench / "aime" / "._hidden.json").write_text("resource fork")
    with tarfile.open(tmp_path / "bench-release.tar.gz", "w:gz") as tar:
        tar.add(bench, "bench-release")
    table = LLMRouterBench().load(tmp_path / "bench-release.tar.gz")
    assert sorted(table.query_ids) == ["aime/hybrid/1", "aime/hybrid/2", "gpqa/test/1"]
    damaged = (tmp_path / "bench-release.tar.gz").read_bytes()[:-200]
    (tmp_path / "bench-release.tar.gz").write_bytes(damaged)
    with pytest.raises(DataError, match=r"bench-release\.tar\.gz: the archive is damaged"):
        LLMRouterBench().load(tmp_path / "bench-release.tar.gz")


def test_the_latest_of_several_runs_counts_and_demonstrations_do_not(bench: Path) -> None:
    write(bench, "gpqa/test/gpt-5", [record(1, 0)], stamp="20251101_120001")
    write(bench, "gpqa/test/gpt-5", [record(1, 0.25)], stamp="20240101_000000")
    write(bench, "gpqa/test/gpt-5", [record(1, 0.5)], stamp="20261101_120001", demo=True)
    table = LLMRouterBench().load(bench)
    assert table.performance[2].tolist() == [1, 0]
    notes = " ".join(table.notes)
    assert "2 files are older" in notes
    assert "1 files of demonstration runs" in notes


def test_models_that_disagree_about_a_query_do_not_share_it(bench: Path) -> None:
    write(bench, "hle/test/gpt-5", [record(7, 1, origin_query="", prompt="the prompt")])
    write(bench, "hle/test/glm-4.6", [record(7, 0, origin_query=["a", "list"])])
    table = LLMRouterBench().load(bench)
    assert table.query_ids[-2:] == ("hle/test/7", "hle/test/7#2")
    assert set(table.texts[-2:]) == {"the prompt", '["a", "list"]'}
    assert np.isnan(table.performance[-2:]).sum() == 2


def test_it_survives_as_an_outcomes_table(bench: Path, tmp_path: Path) -> None:
    table = LLMRouterBench().load(bench)
    write_table(table, tmp_path / "t.jsonl")
    assert load_dataset(tmp_path / "t.jsonl").equals(table)


def test_whole_benchmarks_are_held_out(tmp_path: Path) -> None:
    for dataset in ("aime", "gpqa", "hle"):
        for model in ("gpt-5", "glm-4.6"):
            asked = [record(i, i % 2, origin_query=f"{dataset} {i}") for i in range(9)]
            write(tmp_path, f"{dataset}/test/{model}", asked)
    table = LLMRouterBench().load(tmp_path)
    split = split_outcomes(table, "ood")
    assert [len({table.tasks[i] for i in part}) for part in (split.train, split.test)] == [1, 1]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a score that is text": ({"score": "good"}, "record 1: score is 'good', a number is expected"),
    "a score beyond every float": ({"score": 10**400}, "record 1: score is 1000"),
    "a cost that is text": ({"cost": "free"}, "record 1: cost is 'free', a number is expected"),
    "a cost below zero": ({"cost": -1}, "record 1: cost is -1.0, USD of one call is expected"),
    "tokens below zero": ({"cost": 0, "prompt_tokens": -5}, "record 1: tokens are [-5.0, 100.0]"),
    "no query": (
        {"origin_query": "", "prompt": None},
        "record 1: origin_query and prompt are both",
    ),
    "an index that is text": ({"index": "x"}, "record 1: index is 'x', a whole number is expected"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_in_a_record(bench: Path, case: str) -> None:
    changed, message = WRONG[case]
    path = write(bench, "hle/test/gpt-5", [record(1, 1) | changed])
    with pytest.raises(DataError) as caught:
        LLMRouterBench().load(bench)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_what_is_wrong_in_a_file(bench: Path) -> None:
    path = write(bench, "hle/test/gpt-5", [record(1, 1)] * 2)
    with pytest.raises(DataError, match="hle/test/gpt-5: index 1 occurs twice"):
        LLMRouterBench().load(bench)
    path.write_text('{"records": ')
    with pytest.raises(DataError, match=r"gpt-5_20251101_120000\.json: this is not JSON: .*line 1"):
        LLMRouterBench().load(bench)
    path.write_text("[]")
    with pytest.raises(DataError, match="expected an object with a list of records"):
        LLMRouterBench().load(bench)
    path.write_text('{"records": [1], "split": "", "model_name": "gpt-5"}')
    with pytest.raises(DataError, match="split is ''; expected it in the file, or the file in BEN"):
        LLMRouterBench().load(bench)
    path.write_text('{"records": [1]}')
    with pytest.raises(DataError, match="record 1: found 1, an object is expected"):
        LLMRouterBench().load(bench)


def test_what_is_wrong_in_a_tree(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pool is 'flagships': did you mean 'flagship'"):
        load_dataset(f"llmrouterbench:pool=flagships:path={bench}")
    with pytest.raises(DataError, match="there is no such file or folder"):
        LLMRouterBench().load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"no results of the pool 'flagship'; found no \.json files"
    ):
        LLMRouterBench().load(tmp_path / "empty")
    with pytest.raises(
        DataError, match="no results of the pool 'flagship'; found Qwen3-8B; another"
    ):
        LLMRouterBench().load(bench / "gpqa" / "test" / "Qwen3-8B")
    (tmp_path / "t.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"expected a folder, a \.tar\.gz, a \.zip or a \.json file"
    ):
        LLMRouterBench().load(tmp_path / "t.txt")


def test_models_without_a_common_query_cannot_be_compared(tmp_path: Path) -> None:
    write(tmp_path, "aime/test/gpt-5", [record(1, 1)])
    write(tmp_path, "gpqa/test/glm-4.6", [record(1, 1)])
    with pytest.raises(DataError, match="no query has the score of every model"):
        LLMRouterBench().load(tmp_path)

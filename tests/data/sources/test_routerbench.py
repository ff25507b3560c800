"""RouterBench's files, made here after their public schema, and how data sets are named."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from equirouter.data import Outcomes, load_dataset, write_table
from equirouter.data.sources.by_name import Dataset, make_dataset
from equirouter.data.sources.hub import fetch
from equirouter.data.sources.routerbench import RouterBench0Shot, RouterBench5Shot, RouterBenchRaw
from equirouter.errors import DataError, DownloadError, UnknownNameError
from equirouter.registry import DATASETS

NAN = float("nan")
MODELS = ["WizardLM/WizardLM-13B-V1.2", "gpt-3.5-turbo-1106", "gpt-4-1106-preview"]


def wide_frame() -> Any:
    """Three rows of the wide files: objects, mixed cells, a repeated id, answers, an oracle."""
    columns: dict[str, Any] = {
        "sample_id": ["mmlu-sociology.val.78", "mbpp.9", "mbpp.9"],
        "prompt": ["['Which?\\nA) x', \"it's\"]", "['first']", "['second']"],
        "eval_name": ["mmlu-sociology", "mbpp", "mbpp"],
        MODELS[0]: [0.0, "0.25", ""],
        MODELS[1]: ["1.0", 0.5, 0.75],
        MODELS[2]: [1.0, None, "0.9"],
    }
    for model in MODELS:
        columns[f"{model}|model_response"] = ["['A']", "['B']", ""]
    for j, model in enumerate(MODELS):
        columns[f"{model}|total_cost"] = np.array([0.001, 0.002, NAN]) * (j + 1)
    columns["oracle_model_to_route_to"] = [MODELS[1], MODELS[1], "no_model_correct"]
    objects = {name: object for name in columns if not name.endswith("|total_cost")}
    return pd.DataFrame(columns).astype(objects)


def raw_frame() -> Any:
    """The raw file: one row per query and model, performance as text."""
    rows = [
        (i * 2 + j, f"arc.{i}", f"['question {i}']", "arc-challenge", str(score), "['A']", model)
        for i, scores in enumerate([(0.0, 1.0), (1.0, 1.0)])
        for j, (model, score) in enumerate(zip(MODELS[:2], scores, strict=True))
    ]
    names = ["index", "sample_id", "prompt", "eval_name", "performance", "model_response"]
    table = pd.DataFrame(rows, columns=[*names, "model_name"]).astype(object)
    return table.assign(cost=[0.001, 0.002, 0.003, 0.004])


def as_published(table: Any, path: Path) -> Path:
    """Pickled, with the module names of numpy 1, of which the published files are."""
    content = pickle.dumps(table, 3).replace(b"numpy._core.multi", b"numpy.core.multi")
    path.write_bytes(content)
    return path


def check_wide(table: Outcomes) -> None:
    assert table.name == "routerbench-5shot"
    assert table.query_ids == ("mmlu-sociology.val.78", "mbpp.9", "mbpp.9#2")
    assert table.texts == ("Which?\nA) x\nit's", "first", "second")
    assert table.tasks == ("mmlu-sociology", "mbpp", "mbpp")
    assert table.models == tuple(MODELS)
    expected = [[0.0, 1.0, 1.0], [0.25, 0.5, NAN], [NAN, 0.75, 0.9]]
    assert np.array_equal(table.performance, expected, equal_nan=True)
    assert table.cost_usd[0].tolist() == [0.001, 0.002, 0.003]
    assert np.isnan(table.cost_usd[2]).all()
    assert table.notes[-1].startswith("2 queries lack outcomes of some models")


def test_the_wide_file_in_every_format(tmp_path: Path) -> None:
    frame = wide_frame()
    check_wide(RouterBench5Shot().load(as_published(frame, tmp_path / "copy.pkl")))
    frame.to_csv(tmp_path / "copy.csv", index=False)
    check_wide(RouterBench5Shot().load(tmp_path / "copy.csv"))
    frame.astype(dict.fromkeys(MODELS, "str")).to_parquet(tmp_path / "copy.parquet")
    check_wide(RouterBench5Shot().load(tmp_path / "copy.parquet"))


def test_answers_are_read_out_of_the_responses(tmp_path: Path) -> None:
    copy = as_published(wide_frame(), tmp_path / "copy.pkl")
    dataset, _ = make_dataset("routerbench-5shot:answers_by=exact")
    answers = dataset.load(copy).answers
    assert answers is not None
    assert answers.to_lists() == [["A"] * 3, ["B"] * 3, [""] * 3]  # no list is left around them
    assert RouterBench5Shot().load(copy).answers is None


def test_a_folder_that_holds_the_file(tmp_path: Path) -> None:
    as_published(wide_frame(), tmp_path / "routerbench_0shot.pkl")
    assert RouterBench0Shot().load(tmp_path).n_queries == 3
    with pytest.raises(DataError, match=r"routerbench_5shot\.pkl: there is no such file"):
        RouterBench5Shot().load(tmp_path)


def test_the_raw_file(tmp_path: Path) -> None:
    table = RouterBenchRaw().load(as_published(raw_frame(), tmp_path / "raw.pkl"))
    assert table.name == "routerbench-raw"
    assert table.query_ids == ("arc.0", "arc.1")
    assert table.texts == ("question 0", "question 1")
    assert table.models == tuple(MODELS[:2])
    assert table.performance.tolist() == [[0, 1], [1, 1]]
    assert table.cost_usd.tolist() == [[0.001, 0.002], [0.003, 0.004]]


def test_the_same_prompt_twice_is_an_error(tmp_path: Path) -> None:
    frame = pd.concat([wide_frame(), wide_frame()[:1]])
    with pytest.raises(DataError, match=r"data row 4.*same prompt in data row 1"):
        RouterBench5Shot().load(as_published(frame, tmp_path / "copy.pkl"))


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_is_one(name: str) -> None:
    dataset = DATASETS.load(name)()
    assert isinstance(dataset, Dataset)
    assert dataset.name == name
    assert dataset.description
    assert all(len(file.commit) == 40 for file in getattr(dataset, "files", ()))


def test_without_a_network_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"routerbench_5shot\.pkl.*give its path"):
        fetch(RouterBench5Shot().files[0])


def test_a_name_or_a_path(tmp_path: Path) -> None:
    numbers = np.array([[0.5], [7.0]])
    table = Outcomes(
        ("a", "b"), ("x", "y"), ("t", "t"), ("m",), numbers, numbers, performance_range=(0, 9)
    )
    write_table(table, tmp_path / "mine.csv")
    assert load_dataset(tmp_path / "mine.csv", performance_range=(0, 9)).equals(table)
    assert load_dataset("simulated").name == "simulated"


def test_neither_a_name_nor_a_path() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_dataset("routerbench-5shots")
    message = str(caught.value)
    assert "no file of that path was found" in message
    assert "did you mean 'routerbench-5shot'?" in message
    assert "simulated" in message


def test_importing_the_data_package_loads_nothing_heavy() -> None:
    heavy = "torch", "onnxruntime", "sklearn", "pandas", "huggingface_hub"
    code = (
        "import sys, equirouter.data, equirouter.data.tables, equirouter.data.sources.routerbench\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

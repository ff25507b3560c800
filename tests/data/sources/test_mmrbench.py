"""MMR-Bench's table and folders of images, made here after their public schema."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from equirouter.data import load_dataset, split_outcomes, write_table
from equirouter.data.sources.mmrbench import MMRBench
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.published import published_for

NAN = float("nan")
HEAD = ["dataset_idx", "question", "answer"]
MODELS = ["GeminiPro2-5", "gpt-5-2025-08-07"]
ROWS = [
    ["MathVerse_0", "What is x?", "3", "True", "0.01", "x is 3", "1", "0.02", "3"],
    ["SEEDBench2_Plus_17", "Which sign?", "A", "", "0.01", "", "0", "", "B"],
    ["OCRBench_a_5", "", "STOP", "0.0", "0.03", "GO", "1.0", "0.04", "STOP"],
]
IMAGES = ["MathVerse/0.jpg", "SEEDBenchv2Plus/17.png", "OCRBench/a_5.webp"]


def copy(folder: Path, rows: list[list[str]], head: list[str] | None = None) -> Path:
    names = HEAD + [f"{model}_{what}" for model in MODELS for what in ("correct", "cost", "predic")]
    with (folder / "MMR-Bench.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([head or names, *rows])
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    for image in IMAGES:
        (tmp_path / image).parent.mkdir(exist_ok=True)
        (tmp_path / image).write_bytes(b"a picture")
    return copy(tmp_path, ROWS)


def test_the_folder_is_read_as_it_is(bench: Path) -> None:
    table = load_dataset(f"mmr-bench:path={bench}")
    assert table.name == "mmr-bench"
    assert table.query_ids == ("MathVerse_0", "SEEDBench2_Plus_17", "OCRBench_a_5")
    assert table.tasks == ("MathVerse", "SEEDBench2_Plus", "OCRBench")
    assert table.texts == ("What is x?", "Which sign?", "")  # the picture asks
    assert table.models == tuple(MODELS)
    expected = np.array(
        [[1, 1], [NAN, 0], [0, 1]]
    )  # nothing is put in the place of what is missing
    assert np.array_equal(table.performance, expected, equal_nan=True)
    costs = np.array([[0.01, 0.02], [0.01, NAN], [0.03, 0.04]])
    assert np.array_equal(table.cost_usd, costs, equal_nan=True)
    assert table.image_paths == tuple(IMAGES)
    assert table.images == tuple(str(bench / image) for image in IMAGES)
    assert "1 query lacks outcomes" in table.notes[-1]


def test_where_the_folder_lies_is_no_part_of_the_fingerprint(
    bench: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("another") / "folder"
    shutil.copytree(bench, other)
    here, there = MMRBench().load(bench), MMRBench().load(other)
    assert here.fingerprint == there.fingerprint
    assert here.images != there.images
    (other / IMAGES[0]).rename(other / "MathVerse" / "0.png")  # another file, another table
    assert MMRBench().load(other).fingerprint != here.fingerprint


def test_the_table_alone_under_its_other_name(bench: Path) -> None:
    (bench / "MMR-Bench.csv").rename(bench / "MMR_Bench.csv")
    assert MMRBench().load(bench).equals(MMRBench().load(bench / "MMR_Bench.csv"))


def test_the_questions_alone(bench: Path) -> None:
    copy(bench, ROWS[:2])
    (bench / IMAGES[0]).unlink()
    table = load_dataset(f"mmr-bench:images=false:path={bench}")
    assert table.image_paths is None
    assert table.n_queries == 2
    with pytest.raises(ConfigError, match="images is 'no': expected true or false"):
        load_dataset(f"mmr-bench:images=no:path={bench}")


def test_missing_images_are_counted_and_five_are_named(bench: Path) -> None:
    rows = [[f"MMStar_{number}", *ROWS[0][1:]] for number in range(7)]
    copy(bench, [*ROWS, *rows])
    with pytest.raises(DataError) as caught:
        MMRBench().load(bench)
    message = str(caught.value)
    assert f"{bench}: 7 of 10 images are missing: {bench / 'MMStar' / '0.jpg'}, " in message
    assert f"{bench / 'MMStar' / '4.jpg'} and 2 more" in message
    assert "5.jpg" not in message
    assert "mmr-bench:images=false" in message


def test_it_survives_as_an_outcomes_table(bench: Path, tmp_path: Path) -> None:
    table = MMRBench().load(bench)
    write_table(table, tmp_path / "t.parquet")
    assert load_dataset(tmp_path / "t.parquet").equals(table)


def test_whole_tasks_are_held_out(tmp_path: Path) -> None:
    tasks = ["MathVerse", "MathVision", "MathVista", "OCRBench"]
    rows = [[f"{task}_{n}", f"{task} {n}", *ROWS[0][2:]] for task in tasks for n in range(10)]
    table = MMRBench(images=False).load(copy(tmp_path, rows))
    split = split_outcomes(table, "ood")
    parts = [{table.tasks[i] for i in part} for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == 4
    with pytest.raises(DataError, match="needs at least 3 tasks, found 2"):
        split_outcomes(MMRBench(images=False).load(copy(tmp_path, rows[10:30])), "ood")


def test_the_papers_figures_belong_to_it() -> None:
    published = published_for(MMRBench.name)
    assert published is not None
    assert "MMR-Bench" in published.source


def test_what_is_wrong_in_the_columns(bench: Path) -> None:
    cases: list[tuple[list[str], str]] = [
        (["dataset_idx", "question", "a_correct"], "model 'a' has no column 'a_cost'"),
        (["dataset_idx", "question", "a_cost"], "no columns MODEL_correct and MODEL_cost; found"),
        (["dataset_idx", "a_cost", "a_correct"], "no column 'question' (what is asked"),
        (["question", "a_cost", "a_correct"], "no column 'dataset_idx' (the name of the query)"),
        (["a_correct", "a_cost", "b_cost"], "model 'b' has no column 'b_correct'"),
    ]
    for head, message in cases:
        copy(bench, [["1", "1", "1"][: len(head)]], head)
        with pytest.raises(DataError) as caught:
            MMRBench().load(bench)
        assert message in str(caught.value)


def test_what_is_wrong_in_a_cell(bench: Path) -> None:
    def changed(column: int, value: str) -> list[list[str]]:
        return [ROWS[0], [value if i == column else cell for i, cell in enumerate(ROWS[1])]]

    cases: list[tuple[int, str, str]] = [
        (0, "MathVista", "data row 2, column 'dataset_idx': found 'MathVista'; expected one of"),
        (0, "ChartQA_1", "data row 2, column 'dataset_idx': found 'ChartQA_1'; expected one of"),
        (0, "", "data row 2, column 'dataset_idx': the cell is empty"),
        (0, "MathVerse_0", "query id 'MathVerse_0' occurs twice"),
        (3, "yes", "column 'GeminiPro2-5_correct': found 'yes', a number is expected"),
        (3, "2", "column 'GeminiPro2-5_correct': found 2; expected a number from 0 to 1"),
        (4, "-1", "column 'GeminiPro2-5_cost': found -1; expected the cost of one call"),
    ]
    for column, value, message in cases:
        copy(bench, changed(column, value))
        with pytest.raises(DataError) as caught:
            MMRBench().load(bench)
        assert message in str(caught.value), value


def test_what_is_wrong_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no MMR-Bench\.csv or MMR_Bench\.csv"):
        MMRBench().load(tmp_path)
    with pytest.raises(DataError, match="there is no such file"):
        MMRBench().load(tmp_path / "MMR-Bench.csv")
    (tmp_path / "MMR-Bench.csv").write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        MMRBench().load(tmp_path)

"""ZeroEval's files, made here after their public form, and the rules of its grader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data import load_dataset
from equirouter.data.sources.zeroeval import ZeroEval, final_answer, is_correct
from equirouter.errors import DataError

LARGE, SMALL = "gpt-4o-2024-08-06", "gemma-2-27b-it"
TRUTH = {"gsm": "# 1,200", "crux": "'ab'", "math-l5": "7"}
RIGHT = {"gsm": "1200", "crux": "ab", "math-l5": "7"}


def row(task: str, number: int, answer: str) -> dict[str, Any]:
    asked = "problem" if task == "math-l5" else "question"
    return {
        "id": number if task == "math-l5" else f"{task}-#{number}",
        asked: f"{task} question {number}",
        "chat_history": ["p" * 400],
        "output": ["```json\n" + json.dumps({"reasoning": "r", "answer": answer}) + "\n```"],
        "answer": TRUTH[task],
    }


def write(clone: Path, task: str, model: str, rows: list[dict[str, Any]]) -> None:
    path = clone / "result_dirs" / task / f"{model}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), "utf-8")


def clone(folder: Path) -> Path:
    for task, right in RIGHT.items():
        write(folder, task, LARGE, [row(task, n, right) for n in (0, 1)])
        name = SMALL + "@together" if task == "gsm" else SMALL
        write(folder, task, name, [row(task, n, right if n else "no") for n in (1, 0)])
        write(folder, task, "o1-mini-2024-09-12", [row(task, 0, right)])
    write(folder, "gsm", "only-gsm-7b", [row("gsm", 0, "1200")])
    return folder


def test_models_of_every_task_are_graded_and_priced(tmp_path: Path) -> None:
    table = load_dataset(f"zeroeval:path={clone(tmp_path)}")
    assert table.name == "zeroeval"
    assert table.models == (SMALL, LARGE)  # by the name that the model has in the other files
    assert table.tasks == ("gsm", "gsm", "crux", "crux", "math-l5", "math-l5")
    assert set(table.query_ids) >= {"gsm/gsm-#0", "math-l5/1"}
    by_id = dict(zip(table.query_ids, table.performance.tolist(), strict=True))
    assert by_id == {name: [float(name.endswith("1")), 1.0] for name in table.query_ids}
    assert table.input_tokens is not None
    assert table.output_tokens is not None
    assert (table.input_tokens == 100).all()  # 400 bytes
    # the answers of 47 to 50 bytes are 12 or 13 tokens
    expected = (100 * 2.5 + table.output_tokens[:, 1] * 10) / 1e6
    np.testing.assert_allclose(table.cost_usd[:, 1], expected)
    notes = " ".join(table.notes)
    assert "left out, without a file of every task: only-gsm-7b" in notes
    assert "left out, no price is known: o1-mini-2024-09-12" in notes


def test_an_answer_that_a_file_lacks_is_not_known(tmp_path: Path) -> None:
    write(clone(tmp_path), "crux", SMALL, [row("crux", 0, "ab")])
    table = ZeroEval().load(tmp_path)
    lacking = table.query_ids.index("crux/crux-#1")
    assert np.isnan(table.performance[lacking]).tolist() == [True, False]
    assert np.isnan(table.cost_usd[lacking]).tolist() == [True, False]
    assert "1 query lacks outcomes of some models" in table.notes[-1]


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ('{"reasoning": "x", "answer": "42"}', "42"),
        ('{"reasoning": "x", "answer": 42}', "42"),
        ('First {"answer": "1"}, then {"answer": "2"}', "1"),
        ('{"reasoning": "two\nlines", "answer": "42"}', "42"),
        (r'{"reasoning": "\(x\)", "answer": "42"}', "42"),  # no JSON, as "\(" is no escape
        ('{"reasoning": "cut off", "answer": 42', "42"),
        ("answer: 42", "42"),
        (r"So it is $\boxed{42}$", "42"),
        ("It is 42.", None),
        ("", None),
    ],
)
def test_the_final_answer_of_an_output(output: str, answer: str | None) -> None:
    assert final_answer(output) == answer


@pytest.mark.parametrize(
    ("task", "answer", "truth", "right"),
    [
        ("gsm", "$1,200 a week", "# 1,200", True),
        ("gsm", "1200.0", "# 1,200", True),
        ("gsm", "-1200", "# 1,200", False),
        ("gsm", "about", "# 1,200", False),
        ("gsm", "1/2", "# 0.5", True),
        ("gsm", "1/0", "# 1", True),  # no quotient: the first number
        ("math-l5", "7 or 8", "7", True),
        ("math-l5", None, "7", False),
        ("crux", "ab", "'ab'", True),
        ("crux", '"ab"', "'ab'", True),
        ("crux", "a\nb", "'a\\nb'", True),
        ("crux", "[1,2]", "[1, 2]", False),  # the same text, not the same value
        ("crux", "", "''", True),
    ],
)
def test_right_and_wrong(task: str, answer: str | None, truth: str, right: bool) -> None:
    assert is_correct(task, answer, truth) is right


def test_without_a_clone_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"git clone .*WildEval/ZeroEval.*zeroeval:path=FOLDER"):
        load_dataset("zeroeval")
    with pytest.raises(DataError, match="there is no result_dirs in it"):
        load_dataset(f"zeroeval:path={tmp_path}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"output": ["a", "b"]}, "row 1: output is not a list of one text"),
        ({"answer": None}, "row 1: answer is None"),
        ({"question": "another"}, "gsm/gsm-#0 has another text than in other files"),
        ({"id": "gsm-#1", "question": "gsm question 1"}, "row 2: id 'gsm-#1' occurs twice"),
    ],
)
def test_a_row_that_is_amiss_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    clone(tmp_path)
    write(tmp_path, "gsm", LARGE, [row("gsm", 0, "1200") | change, row("gsm", 1, "1200")])
    with pytest.raises(DataError, match=LARGE) as caught:
        ZeroEval().load(tmp_path)
    assert says in str(caught.value)


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    (clone(tmp_path) / "result_dirs" / "gsm" / f"{LARGE}.json").write_text("[{", "utf-8")
    with pytest.raises(DataError, match=r"gsm/gpt-4o-2024-08-06\.json: this is not JSON"):
        ZeroEval().load(tmp_path)

"""MATH-Vision's files, made here after their public form."""

import json
from pathlib import Path
from typing import Any

import pytest

from equirouter.data import load_dataset
from equirouter.data.sources.mathv import MathVision
from equirouter.errors import DataError


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def question(name: str, **changed: Any) -> dict[str, Any]:
    return {
        "id": name,
        "question": "How many?\n<image1>",
        "options": [],
        "subject": "counting",
        "image": f"images/{name}.jpg",
    } | changed


def answer(name: str, correct: object) -> dict[str, Any]:
    return {"id": name, "response": "r" * 400, "correct": correct}


def clone(folder: Path, *, pictures: bool = True) -> Path:
    choice = question("2", options=["one", "two"], subject="logic")
    lines(folder / "data/test.jsonl", [question("1"), choice, question("3", options=["A", "B"])])
    (folder / "images").mkdir()
    for name in "123" if pictures else "12":
        (folder / f"images/{name}.jpg").write_bytes(b"a picture")
    outputs = folder / "outputs"
    right = {"Gemini-Pro-CoT": (True, True), "LLaVA-v1.5-7B": (False, True), "new-model": (True,)}
    for model, marks in right.items():
        rows = [answer(str(n), mark) for n, mark in enumerate(marks, start=1)]
        lines(outputs / "any" / f"{model}.jsonl", rows)
    lines(outputs / "Random-Chance.jsonl", [answer("1", True)])
    lines(outputs / "any/GPT4-CoT (Text Only).jsonl", [answer("1", True)])
    return folder


def test_models_that_saw_the_pictures(tmp_path: Path) -> None:
    table = load_dataset(f"mathv:path={clone(tmp_path)}")
    assert table.models == ("Gemini-Pro-CoT", "LLaVA-v1.5-7B")
    assert table.query_ids == ("1", "2", "3")
    assert table.texts == (
        "How many?\n<image1>",
        "How many?\n<image1>\n(A) one\n(B) two",
        "How many?\n<image1>",  # the options are letters in the picture
    )
    assert table.tasks == ("counting", "logic", "counting")
    assert table.images is not None
    assert table.images[0] == str(tmp_path / "images/1.jpg")
    assert table.performance[:2].tolist() == [[1, 0], [1, 1]]
    # the text has 18 bytes, 5 tokens, the picture 576, the answer 100; at 0.25 and 0.5 USD
    assert table.cost_usd[0, 0] == pytest.approx((581 * 0.25 + 100 * 0.5) / 1e6)
    assert "left out, no price is known: new-model" in table.notes
    assert "1 query lacks" in table.notes[-1]


def test_missing_pictures_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 3 pictures are missing, first images/3\.jpg"):
        MathVision().load(clone(tmp_path, pictures=False))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([answer("1", True), answer("1", True)], "row 2: id '1' occurs twice"),
        ([answer("9", True)], "row 1: id '9' is not among the questions"),
        ([answer("1", "yes")], "row 1: correct is 'yes', expected bool"),
    ],
)
def test_an_answer_that_is_amiss_is_named(
    tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    lines(clone(tmp_path) / "outputs/any/LLaVA-v1.5-7B.jsonl", rows)
    with pytest.raises(DataError, match="LLaVA") as caught:
        MathVision().load(tmp_path)
    assert says in str(caught.value)


def test_a_clone_without_questions(tmp_path: Path) -> None:
    (clone(tmp_path) / "data/test.jsonl").unlink()
    with pytest.raises(DataError, match=r"test\.jsonl: the file of the questions is not there"):
        MathVision().load(tmp_path)

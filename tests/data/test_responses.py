"""Answers, finish reasons and signals of an outcomes table: optional, in both layouts."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.data import Outcomes, as_outcomes, load_dataset, read_table, write_table
from equirouter.data.cells import TextCells
from equirouter.errors import ConfigError, DataError

NAN = float("nan")
ROUTERBENCH = Path(__file__).parents[3] / "shared" / "data" / "routerbench_rows.csv"
LONG = """query_id,query,model,performance,cost_usd,answer,finish_reason,signal.logprob
q1,one,small,1,0.1,18,stop,-0.5
q1,one,large,1,0.2,"",length,
q2,two,small,0,0.3,,stop,-2
"""


def table(**fields: Any) -> Outcomes:
    return Outcomes(
        query_ids=("q1", "q2"),
        texts=("one", "two"),
        tasks=("all", "all"),
        models=("small", "large"),
        performance=np.ones((2, 2)),
        cost_usd=np.ones((2, 2)),
        **fields,
    )


def read(folder: Path, text: str, **options: Any) -> Outcomes:
    path = folder / "table.csv"
    path.write_text(text, "utf-8")
    return read_table(path, **options)


def lists(cells: TextCells | None) -> list[list[str | None]]:
    assert cells is not None
    return cells.to_lists()


def test_an_unknown_answer_is_not_no_answer(tmp_path: Path) -> None:
    long = read(tmp_path, LONG)
    assert lists(long.answers) == [["18", ""], [None, None]]
    assert lists(long.finish_reasons) == [["stop", "length"], ["stop", None]]
    np.testing.assert_array_equal(long.signals["logprob"], [[-0.5, NAN], [-2, NAN]])
    assert long.answers is not None
    assert long.answers.is_known.tolist() == [[True, True], [False, False]]
    assert long.answers.is_empty.tolist() == [[False, True], [False, False]]
    assert not [note for note in long.notes if "not used" in note]


def test_a_wide_table_has_them_for_some_models(tmp_path: Path) -> None:
    text = (
        "query_id,query,small,large,small|total_cost,large|total_cost,large|answer,small|signal.x\n"
        'q1,one,1,1,1,1,"yes",3\nq2,two,1,1,1,1,,4\n'
    )
    wide = read(tmp_path, text)
    assert lists(wide.answers) == [[None, "yes"], [None, None]]
    np.testing.assert_array_equal(wide.signals["x"], [[3, NAN], [4, NAN]])
    assert wide.finish_reasons is None


ANSWERS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@given(
    answers=st.lists(st.lists(ANSWERS, min_size=2, max_size=2), min_size=2, max_size=2),
    signal=st.lists(st.floats(-1e9, 1e9) | st.just(NAN), min_size=4, max_size=4),
)
def test_written_and_read_again(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, layout: Any, answers: Any, signal: Any
) -> None:
    cells = TextCells.of(answers)
    there = cells if cells.is_known.any() else None  # CSV has no column of nothing at all
    numbers = np.reshape(signal, (2, 2))
    signals = {"x.y": numbers, "a": numbers + 1}
    made = table(
        answers=there,
        finish_reasons=there,
        scored_by=there,
        propensity=np.abs(numbers) / 1e9,
        signals=signals,
    )
    path = tmp_path_factory.mktemp("tables") / f"table{suffix}"
    write_table(made, path, layout=layout)
    again = read_table(path)
    assert again.fingerprint == made.fingerprint
    if there is not None:
        assert lists(again.answers) == answers


def test_a_propensity_is_a_probability(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"propensity of model .* is 1\.5; expected a probability"):
        table(propensity=np.array([[1.5, 1.0], [0.0, NAN]]))
    head = "query_id,query,model,performance,cost_usd,propensity"
    (tmp_path / "log.csv").write_text(f"{head}\nq,two?,small,1,0.1,-0.5\n")
    with pytest.raises(DataError, match="column 'propensity': found -0"):
        read_table(tmp_path / "log.csv")


def test_rows_and_models_are_taken_with_them() -> None:
    cells = TextCells.of([["a", "b"], ["c", None]])
    numbers = np.array([[1.0, 2.0], [3.0, 4.0]])
    made = table(answers=cells, finish_reasons=cells, scored_by=cells, signals={"x": numbers})
    taken = made.take([1]).with_models(["large", "small"])
    assert lists(taken.answers) == [[None, "c"]]
    assert lists(taken.finish_reasons) == [[None, "c"]]
    assert taken.signals["x"].tolist() == [[4, 3]]


def test_what_is_in_the_fingerprint() -> None:
    plain = table()
    made = [
        plain,
        table(answers=TextCells.of([["a", ""], [None, "a"]])),
        table(answers=TextCells.of([["a", None], [None, "a"]])),
        table(finish_reasons=TextCells.of([["a", ""], [None, "a"]])),
        table(scored_by=TextCells.of([["a", ""], [None, "a"]])),
        table(signals={"x": np.zeros((2, 2))}),
        table(signals={"y": np.zeros((2, 2))}),
    ]
    assert len({each.fingerprint for each in made}) == len(made)
    turned = TextCells(np.array([[1, 0], [-1, 1]]), ("", "a", "never"))  # numbered otherwise
    assert table(answers=turned).equals(made[1])


def test_a_data_frame_has_them(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    frame = read(tmp_path, LONG).to_pandas()
    assert frame["answer"].tolist()[:2] == ["18", ""]
    assert frame["answer"].isna().tolist() == [False, False, True, True]
    assert as_outcomes(frame).fingerprint == read(tmp_path, LONG).fingerprint


def test_they_are_described(tmp_path: Path) -> None:
    text = LONG + "q2,two,large,1,0.1,18,stop,\n"
    described = read(tmp_path, text).describe()
    assert (described.known_answers, described.no_answer) == (3, 1)
    assert table().describe().known_answers is None


def test_numbers_are_answers_whatever_their_type() -> None:
    columns = {"query_id": ["a", "b"], "query": ["1", "2"], "m": [1, 1], "m|total_cost": [1, 1]}
    for unknown in (None, NAN):
        made = as_outcomes(pa.table({**columns, "m|answer": [18.0, unknown]}))
        assert lists(made.answers) == [["18"], [None]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("signal.logprob", "signal."), "a signal is named ''"),
        (("-0.5", "high"), r"data row 1, column 'signal.logprob': found 'high'"),
        (("-0.5", "-inf"), r"data row 1, column 'signal.logprob': found -inf"),
    ],
)
def test_wrong_signals_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, LONG.replace(*change))


def test_answers_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match=r"answers has shape \(1, 2\), expected \(2, 2\)"):
        table(answers=TextCells.of([["a", "b"]]))


def test_answers_of_a_model_that_is_not_there_are_refused() -> None:
    columns = {"query": ["1"], "m": [1], "m|total_cost": [1], "n|answer": ["x"]}
    with pytest.raises(DataError, match=r"'n.answer' is about a model that the table does not"):
        as_outcomes(columns)


RESPONSES = {
    "query_id": ["a", "b"],
    "query": ["1", "2"],
    "m": [1, 1],
    "m|total_cost": [1, 1],
    "m|model_response": ["It is 4.", None],
}


def test_answers_are_read_out_of_responses() -> None:
    made = as_outcomes(RESPONSES, answers_by="number")
    assert lists(made.answers) == [["4"], [None]]
    assert made.answers_by == "number@1"
    plain = as_outcomes(RESPONSES)
    assert (plain.answers, plain.answers_by) == (None, None)


def test_answers_of_a_long_table_are_read_out_of_responses() -> None:
    long = {"query": ["1"], "model": ["m"], "performance": [1], "cost_usd": [1]}
    made = as_outcomes({**long, "model_response": ["B) five"]}, answers_by="choice")
    assert lists(made.answers) == [["B"]]


def test_answers_without_responses_are_said_to_be_an_extractors() -> None:
    given = {name: cells for name, cells in RESPONSES.items() if "response" not in name}
    made = as_outcomes({**given, "m|answer": ["4.0", None]}, answers_by="number")
    assert (lists(made.answers), made.answers_by) == ([["4.0"], [None]], "number@1")


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_file_keeps_what_read_its_answers(
    tmp_path: Path, suffix: str, layout: Literal["long", "wide"]
) -> None:
    path = tmp_path / f"table{suffix}"
    write_table(as_outcomes(RESPONSES, answers_by="number"), path, layout=layout)
    kept = read_table(path)
    assert (lists(kept.answers), kept.answers_by) == ([["4"], [None]], "number@1")
    assert not kept.notes  # the column is used
    assert read_table(path, answers_by="label").answers_by == "label@1"  # what a user says wins
    write_table(replace(kept, answers=None), path, layout=layout)
    assert read_table(path).answers_by is None


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (
            ["number", "choice@1"],
            r"data row 2, column 'answers_by': 'choice@1', and 'number' above",
        ),
        (["", "guess"], r"data row 2, column 'answers_by': 'guess' is not an answer extractor"),
        (["number@0", None], r"data row 1, .*: answers were read by 'number@0', and this version"),
    ],
)
def test_a_file_names_one_extractor_that_there_is(named: list[str | None], says: str) -> None:
    given = {name: cells for name, cells in RESPONSES.items() if "response" not in name}
    columns = {**given, "m|answer": ["4", "5"], "answers_by": named}
    with pytest.raises(DataError, match=says):
        as_outcomes(columns)
    assert as_outcomes(columns, answers_by="label").answers_by == "label@1"


def test_an_extractor_needs_responses_and_no_answers() -> None:
    without = {name: cells for name, cells in RESPONSES.items() if "response" not in name}
    with pytest.raises(DataError, match="there is no response to read them from"):
        as_outcomes(without, answers_by="number")
    with pytest.raises(DataError, match=r"there are answers .* and responses"):
        as_outcomes({**RESPONSES, "m|answer": ["4", "5"]}, answers_by="number")
    with pytest.raises(ConfigError, match="simulated is the name of a data set"):
        load_dataset("simulated", answers_by="number")


def test_the_answers_of_routerbench() -> None:
    if not ROUTERBENCH.exists():
        pytest.skip("needs shared/data/routerbench_rows.csv beside the project")
    rows = read_table(ROUTERBENCH, answers_by="choice")
    assert rows.answers is not None
    tasks = np.array(rows.tasks)
    letters = {value for value in rows.answers.values if value}
    assert letters <= set("ABCDEFGHIJ")
    first = lists(rows.answers)[0]
    assert first[rows.models.index("gpt-4-1106-preview")] == "D"  # "['D']" in the file
    assert first[rows.models.index("mistralai/mistral-7b-chat")] == "C"  # "['C\\n']"
    assert rows.answers.is_empty[tasks == "mbpp"].mean() > 0.9  # programs
    assert rows.answers.is_empty[tasks != "mbpp"].mean() < 0.1
    assert read_table(ROUTERBENCH).answers is None

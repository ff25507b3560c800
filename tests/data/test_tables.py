"""Tables on disk: exact round trips, both layouts, RouterBench's names, and every bad input."""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.data import Outcomes, read_table, write_table
from equirouter.data.reading.columns import RESERVED, is_ignored
from equirouter.data.reading.files import READABLE
from equirouter.errors import ConfigError, DataError, OutputError

NAN = float("nan")
LAYOUTS: tuple[Literal["long", "wide"], ...] = ("long", "wide")
SUFFIXES = (".parquet", ".csv", ".jsonl")

# Line ends, quotes, separators, NUL, a byte order mark and what JSON and CSV escape come often.
TEXT = st.text(
    st.one_of(st.sampled_from('\n\r",;\t\\\0\ufeff\u2028é日🙂 '), st.characters(codec="utf-8")),
    max_size=12,
)
NAME = TEXT.filter(lambda text: text != "")
MODEL = NAME.filter(lambda name: name not in RESERVED and not is_ignored(name) and "|" not in name)
DESCRIPTION = TEXT.filter(lambda text: text.strip() != "")


@st.composite
def tables(draw: st.DrawFn) -> Outcomes:
    n, k = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    performance = st.one_of(st.floats(0, 1), st.just(NAN))
    cost = st.one_of(st.floats(0, 1e300), st.sampled_from([NAN, -0.0]))

    def cells(of: st.SearchStrategy[float]) -> list[list[float]]:
        rows = draw(st.lists(st.lists(of, min_size=k, max_size=k), min_size=n, max_size=n))
        return [[0.25] * k, *rows[1:]]  # no model without any value

    def column(of: st.SearchStrategy[Any], *, unique: bool = False) -> list[Any]:
        return draw(st.lists(of, min_size=n, max_size=n, unique=unique))

    tokens = [np.array(cells(cost)) if draw(st.booleans()) else None] * 2
    return Outcomes(
        query_ids=tuple(column(NAME, unique=True)),
        texts=tuple(column(TEXT.filter(lambda text: text.strip() != ""))),
        tasks=tuple(column(NAME)),
        models=tuple(draw(st.lists(MODEL, min_size=k, max_size=k, unique=True))),
        performance=np.array(cells(performance)),
        cost_usd=np.array(cells(cost)),
        image_paths=draw(st.one_of(st.none(), st.just(column(st.one_of(st.none(), TEXT))))),
        model_descriptions=draw(
            st.one_of(st.none(), st.tuples(*[st.one_of(st.none(), DESCRIPTION)] * k))
        ),
        input_tokens=tokens[0],
        output_tokens=None if tokens[1] is None else tokens[1] + 1,
    )


@given(table=tables())
@settings(max_examples=60)
def test_round_trips_are_exact(table: Outcomes) -> None:
    with TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            for layout in LAYOUTS:
                path = Path(folder) / f"table{suffix}"
                write_table(table, path, layout=layout)
                again = read_table(path)
                assert again.query_ids == table.query_ids
                assert again.texts == table.texts
                assert again.tasks == table.tasks
                assert again.models == table.models
                assert again.image_paths == table.image_paths
                assert again.model_descriptions == table.model_descriptions
                for read, written in (
                    (again.performance, table.performance),
                    (again.cost_usd, table.cost_usd),
                ):
                    known = ~np.isnan(written)
                    assert np.array_equal(known, ~np.isnan(read))
                    assert read[known].tobytes() == written[known].tobytes()  # -0.0 is not 0.0
                assert again.equals(table)
                assert again.notes == ()


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


WIDE = "query_id,query,task,a,a|total_cost,b,b|total_cost\n"
LONG = "query_id,query,task,model,performance,cost_usd\n"


def test_a_wide_table_by_hand(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.csv", WIDE + 'q1,"one, two",t,0.25,0.1,1,0.2\nq2,x,u,,,nan,3e-1\n'
    )
    table = read_table(path)
    assert table.name == "mine"
    assert table.query_ids == ("q1", "q2")
    assert table.texts == ("one, two", "x")
    assert table.tasks == ("t", "u")
    assert table.models == ("a", "b")
    assert np.array_equal(table.performance, [[0.25, 1], [NAN, NAN]], equal_nan=True)
    assert np.array_equal(table.cost_usd, [[0.1, 0.2], [NAN, 0.3]], equal_nan=True)


def test_a_long_table_by_hand(tmp_path: Path) -> None:
    rows = "q2,two,t,b,1,0.2\nq1,one,u,a,0.5,0.1\nq1,one,u,b,0,0.3\n"
    table = read_table(write(tmp_path / "mine.csv", LONG + rows), name="given")
    assert table.name == "given"
    assert table.query_ids == ("q2", "q1")  # in the order in which they first occur
    assert table.models == ("b", "a")
    assert table.tasks == ("t", "u")
    # No row has a on q2: unknown, not 0.
    assert np.array_equal(table.performance, [[1, NAN], [0, 0.5]], equal_nan=True)
    assert np.array_equal(table.cost_usd, [[0.2, NAN], [0.3, 0.1]], equal_nan=True)


def test_relative_images_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    text = WIDE.replace("task", "task,image_path") + "q1,,t,p/x.png,1,0.1,1,0.2\nq2,a,t,,1,1,1,1\n"
    table = read_table(write(tmp_path / "mine.csv", text))
    assert table.image_paths == ("p/x.png", None)
    assert table.images == (str(tmp_path / "p/x.png"), None)
    assert table.texts == ("", "a")  # an image can stand for a text
    (tmp_path / "below").mkdir()
    for path, expected in (
        (tmp_path / "same.csv", "p/x.png"),
        (tmp_path / "p.parquet", "p/x.png"),
        (tmp_path / "below" / "other.jsonl", str(tmp_path / "p/x.png")),
    ):
        write_table(table, path)
        again = read_table(path)
        assert again.image_paths == (expected, None)
        assert again.images == table.images


def test_a_query_without_text_and_image_is_refused(tmp_path: Path) -> None:
    text = WIDE.replace("task", "task,image_path") + "q1,,t,,1,0.1,1,0.2\n"
    with pytest.raises(DataError, match=r"query 'q1' \(row 0\): the text is empty"):
        read_table(write(tmp_path / "mine.csv", text))


def test_the_raw_names_of_routerbench(tmp_path: Path) -> None:
    header = "index,sample_id,prompt,eval_name,performance,model_response,model_name,cost\n"
    rows = "0,s,\"['x', 'y']\",arc,1.0,['A'],m,0.1\n1,s,\"['x', 'y']\",arc,0.0,['B'],n,0.2\n"
    table = read_table(write(tmp_path / "raw.csv", header + rows))
    assert (table.query_ids, table.texts, table.tasks) == (("s",), ("x\ny",), ("arc",))
    assert table.models == ("m", "n")
    assert table.performance.tolist() == [[1.0, 0.0]]
    assert table.notes == ("the prompts are lists of strings; each list is joined with newlines",)


def test_the_wide_names_of_routerbench(tmp_path: Path) -> None:
    header = "sample_id,prompt,eval_name,m,m|model_response,m|total_cost,oracle_model_to_route_to\n"
    table = read_table(write(tmp_path / "w.csv", header + "s,plain,arc,1.0,12,0.1,m\n"))
    assert table.models == ("m",)
    assert table.notes == ()


def test_a_missing_task_column_is_one_task(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "query_id,query,a,a|total_cost\nq,x,1,0.1\n")
    table = read_table(path)
    assert table.tasks == ("all",)
    assert "'task'" in table.notes[0]


def test_prompts_are_joined_only_if_all_are_lists(tmp_path: Path) -> None:
    header = "query_id,prompt,task,a,a|total_cost\n"
    mixed = read_table(write(tmp_path / "m.csv", header + "q,['x'],t,1,1\nr,plain,t,1,1\n"))
    assert mixed.texts == ("['x']", "plain")
    numbers = read_table(write(tmp_path / "n.csv", header + 'q,"[1, 2]",t,1,1\n'))
    assert numbers.texts == ("[1, 2]",)
    calls = read_table(write(tmp_path / "c.csv", header + "q,\"[__import__('os')]\",t,1,1\n"))
    assert calls.texts == ("[__import__('os')]",)
    other = read_table(write(tmp_path / "o.csv", WIDE + "q,['x'],t,1,1,1,1\n"))
    assert other.texts == ("['x']",)  # the column is called query: it is what it is


def test_a_repeated_sample_id_with_another_prompt_is_another_query(tmp_path: Path) -> None:
    wide = "sample_id,prompt,eval_name,a,a|total_cost\n"
    rows = "s,x,t,1,1\ns#2,y,t,1,1\ns,z,t,1,1\ns,v,t,1,1\n"
    table = read_table(write(tmp_path / "w.csv", wide + rows))
    assert table.query_ids == ("s", "s#2", "s#3", "s#4")  # s#2 was taken
    assert table.notes[0].startswith("2 queries have the sample_id of another")
    long = "sample_id,prompt,eval_name,model_name,performance,cost\n"
    rows = "s,x,t,a,1,1\ns,y,t,a,0,2\ns,x,t,b,0.5,3\n"
    table = read_table(write(tmp_path / "l.csv", long + rows))
    assert table.query_ids == ("s", "s#2")
    assert np.array_equal(table.performance, [[1, 0.5], [0, NAN]], equal_nan=True)


DESCRIBED_LONG = LONG.replace("\n", ",model_description\n")
DESCRIBED_WIDE = WIDE.replace("\n", ",a|description\n")


def test_models_are_described_where_a_cell_says_something(tmp_path: Path) -> None:
    rows = 'q,x,t,a,1,1,\nq,x,t,b,1,1,\nr,y,t,a,1,1,"small, open"\nr,y,t,b,1,1," "\n'
    table = read_table(write(tmp_path / "long.csv", DESCRIBED_LONG + rows))
    assert table.model_descriptions == ("small, open", None)
    rows = 'q,x,t,1,1,1,1,\nr,y,t,1,1,1,1,"small, open"\n'
    wide = read_table(write(tmp_path / "wide.csv", DESCRIBED_WIDE + rows))
    assert wide.model_descriptions == ("small, open", None)
    assert wide.equals(table)
    assert (table.notes, wide.notes) == ((), ())
    nothing = read_table(write(tmp_path / "none.csv", DESCRIBED_LONG + "q,x,t,a,1,1,\n"))
    assert nothing.model_descriptions is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_described_in_two_ways_is_an_error(tmp_path: Path, suffix: str) -> None:
    names = ["query_id", "query", "model", "performance", "cost_usd", "model_description"]
    rows = [["q", "x", "a", 1, 1, None], ["r", "y", "a", 1, 1, "one"], ["s", "z", "a", 1, 1, "two"]]
    path = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), path)
    elif suffix == ".csv":
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        write(path, "\n".join([",".join(names), *lines]))
    else:
        objects = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        write(path, "\n".join(objects))
    place = "line 3" if suffix == ".jsonl" else "data row 3"
    above = place.replace("3", "2")
    with pytest.raises(
        DataError, match=f"{place}, column 'model_description': differs from {above}.*'a'"
    ):
        read_table(path)


def test_a_wide_description_is_of_a_model_and_one(tmp_path: Path) -> None:
    header = WIDE.replace("\n", ",c|description\n")
    with pytest.raises(DataError, match=r"'c\|description' is about a model .* 'a', 'b'"):
        read_table(write(tmp_path / "t.csv", header + "q,x,t,1,1,1,1,big\n"))
    rows = "q,x,t,1,1,1,1,big\nr,y,t,1,1,1,1,small\n"
    with pytest.raises(DataError, match=r"data row 2, column 'a\|description': differs from data"):
        read_table(write(tmp_path / "t.csv", DESCRIBED_WIDE + rows))


def test_columns_of_no_use_are_told(tmp_path: Path) -> None:
    header = "query_id,query,task,author,a,a|total_cost\n"
    table = read_table(write(tmp_path / "w.csv", header + "q,x,t,me,1,1\n"))
    assert table.notes == ("columns that are not used: 'author'",)
    table = read_table(write(tmp_path / "l.csv", LONG.replace("\n", ",n\n") + "q,x,t,a,1,1,5\n"))
    assert table.notes == ("columns that are not used: 'n'",)


def test_json_lines_with_numbers_texts_and_gaps(tmp_path: Path) -> None:
    rows = [
        {"query_id": 1, "query": "x", "task": "t", "a": "0.5", "a|total_cost": 1},
        {"query_id": 2, "query": "y", "task": "t", "a": 1 / 3, "a|total_cost": None},
        {"query_id": 3, "query": "z", "task": "t", "a": True},
    ]
    path = write(tmp_path / "t.ndjson", "\n\n".join(map(json.dumps, rows)))
    table = read_table(path)
    assert table.query_ids == ("1", "2", "3")
    assert table.performance.tolist() == [[0.5], [1 / 3], [1.0]]
    assert np.array_equal(table.cost_usd, [[1.0], [NAN], [NAN]], equal_nan=True)


def test_parquet_with_other_column_types(tmp_path: Path) -> None:
    columns = {
        "query_id": pa.array([1, 2]),
        "query": pa.array(["x", "y"]).dictionary_encode(),
        "task": pa.array(["t", "t"], pa.large_string()),
        "gpt-3.5.1": pa.array([True, None]),
        "gpt-3.5.1|total_cost": pa.array([0.5, 0.25], pa.float32()),
        "__index_level_0__": pa.array([5, 6]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert (table.query_ids, table.texts) == (("1", "2"), ("x", "y"))
    assert table.models == ("gpt-3.5.1",)
    assert np.array_equal(table.performance, [[1.0], [NAN]], equal_nan=True)
    assert table.cost_usd.tolist() == [[0.5], [0.25]]


def test_a_row_index_that_pandas_wrote_to_csv_is_no_model(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f",{WIDE}0,q,x,t,1,1,1,1\n")
    assert read_table(path).models == ("a", "b")


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("\ufeff" + WIDE + "q,x,t,1,1,1,1\n").replace("\n", "\r\n").encode())
    assert read_table(path).query_ids == ("q",)


def test_a_query_of_two_hundred_thousand_characters(tmp_path: Path) -> None:
    text = 'long "query",\n' * 15_000
    table = Outcomes(("q",), (text,), ("t",), ("a",), np.array([[1.0]]), np.array([[1.0]]))
    for suffix in SUFFIXES:
        write_table(table, tmp_path / f"t{suffix}")
        assert read_table(tmp_path / f"t{suffix}").texts == (text,)


def test_another_scale_must_be_stated(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", WIDE + "q,x,t,7,1,9,1\n")
    with pytest.raises(DataError, match="--performance-range"):
        read_table(path)
    assert read_table(path, performance_range=(0, 10)).performance.tolist() == [[7, 9]]
    for wrong in ((10, 0), (1, 1), (math.nan, 10)):
        with pytest.raises(DataError, match="expected the worst and then the best score"):
            read_table(path, performance_range=wrong)


def small_table(model: str = "a") -> Outcomes:
    ones = np.array([[1.0]])
    return Outcomes(("q",), ("x",), ("t",), (model,), ones, ones)


@pytest.mark.parametrize(
    "model",
    ["query", "cost_usd", "index", "a|total_cost", "a|model_response", "a|description"],
)
def test_a_model_that_cannot_be_a_wide_column(tmp_path: Path, model: str) -> None:
    with pytest.raises(DataError, match="layout='long'"):
        write_table(small_table(model), tmp_path / "t.csv", layout="wide")
    write_table(small_table(model), tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").models == (model,)


def test_writing_elsewhere_than_to_a_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'.pkl'.*\.parquet, \.csv"):
        write_table(small_table(), tmp_path / "t.pkl")
    with pytest.raises(ConfigError, match="'tall'"):
        write_table(small_table(), tmp_path / "t.csv", layout="tall")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="nowhere"):
        write_table(small_table(), tmp_path / "nowhere" / "t.csv")


def test_four_hundred_thousand_rows(tmp_path: Path) -> None:
    n, k = 40_000, 10
    rng = np.random.default_rng(0)
    table = Outcomes(
        query_ids=[f"q{i}" for i in range(n)],  # type: ignore[arg-type]
        texts=[f"What is {i}?" for i in range(n)],  # type: ignore[arg-type]
        tasks=("t",) * n,
        models=tuple(f"m{j}" for j in range(k)),
        performance=rng.integers(0, 2, (n, k)).astype(float),
        cost_usd=rng.random((n, k)),
    )
    write_table(table, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").equals(table)


def test_the_slice_of_routerbench(shared_data: Path) -> None:
    table = read_table(shared_data / "routerbench_slice.parquet")
    assert (table.n_queries, table.n_models) == (2225, 11)
    assert int((~table.is_complete).sum()) == 20
    assert sum("#" in name for name in table.query_ids) == 7
    assert any(note.startswith("7 queries have the sample_id") for note in table.notes)
    assert not any(text.startswith("['") for text in table.texts)
    assert set(table.tasks) == {"arc-challenge", "winogrande", "mbpp"}
    assert table.models[table.strongest] == "gpt-4-1106-preview"


def test_the_rows_of_routerbench_with_every_column(shared_data: Path) -> None:
    table = read_table(shared_data / "routerbench_rows.csv")
    assert (table.n_queries, table.n_models) == (28, 11)


def test_the_rows_of_routellm(shared_data: Path) -> None:
    table = read_table(shared_data / "routellm_mmlu_gsm8k.parquet")
    assert (table.n_queries, table.n_models) == (7703, 2)
    assert table.models[table.strongest] == "gpt-4-1106-preview"


def test_the_page_names_every_column_and_suffix() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text("utf-8")
    named = {name for name in RESERVED if name not in ("", "Unnamed: 0", "__index_level_0__")}
    for word in (
        *named,
        *READABLE,
        "MODEL|total_cost",
        "MODEL|model_response",
        "MODEL|description",
    ):
        assert f"`{word}`" in page


def test_the_tables_on_the_page_are_the_same_table(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text("utf-8")
    long, wide = (part.split("```")[0] for part in page.split("```csv\n")[1:])
    table = read_table(write(tmp_path / "long.csv", long))
    assert table.equals(read_table(write(tmp_path / "wide.csv", wide)))
    assert table.performance.tolist() == [[1, 1], [0, 0.5]]

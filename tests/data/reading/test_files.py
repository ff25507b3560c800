"""Bad files: each is refused with the file, the place, what was found and what was expected."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equirouter.data import read_table
from equirouter.data.logs.sources import records_of
from equirouter.data.reading.columns import RawTable
from equirouter.data.reading.files import read_file
from equirouter.data.tables import write_table
from equirouter.errors import DataError
from tests.toys import make_table

WIDE = "query_id,query,task,a,a|total_cost,b,b|total_cost\n"
LONG = "query_id,query,task,model,performance,cost_usd\n"
ROW = "q,x,t,1,1,1,1\n"
BAD_TEXT: list[tuple[str, str, list[str]]] = [
    ("empty.csv", "", ["the file is empty"]),
    ("empty.jsonl", "", ["the file is empty"]),
    ("header.csv", WIDE, ["no rows"]),
    ("blank.jsonl", "\n\n", ["no rows"]),
    ("t.doc", "x", ["'.doc'", ".parquet, .csv, .tsv, .jsonl"]),
    ("t.XLSX", "x", ["XLSX files are not read; save the sheet as 'CSV UTF-8'"]),
    ("t.csv.gz", "x", [".gz files are not read; unpack it"]),
    ("t.arrow", "x", [".arrow files are not read; load it as a data frame"]),
    ("t.txt", "x", [".txt files are not read; name it .csv or .tsv"]),
    (
        "t.csv",
        "Query ID,query,a,a|total_cost\nx,t,1,1\n",
        ["'query_id' or 'sample_id'", "Is it 'Query ID'? Then rename that to 'query_id'"],
    ),
    ("t.csv", "id,query,a,a|total_cost\n1,t,1,1\n", ["Is it 'id'?"]),
    ("t.csv", "query_id,Question,a,a|total_cost\nx,t,1,1\n", ["Is it 'Question'?"]),
    ("t.csv", "query_id,query,model,accuracy,cost\nx,t,m,1,1\n", ["Is it 'accuracy'?"]),
    ("t.csv", LONG.replace("cost_usd", "price") + "q,x,t,m,1,1\n", ["Is it 'price'?"]),
    ("t.csv", LONG.replace(",", ";") + "q;x;t;m;0,5;1\n", ["'0,5'", "decimals with a point"]),
    ("t.csv", LONG.replace(",", ";") + "q;x;t;m;1\n", ["data row 1 has 5", "is a semicolon or"]),
    ("t.tsv", LONG.replace(",", "\t") + "q\tx\n", ["data row 1 has 2 cells", "is a tab or"]),
    ("t.json", '[{"query_id": "q"}, 3]', ["expected a list of rows"]),
    ("t.json", '{"query_id": ["q"], "query": []}', ["expected a list of rows"]),
    ("t.json", '{"query_id": {"0": "q"}, "query": {"1": "x"}}', ["expected a list of rows"]),
    ("t.json", '"x"', ["expected a list of rows"]),
    ("t.json", '[{"query_id": ', ["this is not JSON"]),
    ("t.json", '[{"a": NaN}]', ["NaN is not a JSON number"]),
    ("t.json", "[]", ["no rows"]),
    (
        "t.csv",
        "query,model,score,cost\nx,a,1,1\nx,a,0,1\n",
        ["data row 2", "told apart by their text", "column query_id: add it"],
    ),
    ("t.csv", "query_id,task,a,a|total_cost\nx,t,1,1\n", ["'query' or 'prompt'"]),
    ("t.csv", "query_id,query,task,a\nq,x,t,1\n", ["no cost columns", "'MODEL|total_cost'"]),
    ("t.csv", "query_id,query,model,performance\nq,x,m,1\n", ["'cost_usd' or 'cost'"]),
    ("t.csv", "query_id,query,model,cost_usd\nq,x,m,1\n", ["'performance'"]),
    (
        "t.csv",
        "query_id,query,task,a,b,b|total_cost\nq,x,t,1,1,1\n",
        ["model 'a' has performance but no cost column 'a|total_cost'"],
    ),
    (
        "t.csv",
        "query_id,query,task,a|total_cost,b,b|total_cost\nq,x,t,1,1,1\n",
        ["model 'a' has the cost column 'a|total_cost' but no performance column 'a'"],
    ),
    ("t.csv", WIDE + ROW + "r,x,t,1,1,good,1\n", ["data row 2", "'b'", "'good'", "a number"]),
    ("t.csv", WIDE + "q,x,t,1,1,1,1 USD\n", ["data row 1", "'b|total_cost'", "'1 USD'"]),
    ("t.csv", WIDE + ROW + "r,x,t,1,1,1.5,1\n", ["data row 2", "'b'", "1.5", "from 0 to 1"]),
    ("t.csv", WIDE + "q,x,t,1,-1,1,1\n", ["data row 1", "'a|total_cost'", "-1", "not negative"]),
    ("t.csv", WIDE + "q,x,t,1,1,1,Infinity\n", ["data row 1", "'b|total_cost'", "inf"]),
    ("t.csv", WIDE + "q,x,t,1,1,1,1e999\n", ["data row 1", "'b|total_cost'", "inf"]),
    ("t.csv", WIDE + "q,x,t,,1,1,1\n", ["model 'a' has no performance in any row"]),
    ("t.csv", WIDE + ROW + ",x,t,1,1,1,1\n", ["data row 2", "'query_id'", "empty"]),
    ("t.csv", WIDE + "q,x,,1,1,1,1\n", ["data row 1", "'task'", "empty"]),
    ("t.csv", WIDE + 'q,"  ",t,1,1,1,1\n', ["'q'", "the text is empty"]),
    ("t.csv", WIDE + ROW + "r,x,t,1,1,1,1\n" + ROW, ["data row 3", "'q'", "data row 1"]),
    ("t.csv", WIDE + ROW + "r,x,t,1\n", ["data row 2 has 4 cells", "column names has 7"]),
    ("t.csv", WIDE + 'q,"x,t,1,1,1,1\n', ["data row 1 has 2 cells"]),
    ("t.csv", "a,a\n1,2\n", ["'a' occurs twice"]),
    (
        "t.csv",
        "sample_id,prompt,a,a|total_cost\ns,x,1,1\ns,y,1,1\ns,x,1,1\n",
        ["data row 3", "'s'", "same prompt", "data row 1"],
    ),
    (
        "t.csv",
        LONG + "q,x,t,a,1,1\nq,x,t,b,1,1\nq,x,t,a,0,1\n",
        ["data row 3", "model 'a'", "'q'", "data row 1"],
    ),
    ("t.csv", LONG + "q,x,t,a,1,1\nq,y,t,b,1,1\n", ["data row 2", "'query'", "data row 1"]),
    ("t.csv", LONG + "q,x,t,a,1,1\nq,x,u,b,1,1\n", ["data row 2", "'task'", "data row 1"]),
    ("t.csv", LONG + "q,x,t,,1,1\n", ["data row 1", "'model'", "empty"]),
    ("t.csv", LONG + "q,x,t,a,yes,1\n", ["data row 1", "'performance'", "'yes'"]),
    ("t.jsonl", '{"query_id": "q"}\n{"query_id": \n', ["line 2", "not JSON"]),
    ("t.jsonl", '{"a": 1}\n\n[1]\n', ["line 3", "one object per line"]),
    ("t.jsonl", '{"performance": NaN}\n', ["line 1", "NaN", "write null"]),
    ("t.jsonl", '{"performance": -Infinity}\n', ["line 1", "-Infinity"]),
    ("t.jsonl", '{"query_id": ["q"]}\n', ["'query_id'", "a list"]),
    ("t.jsonl", '{"query_id": "\\ud800"}\n', ["'query_id'", "Unicode"]),
    (
        "t.jsonl",
        '\n{"query_id": "q", "query": "x", "a": "?", "a|total_cost": 1}\n',
        ["line 2", "'a'", "'?'"],
    ),
    ("t.parquet", "PAR1 and no more", ["not a whole parquet file"]),
]


@pytest.mark.parametrize(("file", "content", "parts"), BAD_TEXT)
def test_bad_files_are_refused_with_the_place(
    tmp_path: Path, file: str, content: str, parts: list[str]
) -> None:
    path = tmp_path / file
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(path) in str(caught.value) or str(caught.value).startswith("t: ")
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="this is a folder"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "parts"),
    [
        ("t.csv", WIDE.encode() + ROW.encode() + b"r,\xff,t,1,1,1,1\n", ["byte 66", "line 3"]),
        ("t.csv", b"query_id,\xe9\nq,x\n", ["column names", "UTF-8"]),
        ("t.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', ["line 2", "byte 7"]),
    ],
)
def test_text_that_is_not_utf8(tmp_path: Path, file: str, content: bytes, parts: list[str]) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / file)
    for part in parts:
        assert part in str(caught.value)


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    broken = pa.array([b"x", b"\xff"], pa.binary()).view(pa.string())
    ones = pa.array([1.0, 1.0])
    columns = {"query_id": pa.array(["q", "r"]), "query": broken, "a": ones, "a|total_cost": ones}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"data row 2, column 'query': byte 0 .* UTF-8"):
        read_table(tmp_path / "t.parquet")


def test_a_parquet_file_with_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"query_id": ["q"], "models": ["x"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"models", b"mod\xffls"))
    with pytest.raises(DataError, match="not a whole parquet file"):
        read_table(path)
    with pytest.raises(DataError, match="could not be read"):
        list(records_of(path))


def test_a_parquet_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"query_id": ["q"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole parquet file"):
        read_table(path)


def test_parquet_columns_of_lists(tmp_path: Path) -> None:
    column = pa.array([1.0])
    columns = {"query_id": ["q"], "query": ["x"], "a": pa.array([[1.0]]), "a|total_cost": column}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'a' holds list<.*numbers are expected"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_text_of_many_rows_is_kept_once(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"long{suffix}"
    write_table(make_table(), path, layout="long")
    column = read_file(path).columns["query"]
    assert (len(column), len(column.unify_dictionaries().chunk(0).dictionary)) == (360, 120)


def test_a_dictionary_may_say_a_value_twice_and_hold_nothing(tmp_path: Path) -> None:
    values = pa.array(["b", "a", "b", None, "never"])
    column = pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array([2, 1, 0, 1]), values)])
    raw = RawTable(tmp_path / "t", {"query": column}, 4)
    codes, texts = raw.codes("query")
    assert (codes.tolist(), texts) == ([0, 1, 0, 1], ["b", "a"])
    gap = pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array([2, 3, None]), values)])
    raw = RawTable(tmp_path / "t", {"query": gap}, 3)
    codes, texts = raw.codes("query", empty_is_text=True)
    assert (codes.tolist(), texts) == ([0, 1, 1], ["b", ""])
    with pytest.raises(DataError, match="data row 2, column 'query': the cell is empty"):
        raw.codes("query")

"""Files that others write: every form of a table is the same table, and giants are refused."""

from pathlib import Path

import pandas as pd
import pytest

from equirouter.data import read_table
from equirouter.data.reading import columns, layouts
from equirouter.data.reading.files import read_file, read_frame
from equirouter.errors import DataError

HEAD = "query_id,query,task,model,performance,cost_usd\n"
ROWS = "q,x & y,t,a,1,2\nq,x & y,t,b,0,3\n"
JSON_ROWS = (
    '{"query_id": "q", "query": "x & y", "task": "t", "model": "a", "score": 1, "cost": 2}',
    '{"query_id": "q", "query": "x & y", "task": "t", "model": "b", "score": 0, "cost": 3}',
)
SAME = {
    "commas.csv": HEAD + ROWS,
    "semicolons.csv": (HEAD + ROWS).replace(",", ";"),
    "tabs.csv": (HEAD + ROWS).replace(",", "\t"),
    "tabs.tsv": (HEAD + ROWS).replace(",", "\t"),
    "commas.tsv": HEAD + ROWS,
    "semicolons.tsv": (HEAD + ROWS).replace(",", ";"),
    "score.csv": HEAD.replace("performance", "score") + ROWS,
    "truths.csv": HEAD + "q,x & y,t,a,True,2\nq,x & y,t,b,False,3\n",  # as pandas writes bool
    "some truths.csv": HEAD + "q,x & y,t,a,TRUE,2\nq,x & y,t,b,0.0,3\n",
    "wide truths.csv": "query_id,query,task,a,b,a|total_cost,b|total_cost\n"
    "q,x & y,t,true,false,2,3\n",
    "rows.json": f"[{JSON_ROWS[0]},\n {JSON_ROWS[1]}]",
    "lines.json": "\n".join(JSON_ROWS),
    "columns.json": """{"query_id": ["q"], "query": ["x & y"], "task": ["t"], "a": [1], "b": [0],
        "a|total_cost": [2], "b|total_cost": [3]}""",
    "pandas.json": """{"query_id": {"7": "q"}, "query": {"7": "x & y"}, "task": {"7": "t"},
        "a": {"7": 1}, "b": {"7": 0}, "a|total_cost": {"7": 2}, "b|total_cost": {"7": 3}}""",
}


@pytest.mark.parametrize("name", SAME)
def test_one_table_in_many_forms(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SAME[name], "utf-8")
    table = read_table(tmp_path / name)
    assert (table.query_ids, table.texts, table.models) == (("q",), ("x & y",), ("a", "b"))
    assert (table.performance.tolist(), table.cost_usd.tolist()) == ([[1, 0]], [[2, 3]])


@pytest.mark.parametrize(
    ("old", "new", "column"), [("False", "Wrong", "performance"), (",3", ",True", "cost_usd")]
)
def test_a_word_that_is_no_truth_is_named(tmp_path: Path, old: str, new: str, column: str) -> None:
    (tmp_path / "t.csv").write_text(SAME["truths.csv"].replace(old, new))
    says = f"data row 2, column '{column}': found '{new.strip(',')}', a number is expected"
    with pytest.raises(DataError, match=says):
        read_table(tmp_path / "t.csv")


def test_a_line_of_a_json_file_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(SAME["lines.json"].replace('"score": 0', '"score": 7'))
    with pytest.raises(DataError, match=r"t\.json: line 2, column 'score': found 7"):
        read_table(tmp_path / "t.json")


def test_commas_in_texts_do_not_make_a_file_of_semicolons(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEAD.replace(",", ";") + 'q;"x, y; z";t;a;1;2\n')
    assert read_table(tmp_path / "t.csv").texts == ("x, y; z",)


def test_the_file_of_semicolons(shared_cases: Path) -> None:
    table = read_table(shared_cases / "semicolons.csv")
    assert (table.n_queries, table.models) == (30, ("small", "large"))


def test_queries_without_ids_are_told_apart_by_their_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "query,task,model,score,cost\nx,t,a,1,1\ny,t,a,0,1\nx,t,b,1,2\ny,t,b,1,2\n"
    )
    table = read_table(tmp_path / "t.csv")
    assert table.query_ids == ("query 1", "query 2")
    assert table.performance.tolist() == [[1, 1], [0, 1]]
    assert "every text is a query of its own" in table.notes[0]


def test_images_tell_queries_without_ids_apart_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "query,image_path,task,model,score,cost\nx,1.png,t,a,1,1\nx,2.png,t,a,0,1\n"
    )
    assert read_table(tmp_path / "t.csv").query_ids == ("query 1", "query 2")


def test_rows_without_ids_are_queries_in_a_wide_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("query,task,a,a|total_cost\nx,t,1,1\nx,t,0,1\n")
    table = read_table(tmp_path / "t.csv")
    assert (table.query_ids, table.texts) == (("query 1", "query 2"), ("x", "x"))
    assert "every row is a query of its own" in table.notes[0]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet", "pkl"])
def test_too_many_columns_are_refused_before_cells_are_read(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "MOST_COLUMNS", 50)
    path = tmp_path / f"t.{suffix}"
    table = pd.DataFrame({f"c{i}": [1.0] for i in range(51)})
    if suffix in ("csv", "tsv"):
        table.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    elif suffix in ("jsonl", "json"):
        table.to_json(path, orient="records", lines=suffix == "jsonl")
    else:
        {"parquet": table.to_parquet, "pkl": table.to_pickle}[suffix](path)
    with pytest.raises(DataError, match="51 columns, at most 50 are read"):
        read_file(path)
    for held in (table, {name: [1] for name in table}):
        with pytest.raises(DataError, match="51 columns, at most 50 are read"):
            read_frame(held, "in memory")


def test_more_outcomes_than_memory_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "MOST_CELLS", 8)
    rows = "".join(f"q{i},x,t,answer {i},1,1\n" for i in range(3))
    (tmp_path / "t.csv").write_text(HEAD + rows)
    with pytest.raises(DataError, match=r"3 queries and 3 models are 9 .* does column 'model'"):
        read_table(tmp_path / "t.csv")

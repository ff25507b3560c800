"""A table from a name, a file or a table in memory."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from equirouter.data import as_outcomes, load_dataset, write_table
from equirouter.data.reading.arrow import to_long, to_wide
from equirouter.errors import DataError, UnknownNameError
from tests.toys import make_table


class Stream:
    """A table of a library that is not here: all that is known of it is the Arrow interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def polars_frame(table: pa.Table) -> object:
    return pytest.importorskip("polars").from_arrow(table)


def pandas_frame(table: pa.Table) -> object:
    frame: object = table.to_pandas()
    return frame


@pytest.mark.parametrize("layout", [to_long, to_wide])
@pytest.mark.parametrize("kind", [pandas_frame, polars_frame, Stream, pa.table, pa.Table.to_pydict])
def test_a_table_in_memory_is_the_table_it_was_made_of(layout: Any, kind: Any) -> None:
    outcomes = make_table()  # has costs that are not known
    arrow = layout(outcomes)
    assert as_outcomes(kind(arrow)).equals(outcomes)


def test_to_pandas_is_the_long_form() -> None:
    outcomes = make_table()
    frame = outcomes.to_pandas()
    assert len(frame) == outcomes.n_queries * outcomes.n_models
    assert list(frame)[:6] == ["query_id", "query", "task", "model", "performance", "cost_usd"]
    per_model = frame.groupby("model", sort=False)["cost_usd"].agg(["count", "sum"])
    np.testing.assert_array_equal(per_model["count"], (~np.isnan(outcomes.cost_usd)).sum(axis=0))
    np.testing.assert_allclose(per_model["sum"], np.nansum(outcomes.cost_usd, axis=0))


def test_to_pandas_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from equirouter.data import load_dataset\n"
        "load_dataset('simulated:n_queries=80').to_pandas()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pandas, to make a data frame\n  pip install 'equirouter[train]'" in ran.stderr


def test_a_row_index_and_categories_of_pandas_do_no_harm() -> None:
    outcomes = make_table()
    frame = outcomes.to_pandas()
    frame.index += 7
    frame["model"] = frame["model"].astype("category")
    assert as_outcomes(frame).equals(outcomes)


def test_a_name_a_path_and_a_table_itself(tmp_path: Path) -> None:
    outcomes = make_table()
    write_table(outcomes, tmp_path / "toy.csv")
    assert as_outcomes(outcomes) is outcomes
    assert as_outcomes(tmp_path / "toy.csv").equals(outcomes)
    assert as_outcomes("simulated:n_queries=80").n_queries == 80
    with pytest.raises(UnknownNameError, match="no file of that path"):
        as_outcomes("toy.csv")


def test_the_scale_of_a_table() -> None:
    columns = {"query_id": ["a"], "query": ["?"], "task": ["t"], "m": [70.0], "m|total_cost": [1.0]}
    table = as_outcomes(columns, performance_range=(0, 100))
    assert table.performance_range == (0, 100)
    with pytest.raises(DataError, match=r"table: data row 1, column 'm': found 70"):
        as_outcomes(columns)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (3, "table: this is a int; expected a pandas, polars or pyarrow table"),
        ({}, r"the columns have \[\] cells"),
        ({"query": ["a"], "m": []}, r"the columns have \[0, 1\] cells"),
        ({"query": [], "m": []}, "there are no rows"),
        ({"query": ["a"], "m": [1.0]}, "table: there are no cost columns"),
        (pa.table([["a"], ["b"]], names=["query", "query"]), "column 'query' occurs twice"),
        (pd.DataFrame({"query": ["a", 1]}), "the table cannot be read: "),
    ],
)
def test_other_objects_are_refused(table: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_outcomes(table)


def test_load_dataset_reads_files_and_names(tmp_path: Path) -> None:
    write_table(make_table(), tmp_path / "toy.parquet")
    assert load_dataset(tmp_path / "toy.parquet").name == "toy"
    with pytest.raises(UnknownNameError, match="did you mean 'simulated'"):
        load_dataset("simulatd")

"""The functions of docs/batch.md, as they stand there, in the engines that are installed."""

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.registry import ENCODERS
from tests.scale.made import write_parquet

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def names(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the first block of the page defines, beside a file of queries."""
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "queries" / "in.parquet", 20)
    (tmp_path / "PIPELINE").symlink_to(folder)
    given: dict[str, Any] = {"RoutingPipeline": RoutingPipeline, "pa": pa}
    exec(BLOCKS[0], given)  # noqa: S102  # the page of this project
    return given


def expected(names: dict[str, Any]) -> dict[str, str]:
    queries = pq.read_table("queries/in.parquet")["query"].to_pylist()
    return dict(zip(queries, names["models"](queries), strict=True))


def shown(block: str, names: dict[str, Any]) -> Any:
    """The value of the last expression of a block."""
    *before, last = ast.parse(block).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(before, []), "batch.md", "exec"), names)  # noqa: S102
    return eval(compile(ast.Expression(last.value), "batch.md", "eval"), names)  # noqa: S307


def test_duckdb_decides(names: dict[str, Any]) -> None:
    names["duckdb"] = pytest.importorskip("duckdb")
    rows = shown(BLOCKS[1], names).fetchall()
    assert {query: model for _, query, model in rows} == expected(names)


def test_polars_decides(names: dict[str, Any]) -> None:
    names["pl"] = polars = pytest.importorskip("polars")
    names["frame"] = polars.read_parquet("queries/in.parquet")
    decided = shown(BLOCKS[2], names)
    assert dict(zip(decided["query"], decided["model"], strict=True)) == expected(names)


def test_spark_decides(names: dict[str, Any]) -> None:
    sql = pytest.importorskip("pyspark.sql")
    names |= {"pandas_udf": sql.functions.pandas_udf, "pd": import_module("pandas")}
    session = sql.SparkSession.builder.master("local[1]").getOrCreate()
    try:
        names["frame"] = session.read.parquet("queries/in.parquet")
        rows = shown(BLOCKS[3], names).collect()
        assert {row.query: row.model for row in rows} == expected(names)
    finally:
        session.stop()

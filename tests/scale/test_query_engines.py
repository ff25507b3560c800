"""The code of docs/batch.md, where its query engines are installed, and that for RouterArena."""

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.registry import ENCODERS
from tests.cli.invoke import invoke
from tests.scale.made import write_parquet

PAGE = (Path(__file__).parents[2] / "docs" / "batch.md").read_text("utf-8")
ARENA = Path(__file__).parents[2] / "examples" / "routerarena" / "predictions.py"
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


def test_the_file_of_predictions_for_routerarena(names: dict[str, Any]) -> None:
    entries = [
        {"global index": "a_1", "prompt": "2 + 2?", "prompt_formatted": "Answer: 2 + 2?\nA. 4"},
        {"global index": "b_1", "prompt": "Wer schrieb „Faust“?", "prompt_formatted": None},
    ]
    Path("dataset").mkdir()
    Path("dataset/router_data.json").write_text(json.dumps(entries), "utf-8")
    Path("router_inference/predictions").mkdir(parents=True)
    subprocess.run([sys.executable, str(ARENA), "prompts"], check=True)
    command = ("batch", "PIPELINE", "prompts.jsonl", "decided", "--column", "prompt")
    assert invoke(*command, "--quality", "0.95").code == 0
    subprocess.run([sys.executable, str(ARENA), "predictions"], check=True)

    made = json.loads(Path("router_inference/predictions/mine.json").read_text("utf-8"))
    prompts = ["Answer: 2 + 2?\nA. 4", "Wer schrieb „Faust“?"]
    assert [row["prompt"] for row in made] == prompts
    assert [row["global index"] for row in made] == ["a_1", "b_1"]
    assert [row["prediction"] for row in made] == names["models"](prompts)
    assert all(row["generated_result"] is None for row in made)

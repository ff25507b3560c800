"""Files of queries, and what a run made of them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equirouter.evaluation.benchmark import benchmark
from equirouter.evaluation.results import Results
from tests.toys import HashingEncoder, make_table

LEVELS = ("easy", "medium", "hard")


def rows(n: int) -> list[dict[str, Any]]:
    texts = (f"{LEVELS[row % 3]} task{row % 4} query {row}" for row in range(n))
    return [{"id": row, "query": text} for row, text in enumerate(texts)]


def write_parquet(path: Path, n: int, *, group: int = 5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows(n)), path, row_group_size=group)
    return path


def write_lines(path: Path, n: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows(n))) + "\n", "utf-8")
    return path


def parts(folder: Path) -> dict[str, bytes]:
    """Every part by name, as it is."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


def decided(folder: Path) -> list[dict[str, Any]]:
    """All rows of the parts, in order."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*")):
        if path.suffix == ".parquet":
            found += pq.read_table(path).to_pylist()
        else:
            found += map(json.loads, path.read_bytes().splitlines())
    return found


def without_times(document: Any) -> Any:
    """What does not depend on how fast a machine is."""
    if isinstance(document, dict):
        times = ("fit_seconds", "predict_us_per_query")
        return {key: without_times(of) for key, of in document.items() if key not in times}
    return document


def small_benchmark() -> "partial[Results]":
    """Of two routers on two seeds of a small table: fits enough for several processes."""
    return partial(
        benchmark,
        make_table(),
        HashingEncoder(),
        routers=["knn:k=5", "mlp:epochs=2"],
        n_seeds=2,
        resamples=20,
    )

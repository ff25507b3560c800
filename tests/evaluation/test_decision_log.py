"""The decision log: every choice of a sweep, whatever is written at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equirouter.evaluation.decision_log import decision_log
from tests.toys import make_table

TABLE = make_table(n=30)
ROWS = np.array([5, 9, 20, 28])
POINTS = np.array([0.001, 0.01, 0.1])
CHOSEN = np.array([[0, 1, 2], [0, 0, 1], [2, 2, 2], [1, 0, 2]])  # 4 queries at 3 budgets


def written(path: Path) -> pa.Table:
    with decision_log(path, TABLE, "budget_usd") as log:
        log.add("knn", 42, ROWS, POINTS, CHOSEN)
        log.add("mlp", 43, ROWS[:2], POINTS, CHOSEN[:2])
    return pq.read_table(path)


@pytest.mark.parametrize("at_once", [1, 4, 8, 11, 10**6])
def test_a_row_per_router_seed_point_and_query(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.evaluation.decision_log.ROWS_AT_ONCE", at_once)
    found = written(tmp_path / "decisions.parquet").to_pylist()
    expected = [
        {
            "router": router,
            "seed": seed,
            "point": point,
            "budget_usd": POINTS[point],
            "query_id": f"q{ROWS[query]}",
            "chosen_model": TABLE.models[CHOSEN[query, point]],
            "performance": TABLE.performance[ROWS[query], CHOSEN[query, point]],
            "cost_usd": TABLE.cost_usd[ROWS[query], CHOSEN[query, point]],
        }
        for router, seed, n in (("knn", 42, 4), ("mlp", 43, 2))
        for point in range(3)
        for query in range(n)
    ]
    assert found == expected


def test_the_same_choices_give_the_same_file(tmp_path: Path) -> None:
    written(tmp_path / "one")
    written(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

"""Reading results.json: order, best values, and what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import DataError
from equirouter.report.results import (
    COLUMNS,
    best,
    check_results,
    counted_queries,
    entries,
    measured,
    plain,
    read_results,
)
from tests.report.conftest import STRONGEST, miss

Results = dict[str, Any]
NAUC, QNC, RCI, AT_98, CALLS = COLUMNS[0], COLUMNS[2], COLUMNS[3], COLUMNS[4], COLUMNS[6]


def set_means(results: Results, metric: str, means: dict[str, float | None]) -> None:
    for name, mean in means.items():
        results["routers"][name][metric]["mean"] = mean
        results["routers"][name][metric]["per_seed"] = [mean] * 3


def test_anchors_first_in_their_order_then_routers_by_nauc(results: Results) -> None:
    results["anchors"] = dict(reversed(results["anchors"].items()))
    set_means(results, "nauc", {"mlp": 0.7, "equirouter": 0.6, "knn": 0.8})
    assert [name for name, _, _ in entries(results)] == [
        *("oracle", "random", "strongest", "cheapest", "task"),
        *("knn", "mlp", "equirouter"),
    ]


def test_a_router_without_nauc_is_last_and_ties_go_by_name(results: Results) -> None:
    set_means(results, "nauc", {"mlp": 0.7, "equirouter": None, "knn": 0.7})
    assert [name for name, _, _ in entries(results)][5:] == ["knn", "mlp", "equirouter"]


def test_the_best_is_the_highest_nauc_and_the_lowest_rci(results: Results) -> None:
    set_means(results, "nauc", {"mlp": 0.7, "equirouter": 0.8, "knn": 0.6})
    set_means(results, "rci", {"mlp": 0.7, "equirouter": 0.8, "knn": 0.6})
    assert best(results, NAUC) == {"equirouter"}
    assert best(results, RCI) == {"knn"}


def test_anchors_and_values_never_reached_are_never_the_best(results: Results) -> None:
    results["anchors"]["oracle"]["qnc"]["mean"] = 0.001
    set_means(results, "qnc", {"mlp": None, "equirouter": 0.9, "knn": 0.8})
    assert best(results, QNC) == {"knn"}
    set_means(results, "qnc", {"mlp": None, "equirouter": None, "knn": None})
    assert best(results, QNC) == set()


@pytest.mark.parametrize(
    ("n_missed", "count", "everywhere"), [(0, "", 0.5), (1, "(2/3)", None), (3, "", None)]
)
def test_a_figure_knows_how_many_seeds_reached_it(
    n_missed: int, count: str, everywhere: float | None, results: Results
) -> None:
    knn = results["routers"]["knn"]
    set_means(results, "qnc", {"knn": 0.5})
    knn["cost_at_quality"]["mean"]["0.98"] = 0.5
    for seed in knn["cost_at_quality"]["per_seed"]:
        seed["0.98"] = 0.5
    miss(knn, "qnc", n_missed)
    miss(knn, "cost_at_quality", n_missed, quality="0.98")
    for column in (QNC, AT_98):
        figure = measured(knn, column, STRONGEST)
        assert (figure.n_reached, figure.n_seeds) == (3 - n_missed, 3)
        assert figure.count == count
        assert figure.everywhere == everywhere


def test_a_mean_over_lucky_seeds_is_never_the_best(results: Results) -> None:
    set_means(results, "qnc", {"mlp": 0.9, "equirouter": 0.8, "knn": 0.1})
    miss(results["routers"]["knn"], "qnc")
    assert best(results, QNC) == {"equirouter"}
    for name in ("mlp", "equirouter"):
        miss(results["routers"][name], "qnc")
    assert best(results, QNC) == set()


def test_a_router_that_falls_short_of_95_percent_is_never_the_best_in_rci(results: Results) -> None:
    set_means(results, "rci", {"mlp": 0.7, "equirouter": 0.8, "knn": 0.1})
    set_means(results, "nauc", {"mlp": 0.7, "equirouter": 0.6, "knn": 0.8})
    knn = results["routers"]["knn"]["cost_at_quality"]
    for values in (knn["mean"], *knn["per_seed"]):
        values["0.95"] = None
    assert best(results, RCI) == {"mlp"}
    assert best(results, NAUC) == {"knn"}  # elsewhere a weak router's value stands for itself
    miss(results["routers"]["mlp"], "cost_at_quality", quality="0.95")
    assert best(results, RCI) == {"equirouter"}


def test_routers_that_look_equal_share_the_mark(results: Results) -> None:
    # 0.80004 and 0.79996 are both 0.8000 in four digits
    set_means(results, "nauc", {"mlp": 0.80004, "equirouter": 0.79996, "knn": 0.7999})
    assert best(results, NAUC) == {"mlp", "equirouter"}


def test_calls_to_the_strongest_are_neither_good_nor_bad(results: Results) -> None:
    assert best(results, CALLS) == set()


def test_queries_are_counted_in_words(results: Results) -> None:
    assert counted_queries(results) == "21,898 test queries measured, 9 left out as incomplete"
    del results["left_out"]["measured_test_queries"]
    assert counted_queries(results) == "9 left out as incomplete"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "none"),
        (True, "yes"),
        (0.1, "0.1"),
        ([3, 1, 6], "3, 1, 6"),
        (list(range(100)), "100 values from 0 to 99"),
        ({"a": 1, "b": None}, "a 1, b none"),
        ("head+tail", "head+tail"),
    ],
)
def test_plain_words(value: object, expected: str) -> None:
    assert plain(value) == expected


def test_a_written_file_reads_back(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results), "utf-8")
    assert read_results(path) == results


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no JSON document"),
        (b"\xff\xfe", "no JSON document"),
        (b'{"schema": NaN}', "NaN is no JSON"),
        (b"[1]", "holds a JSON list, expected an object"),
        (b"{}", "schema is None, expected 1"),
        (b'{"schema": 2}', "schema is 2, expected 1"),
        (b'{"schema": 1}', "dataset is missing"),
    ],
)
def test_a_file_that_is_no_result_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_results(path)
    assert str(path) in str(caught.value)


def test_no_file_says_which_command_writes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; `equirouter bench"):
        read_results(tmp_path / "results.json")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("protocol", "seeds"), "protocol.seeds is missing"),
        (("curves", "knn"), "routers.knn: curves.knn is missing"),
        (("routers", "mlp", "nauc"), "routers.mlp: nauc is missing"),
        (("routers", "mlp", "qnc", "per_seed"), "routers.mlp: qnc is missing"),
        (
            ("anchors", "task", "call_share", "low", "gpt-4-1106-preview"),
            "anchors.task: call_share",
        ),
        (("routers", "knn", "cost_at_quality", "mean", "0.98"), "knn: cost_at_quality.0.98"),
    ],
)
def test_what_is_missing_is_named(path: tuple[str, ...], message: str, results: Results) -> None:
    inner = results
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(DataError, match=message):
        check_results(results)

"""`bench`: its files have the documented form, and its figures follow from the decisions."""

import csv
import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import ROUTERS, BenchRun, bench_arguments
from tests.cli.invoke import REPOSITORY, invoke, invoke_process

ANCHORS = ["oracle", "random", "strongest", "cheapest", "task", "mixture"]
MODELS = ["small", "middle", "large"]
QUALITIES = ["1.02", "1.00", "0.99", "0.98", "0.95", "0.90"]
TIMES = ("fit_seconds", "predict_us_per_query")
FIGURES = (
    *("nauc", "nauc_common", "nauc_orbit", "peak_score", "peak_cost_usd", "peak_quality", "qnc"),
    *("rci", "rci_mean", "rci_orbit", "strongest_share", "n_parameters"),
    *TIMES,
)
MAPS = {"rci_at_quality": QUALITIES, "cost_at_quality": QUALITIES, "call_share": MODELS}
STATISTICS = {"mean", "low", "high", "per_seed"}  # and "reached" where a seed has no value
SEEDS = [42, 43]
N_POINTS = 100
Row = dict[str, Any]


def test_results_json_has_the_documented_form(bench_run: BenchRun) -> None:
    results = json.loads((bench_run.folder / "results.json").read_text("utf-8"))
    assert results["schema"] == 1
    assert results["dataset"].keys() == {"name", "n_queries", "n_models", "models", "fingerprint"}
    assert (results["dataset"]["n_queries"], results["dataset"]["models"]) == (120, MODELS)
    protocol = results["protocol"]
    assert protocol["split"] == "in-domain"
    assert protocol["ratios"] == [3, 1, 6]
    assert protocol["seeds"] == SEEDS
    assert (protocol["policy"], protocol["budgets"]) == ("budget-grid", N_POINTS)
    assert protocol["read_at"] == "the operating points"
    assert (protocol["encoder"], protocol["window"], protocol["nauc"]) == ("toy", None, "paper")
    assert list(results["anchors"]) == ANCHORS
    assert list(results["routers"]) == list(ROUTERS)
    assert results["published"] is None
    assert results["split_hashes"].keys() == {"42", "43"}
    assert results["cost_model"]["relative_error"].keys() == set(MODELS)
    assert set(results["paired"]["knn:k=5"]) == {*ANCHORS, *ROUTERS} - {"knn:k=5"}
    found = results["paired"]["knn:k=5"]["task"]
    assert found.keys() == {"nauc", "nauc_common", "peak_score", "rci", "cost_at_quality"}
    assert list(found["cost_at_quality"]) == ["0.98", "0.95", "0.90"]
    for entry in (results["anchors"] | results["routers"]).values():
        check_entry(entry)
    for curve in results["curves"].values():
        assert [len(curve[key]) for key in ("point", "performance", "cost_usd", "rci")] == [100] * 4
        assert {model: len(share) for model, share in curve["call_share"].items()} == dict.fromkeys(
            MODELS, 100
        )


def check_entry(entry: dict[str, Any]) -> None:
    assert entry.keys() == {*FIGURES, *MAPS}
    for name in FIGURES:
        check_figure(entry[name])
    for name, keys in MAPS.items():
        found = entry[name]
        assert found.keys() - {"reached"} == STATISTICS
        assert [list(values) for values in found["per_seed"]] == [keys, keys]
        for key in keys:
            parts = {part: found[part][key] for part in ("mean", "low", "high")}
            if key in found.get("reached", {}):
                parts["reached"] = found["reached"][key]
            check_figure(parts | {"per_seed": [values[key] for values in found["per_seed"]]})


def check_figure(figure: dict[str, Any]) -> None:
    assert len(figure["per_seed"]) == len(SEEDS)
    reached = [value for value in figure["per_seed"] if value is not None]
    share = len(reached) / len(SEEDS)
    assert figure.keys() == (STATISTICS if share == 1 else STATISTICS | {"reached"})
    assert figure.get("reached", 1) == share
    if share < 0.5:
        assert figure["mean"] is None
        return
    assert figure["mean"] == pytest.approx(sum(reached) / len(reached), rel=1e-12, abs=1e-15)
    if figure["low"] is not None:
        assert figure["low"] <= figure["high"]


def test_the_one_document_on_stdout_is_what_is_in_results_json(bench_run: BenchRun) -> None:
    written = json.loads((bench_run.folder / "results.json").read_text("utf-8"))
    assert bench_run.printed == written


def test_every_decision_is_logged(bench_run: BenchRun, table: Path) -> None:
    log = pq.read_table(bench_run.folder / "decisions.parquet")
    assert log.column_names == [
        *("router", "seed", "point", "budget_usd"),
        *("query_id", "chosen_model", "performance", "cost_usd"),
    ]
    # 0.6 of 120 queries are for testing; those of the first four that are among them lack a cost
    truth = read_truth(table)
    for seed, left_out in zip(SEEDS, bench_run.printed["left_out"]["per_seed"], strict=True):
        part = [row for row in log.to_pylist() if row["seed"] == seed]
        queries = {row["query_id"] for row in part}
        assert len(queries) == 72 - left_out
        assert queries <= truth.keys()
        assert len(part) == (len(ROUTERS) + len(ANCHORS)) * N_POINTS * len(queries)
        counts = Counter((row["router"], row["point"]) for row in part)
        assert set(counts.values()) == {len(queries)}


def test_the_metrics_follow_from_the_decisions(bench_run: BenchRun, table: Path) -> None:
    truth = read_truth(table)
    log = pq.read_table(bench_run.folder / "decisions.parquet").to_pylist()
    groups: dict[tuple[str, int], list[list[Row]]] = {}
    for row in log:
        empty: list[list[Row]] = [[] for _ in range(N_POINTS)]
        groups.setdefault((row["router"], row["seed"]), empty)[row["point"]].append(row)
    printed = bench_run.printed["anchors"] | bench_run.printed["routers"]
    for (router, seed), points in groups.items():
        entry, index = printed[router], SEEDS.index(seed)
        for name, value in metrics_of(points, truth).items():
            found = entry[name]["per_seed"][index]
            expected = None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)
            assert found == expected, (router, seed, name)


def metrics_of(points: list[list[Row]], truth: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The metrics of docs/metrics.md from one router's decisions, without any library."""
    performance = [mean(row["performance"] for row in rows) for rows in points]
    cost_usd = [mean(row["cost_usd"] for row in rows) for rows in points]
    curve = sorted(zip(cost_usd, performance, strict=True))
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(curve))
    span = curve[-1][0] - curve[0][0]
    flat = span <= 1e-12 * curve[-1][0]
    queries = [truth[row["query_id"]] for row in points[-1]]
    means = {
        model: (
            mean(query[model][0] for query in queries),
            mean(query[model][1] for query in queries),
        )
        for model in MODELS
    }
    best = max(means[model][0] for model in MODELS)
    reference = min(cost for score, cost in means.values() if score >= best - 1e-12)
    reaching = [x for x, y in curve if y >= best - 1e-12]
    calls = Counter(row["chosen_model"] for row in points[-1])
    return {
        "nauc": mean(y for _, y in curve) if flat else area / span,
        "peak_score": max(performance),
        "qnc": min(reaching) / reference if reaching else None,
        "rci": mean(collapse(truth[row["query_id"]], row["chosen_model"]) for row in points[-1]),
        "call_share": {model: calls[model] / len(queries) for model in MODELS},
    }


def collapse(query: dict[str, Any], chosen: str) -> float:
    """App. D: 1 for a model that is not among the best, else the share of cheaper ones that are."""
    best = max(query[model][0] for model in MODELS)
    if query[chosen][0] < best:
        return 1.0
    cheaper = [model for model in MODELS if query[model][1] < query[chosen][1]]
    return sum(query[model][0] == best for model in cheaper) / len(cheaper) if cheaper else 0.0


def mean(values: Any) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def read_truth(table: Path) -> dict[str, dict[str, Any]]:
    """query_id -> model -> (performance, cost), complete rows only, read without our reader."""
    truth = {}
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            cells = [row[column] for model in MODELS for column in (model, f"{model}|total_cost")]
            if all(cells):
                truth[row["query_id"]] = {
                    model: (float(row[model]), float(row[f"{model}|total_cost"]))
                    for model in MODELS
                }
    assert len(truth) == 116
    return truth


def test_the_oracle_wastes_nothing_and_bounds_every_router(bench_run: BenchRun) -> None:
    oracle = bench_run.printed["anchors"]["oracle"]
    assert oracle["rci"]["per_seed"] == [0.0, 0.0]
    for router in bench_run.printed["routers"].values():
        for ours, bound in zip(
            router["peak_score"]["per_seed"], oracle["peak_score"]["per_seed"], strict=True
        ):
            assert ours <= bound + 1e-12


def test_the_report_and_the_figures_are_there(bench_run: BenchRun) -> None:
    names = sorted(
        path.relative_to(bench_run.folder).as_posix()
        for path in bench_run.folder.rglob("*")
        if path.is_file()
    )
    assert names == [
        *("decisions.parquet", "figures/call-share.svg", "figures/cost-performance.svg"),
        *("report.html", "results.json"),
    ]
    assert "knn:k=5" in (bench_run.folder / "report.html").read_text("utf-8")


def without_times(results: dict[str, Any], *, routers: tuple[str, ...] = ROUTERS) -> dict[str, Any]:
    """What must be the same in two runs: no times, and not the command that was typed."""
    kept = {key: value for key, value in results.items() if key != "command"}
    for group, names in (("anchors", ANCHORS), ("routers", routers)):
        kept[group] = {
            name: {key: value for key, value in results[group][name].items() if key not in TIMES}
            for name in names
        }
    return kept


def test_the_same_seed_gives_the_same_figures_in_any_order(
    bench_run: BenchRun, table: Path, tmp_path: Path
) -> None:
    arguments = (*bench_arguments(table, tmp_path, ROUTERS[::-1], seeds=2), "--quiet")
    ran = invoke(*arguments, "--policy", "budget-grid", "--json")
    assert (ran.code, ran.err) == (0, "")
    again = json.loads(ran.out)
    assert list(again["routers"]) == list(ROUTERS[::-1])
    assert without_times(again) == without_times(bench_run.printed)


def test_the_printed_table_has_anchors_first_and_says_where_the_files_are(
    table: Path, tmp_path: Path
) -> None:
    ran = invoke(*bench_arguments(table, tmp_path, ("knn",)), "--quiet")
    assert (ran.code, ran.err) == (0, "")
    first_words = [line.split()[0] for line in ran.out.splitlines() if line.strip()]
    places = [first_words.index(name) for name in (*ANCHORS, "knn")]
    assert places == sorted(places)
    for name in ("results.json", "report.html"):
        assert name in ran.out.splitlines()[-2] + ran.out.splitlines()[-1]


def test_whole_tasks_can_be_held_out(table: Path, tmp_path: Path) -> None:
    ran = invoke(*bench_arguments(table, tmp_path, ("knn",)), "--split", "ood", "--json")
    assert ran.code == 0, ran.err
    results = json.loads(ran.out)
    assert results["protocol"]["split"] == "ood"
    with table.open(encoding="utf-8", newline="") as stream:
        tasks = {row["query_id"]: row["task"] for row in csv.DictReader(stream)}
    log = pq.read_table(tmp_path / "decisions.parquet", columns=["query_id"])
    tested = {tasks[query] for query in log["query_id"].unique().to_pylist()}
    assert 0 < len(tested) < len(set(tasks.values()))


def test_utility_measures_a_router_that_ranks_too(table: Path, tmp_path: Path) -> None:
    arguments = bench_arguments(table, tmp_path / "new", ("equirouter:epochs=2",))
    ran = invoke(*arguments, "--policy", "utility", "--json")
    assert ran.code == 0, ran.err
    shares = json.loads(ran.out)["curves"]["equirouter:epochs=2"]["call_share"]
    assert sum(share[0] for share in shares.values()) == pytest.approx(1.0)
    assert shares["small"][0] == pytest.approx(1.0)  # at the largest lambda only cost counts
    assert shares["small"][-1] < 1.0  # at lambda 0 it does not count


def test_utility_sweeps_lambda(table: Path, tmp_path: Path) -> None:
    ran = invoke(*bench_arguments(table, tmp_path, ("knn",)), "--policy", "utility", "--json")
    assert ran.code == 0, ran.err
    log = pq.read_table(tmp_path / "decisions.parquet")
    assert log.column_names[3] == "lambda"
    points = json.loads(ran.out)["curves"]["knn"]["point"]
    assert points[-1] == 0.0  # the largest spending comes last: cost counts for nothing
    assert points == sorted(points, reverse=True)


def test_pacing_sweeps_the_mean_spend(table: Path, tmp_path: Path) -> None:
    ran = invoke(*bench_arguments(table, tmp_path, ("knn",)), "--policy", "pacing", "--json")
    assert ran.code == 0, ran.err
    log = pq.read_table(tmp_path / "decisions.parquet")
    assert log.column_names[3] == "spend_usd"
    results = json.loads(ran.out)
    assert results["protocol"]["policy"] == "pacing"
    curve = results["curves"]["knn"]
    assert curve["point"] == sorted(curve["point"])
    assert curve["cost_usd"][0] < curve["cost_usd"][50] < curve["cost_usd"][-1]
    assert (tmp_path / "report.html").is_file()


def test_a_pipeline_has_no_quality_along_a_stream(table: Path, tmp_path: Path) -> None:
    ran = invoke("train", table, "--encoder", "toy", "--policy", "pacing", "--out", tmp_path)
    assert ran.code == 2
    assert "policy pacing decides a stream of queries" in ran.err


def test_a_setting_may_hold_a_list(table: Path, tmp_path: Path) -> None:
    routers = ("equirouter:epochs=1:trunk=[8,4]", "knn")
    ran = invoke(*bench_arguments(table, tmp_path, routers), "--json")
    assert ran.code == 0, ran.err
    assert list(json.loads(ran.out)["routers"]) == list(routers)


def test_a_model_may_cost_nothing(tmp_path: Path) -> None:
    table = tmp_path / "free.csv"
    lines = [f"q{i},query {i} {'abc'[i % 3]},{i % 2},{int(i % 3 > 0)},0,0.01" for i in range(60)]
    table.write_text(
        "\n".join(["query_id,query,free,paid,free|total_cost,paid|total_cost", *lines])
    )
    ran = invoke(*bench_arguments(table, tmp_path / "out", ("knn",)), "--json")
    assert ran.code == 0, ran.err
    errors = json.loads(ran.out)["cost_model"]["relative_error"]
    assert errors["free"] is None
    assert errors["paid"] == pytest.approx(0.0, abs=1e-9)  # a constant cost is predicted exactly


def test_a_process_prints_on_a_terminal_that_knows_no_arrows(table: Path, tmp_path: Path) -> None:
    options = ["--encoder", "toy", "--routers", "knn", "--seeds", "1", "--resamples", "0"]
    ran = invoke_process(
        *("bench", str(table), *options, "--out", str(tmp_path)), PYTHONIOENCODING="ascii"
    )
    assert ran.code == 0, ran.err
    assert "nAUC \\u2191" in ran.out
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert results["command"][:2] == ["equirouter", "bench"]
    assert results["routers"]["knn"]["nauc"]["low"] is None  # no resamples, no interval


def test_a_router_in_a_file_is_measured_without_packaging(table: Path, tmp_path: Path) -> None:
    own = f"{REPOSITORY / 'examples' / 'my_router.py'}:MyRouter:strength=3"
    ran = invoke(*bench_arguments(table, tmp_path, (own, "knn:k=5")), "--json")
    assert ran.code == 0, ran.err
    routers = json.loads(ran.out)["routers"]
    assert list(routers) == [own, "knn:k=5"]
    assert 0 <= routers[own]["nauc"]["mean"] <= 1


def test_a_setting_that_does_not_fit_is_refused_in_one_line(table: Path, tmp_path: Path) -> None:
    ran = invoke(*bench_arguments(table, tmp_path, ("knn:k=abc",)))
    assert ran.code == 2
    assert ran.err == "error: knn: k is 'abc': expected a whole number, at least 1\n"


def test_some_models_are_measured(table: Path, tmp_path: Path) -> None:
    options = bench_arguments(table, tmp_path, ("knn:k=5",))
    ran = invoke(*options, "--json", "--quiet", "--models", "large,small")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["dataset"]["models"] == ["large", "small"]


def test_plans_need_answers(table: Path, tmp_path: Path) -> None:
    ran = invoke("bench", table, "--policy", "plan", "--out", tmp_path)
    assert ran.code == 2
    assert "policy plan compares the answers of models, and the table has none" in ran.err
    assert invoke("bench", table, "--policy", "plans").code == 2  # no policy of that name

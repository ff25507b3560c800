"""`paper`: the experiments on a small table."""

import json
from inspect import signature
from pathlib import Path

from equirouter.cli.paper import paper as command
from tests.cli.conftest import BenchRun
from tests.cli.invoke import REPOSITORY, invoke


def paper(table: Path, out: Path, *arguments: object) -> list[object]:
    return ["paper", *arguments, "--dataset", table, "--encoder", "toy", "--out", out]


def test_results_of_a_bench_are_taken(table: Path, bench_run: BenchRun, tmp_path: Path) -> None:
    ran = invoke(*paper(table, tmp_path, "fig1", "--results", bench_run.folder, "--json"))
    assert ran.code == 0, ran.err
    printed = json.loads(ran.out)
    assert printed == json.loads((tmp_path / "paper.json").read_text("utf-8"))
    assert printed["protocol"]["routers"] == list(bench_run.printed["routers"])
    assert not (tmp_path / "results-in-domain").exists()
    assert (tmp_path / "report.html").is_file()


def test_without_results_a_bench_is_run(table: Path, tmp_path: Path) -> None:
    ran = invoke(*paper(table, tmp_path, "fig1", "--routers", "knn:k=5", "--seeds", 1))
    assert ran.code == 0, ran.err
    assert ran.out.startswith("fig1: ")
    assert (tmp_path / "results-in-domain" / "results.json").is_file()
    again = invoke("report", tmp_path / "results-in-domain")
    assert again.code == 0, again.err


def test_a_wrong_name_has_a_suggestion(table: Path, tmp_path: Path) -> None:
    ran = invoke(*paper(table, tmp_path, "fgi1"))
    assert ran.code == 2
    assert "no experiment named 'fgi1': did you mean 'fig1'" in ran.err


def test_results_given_twice_are_refused(table: Path, bench_run: BenchRun, tmp_path: Path) -> None:
    twice = ["--results", bench_run.folder] * 2
    ran = invoke(*paper(table, tmp_path, "fig1", *twice))
    assert ran.code == 2
    assert "second results of the in-domain split" in ran.err


def test_a_folder_that_cannot_be_made_is_named(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already", "utf-8")
    ran = invoke(*paper(table, tmp_path / "file", "fig1"))
    assert ran.code == 2
    assert str(tmp_path / "file") in ran.err


def test_encoder_and_policy_are_those_of_the_results(
    table: Path, bench_run: BenchRun, tmp_path: Path
) -> None:
    given = ["--dataset", table, "--results", bench_run.folder, "--out", tmp_path]
    ran = invoke("paper", "fig1", *given, "--json")
    assert ran.code == 0, ran.err
    stored = json.loads((bench_run.folder / "results.json").read_text("utf-8"))["protocol"]
    printed = json.loads(ran.out)["protocol"]
    assert [printed[key] for key in ("encoder", "policy")] == ["toy", stored["policy"]]
    other = invoke("paper", "fig1", *given, "--policy", "utility")
    assert other.code == 2
    assert "the given results have protocol.policy" in other.err


def test_the_page_makes_results_that_the_paper_command_takes() -> None:
    lines = (REPOSITORY / "docs" / "paper.md").read_text("utf-8").splitlines()
    assert any(line.startswith("equirouter paper fig1 --results runs/simulated ") for line in lines)
    made = next(line for line in lines if line.startswith("equirouter bench "))
    assert made.split()[2] == signature(command).parameters["dataset"].default

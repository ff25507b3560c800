"""`report`: the same pages again from results.json alone."""

import json
import shutil
from pathlib import Path

from tests.cli.conftest import BenchRun
from tests.cli.invoke import invoke

MADE = ("report.html", "figures/call-share.svg", "figures/cost-performance.svg")


def test_the_report_is_made_again(bench_run: BenchRun, tmp_path: Path) -> None:
    for name in ("results.json", "decisions.parquet"):
        shutil.copy(bench_run.folder / name, tmp_path)
    ran = invoke("report", tmp_path)
    assert ran.code == 0, ran.err
    assert ran.out.endswith(f"report: {tmp_path / 'report.html'}\n")
    assert max(map(len, ran.out.splitlines()[:-1])) <= 80
    assert "[0." not in ran.out.partition("in-domain split")[0]
    more = invoke("report", tmp_path, "--intervals")
    assert "[0." in more.out.partition("in-domain split")[0]
    for name in MADE:
        assert (tmp_path / name).read_bytes() == (bench_run.folder / name).read_bytes()


def test_json_names_the_report(bench_run: BenchRun, tmp_path: Path) -> None:
    shutil.copy(bench_run.folder / "results.json", tmp_path)
    ran = invoke("report", tmp_path, "--json")
    assert json.loads(ran.out) == {"report": str(tmp_path / "report.html")}


def test_a_folder_without_results_says_what_makes_them(tmp_path: Path) -> None:
    ran = invoke("report", tmp_path)
    assert ran.code == 2
    assert f"{tmp_path / 'results.json'}: no such file" in ran.err
    assert "equirouter bench --out DIR" in ran.err


def test_damaged_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"schema": 1')
    ran = invoke("report", tmp_path)
    assert ran.code == 2
    assert "no JSON document can be read" in ran.err

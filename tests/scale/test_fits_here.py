"""Fits of a benchmark in several processes of this machine."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from equirouter.data.tables import write_table
from equirouter.errors import ConfigError, WorkerError
from equirouter.scale.here import fits_here
from tests.cli.invoke import invoke
from tests.scale.made import small_benchmark, without_times
from tests.toys import make_table


def test_two_processes_find_the_same_figures_bit_for_bit(tmp_path: Path) -> None:
    run = small_benchmark()
    told: dict[str, list[tuple[str, int, int]]] = {"one": [], "two": []}
    one = run(out=tmp_path / "one", progress=lambda *step: told["one"].append(step))
    two = run(
        out=tmp_path / "two",
        progress=lambda *step: told["two"].append(step),
        workers=partial(fits_here, n_processes=2),
    )
    assert without_times(two.to_json()) == without_times(one.to_json())
    tables = [pq.read_table(tmp_path / name / "decisions.parquet") for name in told]
    assert tables[0].equals(tables[1])
    assert told["two"] == told["one"]


def test_results_come_in_the_order_of_the_works_from_processes_of_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    told = list(fits_here((partial(told_by, n) for n in range(6)), 2))
    assert [number for number, _, _ in told] == list(range(6))
    assert {threads for _, threads, _ in told} == {"1"}
    assert os.getpid() not in {process for _, _, process in told}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def told_by(number: int) -> tuple[int, str, int]:
    return number, os.environ["OMP_NUM_THREADS"], os.getpid()


def test_what_one_of_them_refuses_is_said() -> None:
    with pytest.raises(ConfigError, match="k is 0"):
        list(fits_here([partial(refuse, "k is 0")], 2))


def refuse(words: str) -> list[Any]:
    raise ConfigError(words)


def test_a_process_that_the_system_ends_is_an_error_with_a_way_out() -> None:
    with pytest.raises(WorkerError, match="fewer --workers"):
        list(fits_here([partial(end)], 2))


def end() -> list[Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still there")


def test_an_interruption_does_not_wait_for_fits_to_end() -> None:
    def works() -> Iterator[partial[list[Any]]]:
        yield partial(never_ends)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(fits_here(works(), 2))


def test_who_stops_reading_does_not_wait_for_fits_to_end() -> None:
    works: list[partial[Any]] = [partial(told_by, 0), *[partial(never_ends)] * 3]
    results = fits_here(works, 2)
    assert next(results)[0] == 0
    results.close()  # type: ignore[attr-defined]


def never_ends() -> list[Any]:
    signal.pause()
    return []


def test_the_command_fits_in_so_many_processes(tmp_path: Path) -> None:
    write_table(make_table(), tmp_path / "table.csv", layout="wide")
    options = ["--encoder", "static", "--routers", "knn:k=5", "--seeds", "1"]
    for name, workers in (("one", 1), ("two", 2)):
        more = ["--workers", workers, "--out", tmp_path / name]
        ran = invoke("bench", tmp_path / "table.csv", *options, *more)
        assert ran.code == 0, ran.err
    one, two = (pq.read_table(tmp_path / name / "decisions.parquet") for name in ("one", "two"))
    assert one.equals(two)


def test_processes_of_a_cluster_are_not_counted_here(tmp_path: Path) -> None:
    write_table(make_table(), tmp_path / "table.csv", layout="wide")
    ran = invoke("bench", tmp_path / "table.csv", "--engine", "ray", "--workers", 2)
    assert ran.code == 2
    assert "the cluster decides how many" in ran.err

"""A small table and what `bench` and `train` make of it, once for all tests of the commands."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from equirouter.data.tables import write_table
from equirouter.registry import ENCODERS
from tests.cli.invoke import invoke
from tests.toys import make_table

ROUTERS = ("equirouter:epochs=2", "mlp:epochs=2", "knn:k=5")


class BenchRun(NamedTuple):
    """Where a run's files are, and what it printed under --json."""

    folder: Path
    printed: dict[str, Any]


@pytest.fixture(scope="package", autouse=True)
def _toy_encoder() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
        yield


@pytest.fixture(scope="package")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 queries, 3 models, 4 queries with an unknown cost, as a wide CSV file."""
    path = tmp_path_factory.mktemp("table") / "toy.csv"
    write_table(make_table(), path, layout="wide")
    return path


@pytest.fixture(scope="package")
def bench_run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> BenchRun:
    """Two seeds of three routers at even budgets, with intervals."""
    folder = tmp_path_factory.mktemp("bench")
    arguments = bench_arguments(table, folder, ROUTERS, seeds=2)
    ran = invoke(*arguments, "--policy", "budget-grid", "--json")
    assert ran.code == 0, ran.err
    return BenchRun(folder, json.loads(ran.out))


@pytest.fixture(scope="package")
def pipeline(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved pipeline whose scores estimate performance."""
    return trained(table, tmp_path_factory.mktemp("pipelines") / "knn", "knn:k=5")


FACTS = """
[small]
context_tokens = 8192
abilities = ["json"]
regions = ["EU"]
[large]
context_tokens = 4096
abilities = ["json", "tools"]
regions = ["us", "eu"]
"""


@pytest.fixture(scope="package")
def known_models(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved pipeline that knows something of its models small and large."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "models.toml").write_text(FACTS, "utf-8")
    return trained(table, folder / "known", "knn:k=5", "--model-facts", folder / "models.toml")


@pytest.fixture(scope="package")
def ranking_pipeline(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved pipeline whose scores only rank."""
    return trained(table, tmp_path_factory.mktemp("pipelines") / "ranking", "equirouter:epochs=2")


def bench_arguments(
    table: Path, folder: Path, routers: tuple[str, ...], *, seeds: int = 1
) -> list[object]:
    options = ["--encoder", "toy", "--routers", ",".join(routers), "--out", folder]
    return ["bench", table, *options, "--seeds", seeds, "--resamples", 20]


def trained(table: Path, folder: Path, router: str, *more: object) -> Path:
    options = ["--encoder", "toy", "--router", router, "--quality", "0.3", "--out", folder]
    ran = invoke("train", table, *options, *more)
    assert ran.code == 0, ran.err
    return folder / "versions" / "0001"

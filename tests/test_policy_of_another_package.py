"""A policy that joins by its name works wherever a built-in one does."""

import json
from pathlib import Path

import pytest

from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.registry import ENCODERS, POLICIES
from tests.cli.invoke import invoke
from tests.policy.thirdparty import NearlyBest
from tests.toys import HashingEncoder, make_table


@pytest.fixture(autouse=True)
def _joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES._paths, "nearly", "tests.policy.thirdparty:NearlyBest")
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")


def test_a_pipeline_moves_along_it(tmp_path: Path) -> None:
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2, policy="nearly")
    assert (made.policy, made.calibration.setting) == ("nearly", "slack")
    loaded = RoutingPipeline.load(made.save(tmp_path))
    rule, value = loaded.policy_for()
    assert isinstance(rule, NearlyBest)
    assert rule.slack == value == made.operating_point().value
    queries = make_table().texts
    assert loaded.decide_many(queries) == made.decide_many(queries)
    assert loaded.decide(queries[0], budget_usd=1.0).setting == "budget_usd"


def test_the_command_line_takes_it(tmp_path: Path) -> None:
    from equirouter.data.tables import write_table

    table = tmp_path / "toy.csv"
    write_table(make_table(), table, layout="wide")
    common = ("--encoder", "toy", "--policy", "nearly", "--quiet", "--json")
    ran = invoke("bench", table, "--routers", "knn:k=5", "--seeds", 1, "--out", tmp_path, *common)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["protocol"]["policy"] == "nearly"
    options = ("--router", "knn:k=5", "--quality", "0.3", "--out", tmp_path / "pipeline")
    ran = invoke("train", table, *options, *common)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["slack"] >= 0
    decided = invoke("route", tmp_path / "pipeline", "easy query", "--json")
    assert json.loads(decided.out)["setting"] == "slack"


def test_without_its_package_a_pipeline_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2, policy="nearly")
    folder = made.save(tmp_path)
    monkeypatch.delitem(POLICIES._paths, "nearly")
    ran = invoke("route", folder, "easy query")
    assert ran.code == 2
    assert "no policy named 'nearly'" in ran.err


@pytest.mark.parametrize("command", ["bench", "train"])
def test_an_unknown_policy_is_said_before_any_work(command: str, tmp_path: Path) -> None:
    ran = invoke(command, tmp_path / "no.csv", "--out", tmp_path, "--policy", "utilty")
    assert ran.code == 2
    assert "no policy named 'utilty': did you mean 'utility'?" in ran.err

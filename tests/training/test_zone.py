"""How wide a zone may be: as wide as the noise of the validation queries, and no wider."""

import json
from pathlib import Path

import numpy as np
import pytest

from equirouter.data.tables import write_table
from equirouter.errors import DataError
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import BudgetPolicy, InZone, UtilityPolicy
from equirouter.registry import ENCODERS
from equirouter.training.fit import fit_pipeline
from equirouter.training.zone import zone_width
from tests.cli.invoke import invoke
from tests.toys import HashingEncoder, make_table


def problem(true_gap: float, n: int = 2000) -> tuple[np.ndarray, ...]:
    """Two models, the second ten times as dear; scores say it is better by up to 0.2."""
    rng = np.random.default_rng(0)
    scores = np.full((n, 2), 0.5)
    scores[:, 1] += rng.uniform(0, 0.2, n)
    level = np.array([0.5, 0.5 + true_gap])
    performance = (rng.random((n, 1)) < level).astype(float)  # one draw for both
    cost_usd = np.tile([0.001, 0.01], (n, 1)) * rng.uniform(0.9, 1.1, (n, 2))
    return scores, cost_usd, performance, cost_usd


def test_differences_that_are_none_are_in_the_zone() -> None:
    # the scores speak of up to 0.2, and both models always do the same
    assert zone_width(BudgetPolicy(), *problem(0.0)) > 0.08


def test_differences_that_are_real_are_not() -> None:
    assert zone_width(BudgetPolicy(), *problem(0.3)) == 0.0
    assert zone_width(UtilityPolicy(), *problem(0.3)) == 0.0


def test_two_queries_are_the_least() -> None:
    with pytest.raises(DataError, match="1 validation queries: at least 2"):
        zone_width(BudgetPolicy(), *(table[:1] for table in problem(0.0)))


def test_one_model_has_no_zone() -> None:
    one = [table[:, :1] for table in problem(0.0)]
    assert zone_width(BudgetPolicy(), *one) == 0.0


def test_a_pipeline_keeps_its_zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
    made = fit_pipeline(
        make_table(400),
        HashingEncoder(),
        router="knn:k=5",
        quality=0.2,
        zone=True,
        early_exit=HashingEncoder(salt="cheap"),
    )
    assert made.zones is not None
    assert made.zones.keys() == {"budget_usd", "lambda"}
    made.zones["budget_usd"] = 0.35  # whatever was found, it is what decides
    loaded = RoutingPipeline.load(made.save(tmp_path))
    assert loaded.zones == made.zones
    queries = make_table(400).texts[:50]
    for decision in loaded.decide_many(queries, budget_usd=1.0):
        best = max(decision.scores.values())
        near = [model for model, score in decision.scores.items() if score >= best - 0.35]
        assert decision.model == min(near, key=decision.predicted_costs_usd.__getitem__)
    rule, _ = loaded.policy_for()
    assert isinstance(rule, InZone)
    plain = fit_pipeline(make_table(400), HashingEncoder(), router="knn:k=5", quality=0.2)
    assert plain.zones is None


def test_the_commands_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
    table = tmp_path / "toy.csv"
    write_table(make_table(), table, layout="wide")
    common = ("--encoder", "toy", "--zone", "--json", "--quiet")
    ran = invoke(
        *("bench", table, "--routers", "knn:k=5", "--seeds", 2, "--resamples", 0),
        *("--out", tmp_path / "bench", *common),
    )
    assert ran.code == 0, ran.err
    results = json.loads(ran.out)
    assert results["protocol"]["zone"] is True
    widths = results["zones"]["knn:k=5"]
    assert len(widths) == 2
    assert all(width >= 0 for width in widths)
    ran = invoke("train", table, "--quality", "0.3", "--out", tmp_path / "made", *common)
    assert ran.code == 0, ran.err
    saved = json.loads((tmp_path / "made" / "pipeline.json").read_text("utf-8"))
    assert saved["policy"]["zones"].keys() == {"budget_usd", "lambda"}
    ran = invoke("bench", table, "--policy", "pacing", "--out", tmp_path / "no", *common)
    assert ran.code == 2
    assert "PacingPolicy decides a stream, which has no zone" in ran.err

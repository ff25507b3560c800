"""Pipelines, promises and comparisons from a log with one outcome per query and its propensity."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equirouter import benchmark, train
from equirouter.data.outcomes import Outcomes
from equirouter.errors import DataError
from equirouter.evaluation.diagnosis.measuring import diagnose
from equirouter.evaluation.promotion.comparison import compare
from equirouter.evaluation.promotion.gate import Gate
from equirouter.evaluation.promotion.retrain import challenge, new_queries, trained_like, worth
from equirouter.pipeline import RoutingPipeline
from equirouter.registry import ENCODERS
from equirouter.training.pool_changes import without
from tests.toys import HashingEncoder, make_log, make_table


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")


def fitted(table: Outcomes, quality: float = 0.9, **options: object) -> RoutingPipeline:
    return train(table, HashingEncoder(), quality=quality, resamples=50, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world() -> Outcomes:
    return make_table(4000, incomplete=0)


@pytest.fixture(scope="module")
def from_log(world: Outcomes) -> RoutingPipeline:
    return fitted(make_log(world, 0.3))


def test_a_pipeline_is_trained_and_promised_from_a_log(
    world: Outcomes, from_log: RoutingPipeline, tmp_path: Path
) -> None:
    calibration = from_log.calibration
    # the two smaller models are known with chance 0.15: of 4,000 queries as 600 complete ones tell
    assert 400 < calibration.n_queries < 800
    assert (calibration.lowest, calibration.highest) == (0.0, 1.0)
    assert calibration.strongest_performance == pytest.approx(
        world.performance[:, 2].mean(), abs=0.03
    )
    kept = from_log.provenance.test_metrics["at_quality"]
    assert kept["n_effective"] < 600 < kept["n_queries"] == 2400
    fresh = make_table(3000, seed=5, incomplete=0)
    chosen = [fresh.models.index(from_log.decide(text).model or "") for text in fresh.texts]
    rows = np.arange(3000)
    reached = fresh.performance[rows, chosen].mean() / fresh.performance[:, 2].mean()
    assert reached > 0.9
    assert fresh.cost_usd[rows, chosen].mean() < 0.7 * fresh.cost_usd[:, 2].mean()
    assert from_log.provenance.test_metrics["rci"]["mean"] is None
    from_log.save(tmp_path / "p")
    loaded = RoutingPipeline.load(tmp_path / "p", encoder=HashingEncoder())
    assert loaded.decide("easy task1 query").confidence is None
    assert loaded.record.log is not None
    assert loaded.record.log.tobytes() == from_log.record.log.tobytes()  # type: ignore[union-attr]


def test_a_log_with_little_overlap_promises_nothing(world: Outcomes) -> None:
    log = make_log(world, 0.02)  # 40 calls of each smaller model
    with pytest.raises(
        DataError, match=r"as little as \d+ complete queries would: 95 are the least"
    ):
        fitted(log, 0.98)
    with pytest.raises(DataError, match="0 of 4000 queries have the outcome of every model"):
        fitted(replace(log, propensity=None))


def test_intervals_of_a_comparison_hold_the_truth(world: Outcomes) -> None:
    cheap, expensive = (
        fitted(world.take(np.arange(400)), 0.8),
        fitted(world.take(np.arange(400)), 0.99),
    )
    rest = world.take(np.arange(400, 4000))
    truth = compare(expensive, cheap, rest)
    held = {"quality": 0, "cost": 0, "kept": 0}
    draws = 60
    for seed in range(draws):
        found = compare(expensive, cheap, make_log(rest, 0.3, seed=seed))
        assert 300 < found.n_effective < 1200
        for name in ("quality", "cost"):
            paired = getattr(found, name)
            held[name] += paired.low <= getattr(truth, name).difference <= paired.high
        held["kept"] += found.kept[1].low <= truth.kept[1].value <= found.kept[1].high
    assert min(held.values()) >= 0.87 * draws  # 95 % but for chance: 52 of 60 or fewer in 0.3 %


def test_the_gate_decides_on_a_log(world: Outcomes) -> None:
    champion = fitted(world.take(np.arange(400)), 0.99)
    log = make_log(world.take(np.arange(400, 4000)), 0.3)
    new = new_queries(log, champion)
    assert len(new) == 3600
    assert 400 < worth(log, new) < 700

    def fit(rows: np.ndarray) -> RoutingPipeline:
        return trained_like(champion, log.take(rows))

    made = challenge(champion, log, fit, latest=new, gate=Gate(0.1, 200))
    assert made.comparison is not None
    assert made.comparison.n_queries >= 1800 > made.comparison.n_effective
    assert made.verdict.passes
    refused = challenge(champion, log, lambda _: champion, latest=new, gate=Gate(0.1, 1000))
    assert refused.comparison is None
    assert "complete queries are new to the current version, and 1000 are" in refused.verdict.why


def test_bench_measures_on_a_log_what_it_tells(world: Outcomes) -> None:
    log = make_log(world, 0.3)
    found = benchmark(log, HashingEncoder(), routers=["factors"], n_seeds=1, resamples=50)
    true = benchmark(world, HashingEncoder(), routers=["factors"], n_seeds=1, resamples=50)
    assert "oracle" not in found.anchors
    assert found["factors"].rci.mean is None
    for name in ("factors", "random", "mixture"):
        assert found[name].nauc.mean == pytest.approx(true[name].nauc.mean, abs=0.05)
    assert any("estimates from 4000 queries of a log" in note for note in found.outcomes.notes)
    with pytest.raises(DataError, match="does not tell which model was the best of a query"):
        diagnose(log, HashingEncoder())


def test_the_pool_of_a_pipeline_from_a_log_changes(from_log: RoutingPipeline) -> None:
    left = without(from_log, "middle")
    assert left.models == ("small", "large")
    assert left.record.log is not None
    assert left.record.log.shape[1:] == (3, 2)
    assert 400 < left.calibration.n_queries < 800

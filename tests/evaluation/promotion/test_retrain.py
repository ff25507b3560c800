"""A challenger: what it learns from, what is held out, and what the log adds to a table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equirouter.arrays import FloatArray, IntArray
from equirouter.cost.prices import Price, costs_usd
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import query_prints
from equirouter.errors import DataError
from equirouter.evaluation.promotion.gate import Gate
from equirouter.evaluation.promotion.retrain import (
    challenge,
    new_queries,
    promised_on,
    settled,
    trained_like,
    with_log,
)
from equirouter.evaluation.train import train
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.registry import ENCODERS
from equirouter.training.pool_changes import repriced
from tests.toys import HashingEncoder, make_table


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")


@pytest.fixture(scope="module")
def champion() -> RoutingPipeline:
    return train(make_table(300), HashingEncoder(), router="knn:k=5", quality=0.3)


def two_tables(n: int) -> Outcomes:
    """The 300 queries that the champion knows, and n others after them."""
    others = make_table(n, seed=1, incomplete=0)
    others = replace(others, texts=tuple(f"new {text}" for text in others.texts))
    return with_log(make_table(300), others)


def test_a_pipeline_knows_what_it_learned_from(champion: RoutingPipeline, tmp_path: Path) -> None:
    table = two_tables(50)
    assert new_queries(table, champion).tolist() == list(range(300, 350))
    spoken = replace(table, texts=tuple(f" {text.upper()}\n" for text in table.texts))
    assert new_queries(spoken, champion).tolist() == list(range(300, 350))
    loaded = RoutingPipeline.load(champion.save(tmp_path / "p"), encoder=HashingEncoder())
    assert np.array_equal(loaded.learned, champion.learned)
    whole = make_table(300, incomplete=0)
    kept_out = train(whole, HashingEncoder(), router="knn:k=5", quality=0.3, refit=False)
    assert len(kept_out.learned) == 120  # 4 tenths


def test_neither_learns_from_the_held_out_queries(champion: RoutingPipeline) -> None:
    table, learned = two_tables(150), []

    def fit(rows: IntArray) -> RoutingPipeline:
        learned.append(rows)
        return trained_like(champion, table.take(rows))

    made = challenge(
        champion, table, fit, latest=new_queries(table, champion), gate=Gate(minimum_rows=60)
    )
    assert made.comparison is not None
    assert made.comparison.n_queries == 75  # half of 150, and these are the latest
    assert learned[0].tolist() == list(range(375))
    held_out = query_prints(table.take(range(375, 450)))
    for pipeline in (champion, made.pipeline):
        assert not np.isin(held_out, pipeline.learned).any()
    assert made.pipeline.stage.router.settings == champion.stage.router.settings
    assert made.pipeline.quality == 0.3


@pytest.mark.parametrize(
    ("n_new", "points", "judged"),
    [
        (400, range(400, 500), range(500, 700)),  # half is judged, half of the rest gives points
        (160, range(300, 380), range(380, 460)),  # at least 80
        (159, None, range(379, 459)),  # 79 are left: the points of the training stay
    ],
)
def test_no_query_gives_points_and_is_judged_at_them(
    champion: RoutingPipeline, n_new: int, points: range | None, judged: range
) -> None:
    table, learned, found = two_tables(n_new), [], []

    def fit(rows: IntArray) -> RoutingPipeline:
        learned.append(rows.tolist())
        return trained_like(champion, table.take(rows))

    def promise(made: RoutingPipeline, queries: Outcomes) -> RoutingPipeline:
        found.append([table.texts.index(text) for text in queries.texts])
        return promised_on(made, queries, strongest="large")

    latest = new_queries(table, champion)
    made = challenge(
        champion, table, fit, latest=latest, gate=Gate(minimum_rows=80), promise=promise
    )
    assert made.comparison is not None
    assert made.comparison.n_queries == len(judged)
    assert found == ([] if points is None else [[*points]])
    new = made.pipeline.calibration.n_queries == len(points or ())
    assert new is (points is not None)
    assert learned == [[*range(judged.start if points is None else points.start)]]


def test_a_promise_is_found_anew_on_later_queries(champion: RoutingPipeline) -> None:
    later = two_tables(120).take(range(300, 420))
    worse = later.performance.copy()
    worse[:, 0] = 0.0  # the small model does nothing right any more
    made = promised_on(champion, replace(later, performance=worse), strongest="large")
    assert made.calibration.n_queries == 120 != champion.calibration.n_queries
    assert np.array_equal(made.record.performance, worse)
    assert made.stage.router is champion.stage.router
    new, old = (p.calibration.operating_point(0.9) for p in (made, champion))
    assert new.relative_cost > old.relative_cost
    assert made.provenance.test_metrics == {}


def test_a_promise_stays_a_share_of_the_champions_strongest_model() -> None:
    table = make_table(300, incomplete=0)
    better = table.performance.copy()
    better[:, 1] = 1.0  # as a log of few answers may tell
    made = train(
        replace(table, performance=better), HashingEncoder(), router="knn:k=5", quality=0.3
    )
    assert made.baseline.strongest == "middle"
    kept = promised_on(made, two_tables(120).take(range(300, 420)), strongest="large")
    assert kept.baseline.strongest == "large"


def test_too_few_new_queries_do_not_pass(champion: RoutingPipeline, tmp_path: Path) -> None:
    table = two_tables(59)
    fit = lambda rows: trained_like(champion, table.take(rows))  # noqa: E731
    latest = new_queries(table, champion)
    made = challenge(champion, table, fit, latest=latest, gate=Gate(minimum_rows=60))
    assert made.comparison is None
    assert "59 complete queries are new to the current version, and 60 are" in made.verdict.why
    versions = PipelineVersions(tmp_path)
    versions.promote(versions.add(champion, how="train"), over=None, how="train")
    assert settled(made, versions, over="0001", how="retrain") == "0002"
    assert versions.current == "0001"
    assert versions.history[-1].did == "refused"


def test_one_that_learned_lies_is_not_promoted() -> None:
    table = two_tables(600)
    champion = train(make_table(300), HashingEncoder(), router="knn:k=5", quality=0.9)
    lies = np.where(np.arange(len(table))[:, None] < 600, 1 - table.performance, table.performance)
    fit = lambda rows: trained_like(champion, replace(table, performance=lies).take(rows))  # noqa: E731
    made = challenge(
        champion, table, fit, latest=new_queries(table, champion), gate=Gate(minimum_rows=200)
    )
    assert not made.verdict.passes
    assert made.comparison is not None
    assert made.comparison.quality.high < 0


def test_changed_prices_are_changed_in_the_challenger(champion: RoutingPipeline) -> None:
    expensive, cheap = Price(10, 30), Price(1, 3)
    cheaper = repriced(champion, {"large": cheap}, was={"large": expensive})
    made = trained_like(cheaper, make_table(300))
    assert made.prices[2].now == cheap
    assert made.prices[2].factor() == pytest.approx(0.1)


def test_a_price_that_the_log_was_charged_at_is_not_taken_off_twice() -> None:
    read, written = np.random.default_rng(0).integers(50, 1000, (2, 300, 3)).astype(float)

    def paid(large: Price) -> FloatArray:
        prices = Price(1, 3), Price(1, 3), large
        columns = zip(prices, read.T, written.T, strict=True)
        return np.column_stack([costs_usd(price, *used) for price, *used in columns])

    table = make_table(300, incomplete=0)
    old = replace(table, cost_usd=paid(Price(10, 30)), input_tokens=read, output_tokens=written)
    champion = train(old, HashingEncoder(), router="knn:k=5", quality=0.3)
    cheaper = repriced(champion, {"large": Price(1, 3)})
    late = np.arange(300)[:, None] >= 150
    mixed = replace(old, cost_usd=np.where(late, paid(Price(1, 3)), old.cost_usd))
    costs = [
        trained_like(cheaper, known).decide("hard query").predicted_costs_usd["large"]
        for known in (old, mixed)
    ]
    assert costs[1] == pytest.approx(costs[0], rel=1e-6)
    assert costs[0] == pytest.approx(paid(Price(1, 3))[:, 2].mean(), rel=0.3)


def test_the_log_fills_in_what_the_table_does_not_know() -> None:
    def table(ids: tuple[str, ...], models: tuple[str, ...], cells: list[list[float]]) -> Outcomes:
        values = np.array(cells)
        texts = tuple(f"text {name}" for name in ids)
        return Outcomes(ids, texts, ("t",) * len(ids), models, values, values)

    nan = float("nan")
    base = table(("a", "b"), ("x", "y"), [[0.1, nan], [0.3, 0.4]])
    both = with_log(base, table(("c", "a"), ("y", "z"), [[0.5, 0.6], [0.7, 0.8]]))
    assert both.query_ids == ("a", "b", "log-c")
    assert both.models == ("x", "y", "z")
    expected = [[0.1, 0.7, 0.8], [0.3, 0.4, nan], [nan, 0.5, 0.6]]
    assert np.array_equal(both.performance, expected, equal_nan=True)
    other = replace(base, performance_range=(0.0, 10.0))
    with pytest.raises(DataError, match="bring both to one scale"):
        with_log(other, base)

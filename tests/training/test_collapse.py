"""The policy priced by collapse, and the collapse scores that are predicted for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.cost.prices import Price
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.errors import ConfigError, DataError, UserError
from equirouter.evaluation.benchmark import benchmark
from equirouter.evaluation.train import train
from equirouter.paper.context import Context
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import LessCollapsePolicy, Needs, Pacer, UtilityPolicy
from equirouter.policy.collapse_score import collapse_table
from equirouter.registry import ENCODERS
from equirouter.routers import make_router
from equirouter.training.collapse import fit_collapse, with_prices
from equirouter.training.joining import with_model
from equirouter.training.pool_changes import repriced, without
from equirouter.training.protocol import Prepared, prepare, prepare_in_sample
from tests.cli.invoke import invoke
from tests.toys import HashingEncoder, make_answered_table, make_log, make_table

TABLE = make_table(400, incomplete=0)
QUERIES = ("easy task1 query", "medium task2 query", "hard task3 query", "words never seen")


def split_table(table: Outcomes = TABLE) -> Prepared:
    embeddings = HashingEncoder().encode(table.texts)
    return prepare(table, embeddings, split_outcomes(table), device="cpu")


@pytest.fixture(scope="module")
def made() -> RoutingPipeline:
    return train(TABLE, HashingEncoder(), policy="less-collapse", quality=0.9, confidence=0.5)


def test_collapse_is_predicted_from_the_text() -> None:
    embeddings = HashingEncoder().encode(TABLE.texts)
    prepared = with_prices(prepare_in_sample(TABLE, embeddings, device="cpu"), "collapse")
    predicted = prepared.test.predicted_collapse
    assert predicted is not None
    truth = collapse_table(TABLE.performance, TABLE.cost_usd)
    least = truth[np.arange(400), predicted.argmin(axis=1)].mean()
    assert least < 0.7 * truth.mean(axis=0).min(), "less collapse than any one model's"


def test_a_query_is_predicted_as_if_it_had_not_been_learned_from() -> None:
    part = prepare_in_sample(TABLE, HashingEncoder().encode(TABLE.texts), device="cpu").train
    router, predicted = fit_collapse(part)
    seen = 1.0 - router.predict(part.embeddings)
    off, off_seen = [], []
    for row in range(0, 400, 40):
        others, _ = fit_collapse(part.take(np.delete(np.arange(400), row)))
        without_it = 1.0 - others.predict(part.embeddings[[row]])[0]
        off.append(np.abs(predicted[row] - without_it).mean())
        off_seen.append(np.abs(seen[row] - without_it).mean())
    assert np.mean(off) < 0.5 * np.mean(off_seen)


def test_only_complete_queries_are_learned_from() -> None:
    """What is known of an incomplete query changes nothing, and it is predicted all the same."""
    table = make_table(200, incomplete=60)
    other = table.performance.copy()
    other[:60, 1] = 1.0 - other[:60, 1]
    first, second = (
        fit_collapse(split_table(replace(table, performance=each)).train)[1]
        for each in (table.performance, other)
    )
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


def test_every_router_is_priced_by_the_same_scores_and_the_oracle_by_the_truth() -> None:
    prepared, rule = with_prices(split_table(), "collapse"), LessCollapsePolicy()
    test = prepared.test
    assert test.prices(make_router("knn"), rule) is test.predicted_collapse
    truth = collapse_table(test.performance, test.cost_usd)
    np.testing.assert_array_equal(test.prices(make_router("oracle"), rule), truth)
    assert test.prices(make_router("knn"), UtilityPolicy()) is test.predicted_cost_usd
    with pytest.raises(ConfigError, match="needs predicted collapse scores: with_prices makes"):
        split_table().test.prices(make_router("knn"), rule)


def test_the_choice_is_the_highest_performance_less_priced_collapse(made: RoutingPipeline) -> None:
    seen = made.stage.look(QUERIES)
    assert made.stage.collapse is not None
    collapse = 1 - made.stage.collapse.predict(seen.embeddings).astype(float)
    point = made.operating_point()
    assert point.setting == "collapse_price"
    assert made.provenance.test_metrics["text_free"] is None  # it compares costs, which are no aim
    value = seen.estimates - point.value * collapse
    decisions = [made.decide(query) for query in QUERIES]
    assert [d.model for d in decisions] == [made.models[k] for k in value.argmax(axis=1)]
    ranked = np.argsort(-value, axis=1)
    for decision, order, cost_usd in zip(decisions, ranked, seen.costs, strict=True):
        assert decision.fallbacks == tuple(made.models[k] for k in order[1:])
        assert decision.predicted_cost_usd == cost_usd[order[0]]
    assert made.decide_many(QUERIES) == decisions
    choices = made.decide_many(embeddings=seen.embeddings)
    assert choices.chosen.tolist() == ranked[:, 0].tolist()


def test_it_is_saved_and_decides_the_same_bit_for_bit(
    made: RoutingPipeline, tmp_path: Path
) -> None:
    loaded = RoutingPipeline.load(made.save(tmp_path), encoder=HashingEncoder())
    assert loaded.decide_many(TABLE.texts) == made.decide_many(TABLE.texts)
    assert loaded.policy_for()[1] == made.policy_for()[1]


def test_less_collapse_than_a_price_of_cost_at_equal_quality() -> None:
    """As on real tables: the same estimates, and RCI at 95 % is lower where it is the aim."""
    rci = {}
    for policy in ("utility", "less-collapse"):
        results = benchmark(
            make_table(600, incomplete=0),
            HashingEncoder(),
            routers=("factors", "knn:k=5"),
            policy=policy,
            n_seeds=2,
            resamples=0,
        )
        assert results.protocol.read_at == "every change of a decision"
        assert results.anchors["oracle"].rci.mean == 0
        rci[policy] = results["factors"].rci_at_quality["0.95"].mean
    assert rci["less-collapse"] is not None
    assert rci["utility"] is not None
    assert rci["less-collapse"] < rci["utility"]


def test_constraints_other_controls_and_the_strongest_model_work(made: RoutingPipeline) -> None:
    for query in QUERIES:
        left = made.decide(query, needs=Needs(exclude=frozenset({"large"})))
        assert "large" not in (left.model, *left.fallbacks)
        assert made.decide(query, budget_usd=5e-4).model == "small"
        assert made.decide(query, lambda_=1e6).model == "small"
        assert made.decide(query, quality=1.0, confidence=0.99).model == "large"
    paced = made.pace([], Pacer(1e-3))  # by money, as in any pipeline
    assert paced == []


def test_without_a_model_the_scores_are_learned_anew(made: RoutingPipeline) -> None:
    """Who matches whom has changed: without the small model the middle one is never beaten."""
    left = without(made, "small")
    record = left.record
    truth = collapse_table(record.performance, record.cost_usd)
    seen = left.stage.look_at(record.embeddings).prices_for("collapse")
    np.testing.assert_allclose(seen.mean(axis=0), truth.mean(axis=0), atol=0.02)
    assert {left.decide(query).model for query in QUERIES} <= {"middle", "large"}


def test_at_other_prices_the_scores_are_learned_anew(made: RoutingPipeline) -> None:
    """The largest model becomes the cheapest, so calling it wastes nothing."""
    trained = {"large": Price(1.0, 1.0)}
    now = {"large": Price(1e-3, 1e-3)}
    after = repriced(made, now, was=trained)
    before, seen = (each.stage.look(QUERIES[:2]).prices_for("collapse") for each in (made, after))
    assert (seen[:, 2] < 0.5 * before[:, 2]).all()
    assert [after.decide(query).model for query in QUERIES[:2]] == ["large", "large"]


def test_a_model_cannot_join(made: RoutingPipeline) -> None:
    table = replace(TABLE, models=("small", "middle", "new"))
    with pytest.raises(ConfigError, match="those of 'new' would be estimates: train on a table"):
        with_model(made, table, "new", price=Price(1.0, 1.0))


def test_a_log_is_refused() -> None:
    log = make_log(make_table(400, incomplete=0), 0.5)
    for run in (
        lambda: train(log, HashingEncoder(), policy="less-collapse"),
        lambda: benchmark(log, HashingEncoder(), routers=("knn",), policy="less-collapse"),
    ):
        with pytest.raises(DataError, match="a log does not tell which models matched"):
            run()


def test_an_export_and_the_experiments_on_cost_are_refused(
    made: RoutingPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
    folder = made.save(tmp_path / "pipeline")
    ran = invoke("export", folder, "--out", tmp_path / "graph.onnx")
    assert ran.code == 2
    assert "priced by predicted collapse scores, which the file would lack" in ran.err
    with pytest.raises(UserError, match="less-collapse shows it beside utility"):
        Context(TABLE, HashingEncoder(), ("knn",), policy="less-collapse")


def test_several_models_are_not_asked_to_save_money() -> None:
    made = train(
        make_answered_table(),
        HashingEncoder(),
        policy="less-collapse",
        answers_by="exact",
        quality=0.9,
    )
    assert made.plans is None
    assert any(note.startswith("no plans:") for note in made.provenance.data["notes"])


def test_a_router_that_only_ranks_is_calibrated_first() -> None:
    given: dict[str, Any] = {"router": "avengerspro:original", "quality": 0.9}
    made = train(TABLE, HashingEncoder(), policy="less-collapse", confidence=0.5, **given)
    assert made.stage.router.scores_are == "ranking"
    assert made.stage.scale is not None
    assert made.decide("hard task1 query").model == "large"
    assert made.decide("easy task1 query").model != "large"

"""A trained pipeline at other prices, and without one of its models."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equirouter.cost.prices import Price, Tier, costs_usd
from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.training.pool_changes import cost_factor, costs_now, repriced, without
from tests.toys import HashingEncoder, make_table

QUERIES = ("easy task1 query", "medium task2 query", "hard task3 query", "words never seen")
CHEAP, MIDDLE, EXPENSIVE = Price(0.5, 1.0), Price(2.0, 8.0), Price(20.0, 60.0)


def with_tokens() -> Outcomes:
    """The toy table with tokens, and the costs that follow from them at three prices."""
    table = make_table(200, incomplete=0)
    rng = np.random.default_rng(1)
    given = rng.integers(50, 400, (200, 1)) * np.ones(3)
    said = rng.integers(10, 200, (200, 3)).astype(np.float64)
    prices = (CHEAP, MIDDLE, EXPENSIVE)
    costs = [costs_usd(p, given[:, j], said[:, j]) for j, p in enumerate(prices)]
    return replace(table, cost_usd=np.stack(costs, axis=1), input_tokens=given, output_tokens=said)


@pytest.fixture(scope="module", params=["costs", "tokens"])
def made(request: pytest.FixtureRequest) -> RoutingPipeline:
    table = make_table(200, incomplete=0) if request.param == "costs" else with_tokens()
    return train(table, HashingEncoder(), router="knn:k=5", quality=0.5)


@pytest.fixture(scope="module")
def tokens() -> RoutingPipeline:
    return train(with_tokens(), HashingEncoder(), router="knn:k=5", quality=0.5)


def known(pipeline: RoutingPipeline) -> RoutingPipeline:
    """The same pipeline, its prices in the outcomes stated where they are not known."""
    if pipeline.prices[0].now is not None:
        return pipeline
    names = zip(pipeline.models, (CHEAP, MIDDLE, EXPENSIVE), strict=True)
    stated = dict(names)
    return repriced(pipeline, stated, was=stated)


def test_the_prices_are_found_in_tokens_and_costs(tokens: RoutingPipeline) -> None:
    assert tokens.stage.cost_model.predicts == "tokens"
    for price, true in zip(tokens.prices, (CHEAP, MIDDLE, EXPENSIVE), strict=True):
        assert price.now == price.trained
        assert price.now is not None
        assert price.now.input_usd_per_mtok == pytest.approx(true.input_usd_per_mtok, rel=1e-4)
        assert price.now.output_usd_per_mtok == pytest.approx(true.output_usd_per_mtok, rel=1e-4)


def test_the_same_prices_change_nothing(made: RoutingPipeline) -> None:
    again = known(made)
    assert again.calibration == made.calibration
    assert again.baseline == made.baseline
    for budget_usd, quality in ((None, None), (0.002, None), (None, 0.8)):
        decided = made.decide_many(QUERIES, budget_usd=budget_usd, quality=quality)
        assert again.decide_many(QUERIES, budget_usd=budget_usd, quality=quality) == decided


def test_half_the_price_of_all_halves_all_costs_and_operating_points(made: RoutingPipeline) -> None:
    before = known(made)
    half = {
        price.model: Price(price.now.input_usd_per_mtok / 2, price.now.output_usd_per_mtok / 2)
        for price in before.prices
        if price.now is not None
    }
    assert len(half) == 3
    after = repriced(before, half)
    old, new = (pipeline.decide_many(QUERIES, quality=0.8) for pipeline in (before, after))
    for one, other in zip(old, new, strict=True):
        assert other.model == one.model
        for model in before.models:
            cost = one.predicted_costs_usd[model]
            assert other.predicted_costs_usd[model] == pytest.approx(cost / 2, rel=1e-6)
        # performance per USD: a model must give twice as much for one
        assert other.value == pytest.approx(2 * one.value, rel=1e-6)
    assert after.calibration.performance == pytest.approx(before.calibration.performance)
    assert np.array(after.calibration.cost_usd) == pytest.approx(
        np.array(before.calibration.cost_usd) / 2
    )
    assert cost_factor(after, "small")[0] == pytest.approx(0.5)


def test_the_pipeline_that_was_is_not_changed(made: RoutingPipeline) -> None:
    before = known(made)
    seen = before.decide_many(QUERIES, budget_usd=0.002)
    repriced(before, {"large": Price(200.0, 600.0)})
    assert before.decide_many(QUERIES, budget_usd=0.002) == seen


def test_a_model_that_gets_cheap_is_chosen_more(made: RoutingPipeline) -> None:
    before = known(made)
    after = repriced(before, {"large": Price(0.02, 0.06)})  # a thousandth
    embeddings = HashingEncoder().encode(make_table().texts)
    chosen = [p.decide_many(embeddings=embeddings, lambda_=100.0).chosen for p in (before, after)]
    assert (chosen[1] == 2).mean() > (chosen[0] == 2).mean() + 0.2
    # the strongest model costs next to nothing: all of its quality does too
    point = after.calibration.operating_point(0.8)
    assert point.relative_performance >= 0.8
    assert after.calibration.strongest_cost_usd < before.calibration.strongest_cost_usd / 900


def test_input_and_output_change_apart_where_tokens_are_known(tokens: RoutingPipeline) -> None:
    embeddings = HashingEncoder().encode(QUERIES)
    amounts = tokens.stage.cost_model.amounts(embeddings)
    after = repriced(tokens, {"large": Price(0.0, 60.0, tiers=(Tier(10**6, EXPENSIVE),))})
    found = after.decide_many(QUERIES, lambda_=1.0)
    for row, decision in enumerate(found):
        expected = amounts[row, 5] * 60.0 / 1e6  # the answer's tokens alone
        assert decision.predicted_costs_usd["large"] == pytest.approx(expected, rel=1e-5)
    record = tokens.record
    assert record.tokens is not None
    paid = record.tokens[1][:, 2] * 60.0 / 1e6
    np.testing.assert_allclose(costs_now(record, after.prices)[:, 2], paid, rtol=1e-3)
    factor, low, high = cost_factor(after, "large")
    assert (
        factor == low == high == pytest.approx(paid.sum() / record.cost_usd[:, 2].sum(), rel=0.01)
    )


def test_calls_of_unknown_tokens_become_more_expensive_as_the_others_of_the_model() -> None:
    table = with_tokens()
    given, said = np.array(table.input_tokens), np.array(table.output_tokens)
    given[::4, 2] = said[::4, 2] = np.nan
    made = train(
        replace(table, input_tokens=given, output_tokens=said),
        HashingEncoder(),
        router="knn:k=5",
        quality=0.5,
    )
    record = made.record
    assert record.tokens is not None
    unknown = np.isnan(record.tokens[0][:, 2])
    assert 0 < unknown.sum() < len(unknown)
    after = repriced(made, {"large": Price(EXPENSIVE.input_usd_per_mtok, 0.0)})
    now, paid = costs_now(record, after.prices)[:, 2], record.cost_usd[:, 2]
    expected = record.tokens[0][:, 2] * EXPENSIVE.input_usd_per_mtok / 1e6
    np.testing.assert_allclose(now[~unknown], expected[~unknown], rtol=1e-3)
    factor = now[~unknown].sum() / paid[~unknown].sum()
    np.testing.assert_allclose(now[unknown], factor * paid[unknown])
    assert cost_factor(after, "large")[0] == pytest.approx(factor)
    assert np.isfinite(after.calibration.cost_usd).all()


def test_without_tokens_two_ratios_are_refused() -> None:
    costs = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2)
    with pytest.raises(ConfigError, match=r"'large'.*is not known.*--was-input"):
        repriced(costs, {"large": Price(1.0, 2.0)})
    with pytest.raises(ConfigError, match=r"different factors \(0.5 and 1\)"):
        repriced(costs, {"large": Price(1.0, 2.0)}, was={"large": Price(2.0, 2.0)})
    with pytest.raises(ConfigError, match="no model 'huge'; its models are small, middle, large"):
        repriced(costs, {"huge": Price(1.0, 2.0)})


def test_where_the_price_is_published_the_share_of_the_input_is_estimated() -> None:
    table = replace(
        make_table(incomplete=0),
        models=("mistralai/mistral-7b-chat", "mistralai/mixtral-8x7b-chat", "gpt-4-1106-preview"),
    )
    made = train(table, HashingEncoder(), router="knn:k=5", quality=0.2)
    tokens = np.array([-(-len(text) // 4) for text in table.texts])
    price = made.prices[2]
    assert price.now == Price(10.0, 30.0)
    share = 10.0 * tokens.mean() / 1e6 / table.cost_usd[:, 2].mean()
    assert price.input_share == pytest.approx(share, rel=0.05)  # the training part alone
    after = repriced(made, {"gpt-4-1106-preview": Price(10.0, 15.0)})
    assert price.input_share is not None
    factor, low, high = cost_factor(after, "gpt-4-1106-preview")
    assert factor == pytest.approx(price.input_share + (1 - price.input_share) / 2)
    assert low < factor < high


def test_saved_prices_stay(made: RoutingPipeline, tmp_path: Path) -> None:
    after = repriced(known(made), {"large": Price(10.0, 30.0, cached_input_usd_per_mtok=1.0)})
    folder = after.save(tmp_path)
    loaded = RoutingPipeline.load(folder, encoder=HashingEncoder())
    assert loaded.prices == after.prices
    assert loaded.decide_many(QUERIES) == after.decide_many(QUERIES)
    assert loaded.calibration == after.calibration
    described = json.loads((folder / "pipeline.json").read_text("utf-8"))
    assert described["test_metrics"] == {}
    assert "prices changed: large" in described["data"]["notes"][-1]
    # and may change again, always against what was trained on
    back = repriced(loaded, {"large": EXPENSIVE}).calibration
    assert back.points == pytest.approx(known(made).calibration.points, rel=1e-6)
    assert back.cost_usd == pytest.approx(known(made).calibration.cost_usd, rel=1e-6)


@pytest.mark.parametrize("router", ["equirouter:epochs=2", "mlp:epochs=2", "knn:k=5", "linear"])
def test_without_a_model_the_others_score_as_before(router: str, tmp_path: Path) -> None:
    made = train(with_tokens(), HashingEncoder(), router=router, quality=0.3)
    left = without(made, "middle")
    assert left.models == ("small", "large")
    for before, after in zip(
        made.decide_many(QUERIES, budget_usd=0.01),
        left.decide_many(QUERIES, budget_usd=0.01),
        strict=True,
    ):
        for model in left.models:
            assert after.scores[model] == pytest.approx(before.scores[model], abs=1e-5)
            cost = before.predicted_costs_usd[model]
            assert after.predicted_costs_usd[model] == pytest.approx(cost, rel=1e-5)
        assert after.model in left.models
    assert left.baseline.strongest == "large"
    loaded = RoutingPipeline.load(left.save(tmp_path), encoder=HashingEncoder())
    assert loaded.decide_many(QUERIES) == left.decide_many(QUERIES)


def test_without_the_strongest_another_is(made: RoutingPipeline) -> None:
    left = without(made, "large")
    assert (made.baseline.strongest, left.baseline.strongest) == ("large", "middle")
    mean = left.record.performance.mean(axis=0)
    assert left.calibration.strongest_performance == pytest.approx(mean[1])
    with pytest.raises(ConfigError, match="one model left"):
        without(left, "small")


def test_a_quality_that_no_other_point_keeps_goes_to_the_strongest() -> None:
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2)
    made.quality, made.confidence = 1.0, 0.999  # more than a few queries can promise
    left = without(made, "large")
    assert left.operating_point().setting == "strongest"
    assert {decision.model for decision in left.decide_many(QUERIES)} == {"middle"}
    assert without(made, "large", quality=0.1).quality == 0.1

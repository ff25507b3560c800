"""A model joins a trained pipeline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equirouter.cost.prices import Price, costs_usd
from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.training.joining import with_model
from equirouter.training.pool_changes import described_models, repriced, without
from tests.toys import HashingEncoder, make_table

QUERIES = ("easy task1 query", "medium task2 query", "hard task3 query", "words never seen")
PRICES = (Price(0.5, 1.0), Price(2.0, 8.0), Price(20.0, 60.0))


def table(*, tokens: bool, seed: int = 0) -> Outcomes:
    """The toy table; with tokens, the costs follow from them."""
    made = make_table(300, seed, incomplete=0)
    if not tokens:
        return made
    rng = np.random.default_rng([seed, 1])
    given = rng.integers(50, 400, (300, 1)) * np.ones(3)
    said = rng.integers(10, 200, (300, 3)).astype(np.float64)
    costs = [costs_usd(p, given[:, j], said[:, j]) for j, p in enumerate(PRICES)]
    return replace(made, cost_usd=np.stack(costs, axis=1), input_tokens=given, output_tokens=said)


def fit(*, tokens: bool, router: str = "factors") -> RoutingPipeline:
    """A pipeline of `small` and `large`."""
    return train(
        table(tokens=tokens).with_models(["small", "large"]),
        HashingEncoder(),
        router=router,
        quality=0.5,
    )


@pytest.fixture(scope="module")
def costs() -> RoutingPipeline:
    return fit(tokens=False)


@pytest.fixture(scope="module")
def tokens() -> RoutingPipeline:
    return fit(tokens=True)


def labels(*, tokens: bool, n: int = 80) -> Outcomes:
    """Other queries with the outcomes of all three."""
    return table(tokens=tokens, seed=1).take(np.arange(n))


@pytest.mark.parametrize("router", ["factors", "knn:k=5", "equirouter:epochs=5", "mlp:epochs=20"])
@pytest.mark.parametrize("kind", ["costs", "tokens"])
def test_a_model_joins(router: str, kind: str, tmp_path: Path) -> None:
    before = fit(tokens=kind == "tokens", router=router)
    joined = with_model(before, labels(tokens=kind == "tokens"), "middle")
    after = joined.pipeline
    assert after.models == ("small", "large", "middle")
    assert joined.n_labels == 80
    assert joined.follows.keys() == {"small", "large"}
    embeddings = HashingEncoder().encode(table(tokens=False, seed=2).texts)
    truth = table(tokens=False, seed=2).performance[:, 1]
    scores = after.stage.router.predict(embeddings).astype(np.float64)
    assert after.stage.scale is not None
    guess = after.stage.scale.apply(scores)[:, 2]
    assert ((guess - truth) ** 2).mean() < ((truth.mean() - truth) ** 2).mean()
    # the costs of the new model are near its own, those of the others as they were
    paid = labels(tokens=kind == "tokens").cost_usd[:, 1].mean()
    predicted = after.stage.cost_model.predict(embeddings)
    assert predicted[:, 2].mean() == pytest.approx(paid, rel=0.3)
    np.testing.assert_allclose(
        predicted[:, :2], before.stage.cost_model.predict(embeddings), rtol=1e-6
    )
    loaded = RoutingPipeline.load(after.save(tmp_path), encoder=HashingEncoder())
    assert loaded.decide_many(QUERIES) == after.decide_many(QUERIES)
    assert loaded.record.estimated.tolist() == [False, False, True]
    assert described_models(loaded)[2].estimated is True
    assert "added middle from 80 labelled queries" in loaded.provenance.data["notes"][-1]


def test_the_new_model_is_chosen_where_it_is_enough(costs: RoutingPipeline) -> None:
    after = with_model(costs, labels(tokens=False, n=200), "middle").pipeline
    new = table(tokens=False, seed=3)
    chosen = after.decide_many(embeddings=HashingEncoder().encode(new.texts), lambda_=30.0).chosen
    hard = np.array([text.startswith("hard") for text in new.texts])
    assert (chosen[~hard] == 2).mean() > 0.9  # the middle one can do these, for a tenth
    assert (chosen[hard] == 1).mean() > 0.9


def test_a_model_that_joined_can_get_cheaper_and_leave(tokens: RoutingPipeline) -> None:
    after = with_model(tokens, labels(tokens=True), "middle").pipeline
    assert after.prices[2].now is not None
    assert after.prices[2].now.input_usd_per_mtok == pytest.approx(2.0, rel=1e-3)
    cheap = repriced(after, {"middle": Price(0.002, 0.008)})
    ratio = [
        p.decide(QUERIES[0], lambda_=1.0).predicted_costs_usd["middle"] for p in (after, cheap)
    ]
    assert ratio[1] == pytest.approx(ratio[0] / 1000, rel=1e-4)
    gone = without(after, "middle")
    assert gone.calibration.points == pytest.approx(tokens.calibration.points)
    assert gone.calibration.performance == pytest.approx(tokens.calibration.performance)


def test_what_is_not_known_is_estimated_and_corrected_by_the_labels(
    costs: RoutingPipeline,
) -> None:
    given = labels(tokens=False)
    record = with_model(costs, given, "middle").pipeline.record
    assert record.log is not None
    known, _, weights = record.log.swapaxes(0, 1)
    assert np.array_equal(np.isfinite(known), np.repeat([[1, 1, 0], [0, 0, 1]], [300, 80], axis=0))
    # the other models answered 300 of 380 queries, the new one 80
    assert weights[:300, :2] == pytest.approx(380 / 300)
    assert weights[300:, 2] == pytest.approx(380 / 80)
    assert np.array_equal(known[300:, 2], given.performance[:, 1])
    # a label moves its estimate to where 380 / 80 queries as wrong would move the mean
    estimate = (record.performance[300:, 2] - known[300:, 2] * 4.75) / (1 - 4.75)
    assert ((estimate >= 0) & (estimate <= 1)).all()
    right = known[300:, 2] >= 0.5
    assert estimate[right].mean() > estimate[~right].mean() + 0.1


def test_the_promise_counts_how_few_labels_there_are(costs: RoutingPipeline) -> None:
    made = [
        with_model(costs, labels(tokens=False, n=n), "middle").pipeline.calibration
        for n in (20, 200)
    ]
    # where most queries go to the new model, little is known but its labels
    assert made[0].n_queries < 25 < 200 < made[1].n_queries
    assert max(made[0].counts) > 200
    cost = [one.operating_point(0.9, 0.85).relative_cost for one in made]
    assert cost[0] > cost[1]


def test_a_model_above_the_strongest_is_the_strongest() -> None:
    made = train(
        table(tokens=False).with_models(["small", "middle"]),
        HashingEncoder(),
        router="factors",
        quality=0.5,
    )
    after = with_model(made, labels(tokens=False), "large").pipeline
    assert (made.baseline.strongest, after.baseline.strongest) == ("middle", "large")


def test_what_cannot_join_is_refused(costs: RoutingPipeline, tokens: RoutingPipeline) -> None:
    given = labels(tokens=False)
    with pytest.raises(ConfigError, match="has 'large' already"):
        with_model(costs, given, "large")
    with pytest.raises(ConfigError, match="has no model 'huge'; its models are small"):
        with_model(costs, given, "huge")
    with pytest.raises(DataError, match="9 queries have the whole outcome"):
        with_model(costs, given.take(np.arange(9)), "middle")
    with pytest.raises(DataError, match="no input_tokens and output_tokens"):
        with_model(tokens, given, "middle")
    percent = replace(given, performance=given.performance * 100, performance_range=(0, 100))
    with pytest.raises(DataError, match="from 0 to 100, that of the other models from 0 to 1"):
        with_model(costs, percent, "middle")
    unexplained = replace(labels(tokens=True), cost_usd=given.cost_usd)
    with pytest.raises(ConfigError, match="no price explains what the calls of 'middle' cost"):
        with_model(tokens, unexplained, "middle")
    stated = with_model(tokens, unexplained, "middle", price=PRICES[1]).pipeline
    assert stated.prices[2].now == PRICES[1]


def test_a_query_that_is_only_an_image_teaches_nothing_to_an_encoder_of_text(
    costs: RoutingPipeline,
) -> None:
    given = labels(tokens=False)
    pictured = replace(
        given, texts=("", *given.texts[1:]), image_paths=("x.png",) * given.n_queries
    )
    assert with_model(costs, pictured, "middle").n_labels == given.n_queries - 1


def test_a_model_joins_where_tokens_are_known_and_costs_do_not_follow_from_them(
    tmp_path: Path,
) -> None:
    world = make_table(300, incomplete=0)
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 100, (2, 300, 3)).astype(np.float64)
    world = replace(world, input_tokens=counts[0], output_tokens=counts[1])
    old = world.with_models(["small", "large"])
    made = train(old, HashingEncoder(), router="factors", quality=0.3, resamples=0)
    assert made.stage.cost_model.predicts == "cost_usd"
    grown = with_model(made, world, "middle").pipeline
    loaded = RoutingPipeline.load(grown.save(tmp_path / "p"), encoder=HashingEncoder())
    assert loaded.record.cost_usd.shape == loaded.record.performance.shape
    assert loaded.record.tokens is None

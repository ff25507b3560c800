"""Two pipelines on the same queries, and what the gate makes of it: by hand."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.promotion.comparison import (
    Comparison,
    Paired,
    Share,
    compare,
    paired_share,
)
from equirouter.evaluation.promotion.gate import Gate
from equirouter.evaluation.train import train
from equirouter.pipeline import RoutingPipeline
from tests.toys import HashingEncoder, make_table


def test_a_paired_share_by_hand() -> None:
    # 200 differences: 10 of -1, 190 of 0; the reference is always 0.5
    difference = np.repeat([-1.0, 0.0], [10, 190])
    share, low, high = paired_share(difference, np.full(200, 0.5), spread=2.0, n_effective=200)
    assert share == pytest.approx(-0.1)  # -0.05 / 0.5
    # residuals: 10 of -1.9, 190 of 0.1: mean square (36.1 + 1.9) / 200 = 0.19;
    # with half an observation of +2 and half of -2: (0.19 * 200 + 4) / 202 = 0.20792
    half = 1.95996 * (0.207921 / 202) ** 0.5
    middle = -0.1 * 200 / 202
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-5)


def test_no_difference_seen_is_no_proof_of_none() -> None:
    nothing, ones = np.zeros(30), np.ones(30)
    _, low, high = paired_share(nothing, ones, spread=1.0, n_effective=30)
    # variance 1 / 32, over 32: standard error 1 / 32
    assert (low, high) == pytest.approx((-1.95996 / 32, 1.95996 / 32), abs=1e-5)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(2000):
        better, worse, strong = (rng.random(300) < p for p in (0.04, 0.06, 0.8))
        difference = better.astype(float) - worse
        found = paired_share(difference, strong.astype(float), spread=1.25, n_effective=300)
        held += found[1] <= -0.02 / 0.8 <= found[2]
    assert 0.935 < held / 2000 < 0.98


def always(pipeline: RoutingPipeline, quality: float) -> RoutingPipeline:
    return replace(pipeline, quality=quality)


@pytest.fixture(scope="module")
def made() -> RoutingPipeline:
    return train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.3)


def test_a_pipeline_against_itself_and_against_always_the_strongest(made: RoutingPipeline) -> None:
    world = make_table(400, seed=9)
    found = compare(made, made, world)
    assert (found.n_queries, found.same, found.quality.difference) == (396, 1.0, 0.0)
    strong = compare(made, always(made, 1.0), world)
    complete = world.take(world.is_complete)
    assert strong.kept[1].value == strong.cost.challenger == 1.0
    chosen = [made.decide(text).model for text in complete.texts]
    columns = [complete.models.index(str(model)) for model in chosen]
    row = np.arange(396)
    reached = complete.performance[row, columns].mean() / complete.performance[:, 2].mean()
    paid = complete.cost_usd[row, columns].mean() / complete.cost_usd[:, 2].mean()
    assert strong.quality.champion == strong.kept[0].value == pytest.approx(reached)
    assert strong.cost.champion == pytest.approx(paid)
    assert strong.quality.low < strong.quality.difference < strong.quality.high
    assert set(strong.tasks) == {"task0", "task1", "task2", "task3"}
    assert strong.decision_ms is not None


def test_a_task_has_figures_of_its_own_from_30_queries_on(made: RoutingPipeline) -> None:
    world = make_table(400, seed=9, incomplete=0)
    for n, named in ((29, {"large"}), (30, {"large", "little"})):
        table = replace(world, tasks=("little",) * n + ("large",) * (400 - n))
        assert set(compare(made, made, table).tasks) == named


def test_queries_that_say_the_same_count_as_one(made: RoutingPipeline) -> None:
    world = make_table(400, seed=9, incomplete=0)
    turned = tuple(" ".join(reversed(text.split())) for text in world.texts)
    twice = Outcomes(
        query_ids=(*world.query_ids, *(f"{name}-again" for name in world.query_ids)),
        texts=(*world.texts, *turned),
        tasks=world.tasks * 2,
        models=world.models,
        performance=np.tile(world.performance, (2, 1)),
        cost_usd=np.tile(world.cost_usd, (2, 1)),
    )
    once, again = (compare(made, always(made, 1.0), table) for table in (world, twice))
    assert (once.n_effective, again.n_queries, again.n_effective) == (400, 800, 400)
    assert again.quality.low == pytest.approx(once.quality.low)


def test_a_table_without_a_model_of_the_pipeline(made: RoutingPipeline) -> None:
    with pytest.raises(DataError, match="no outcomes of middle"):
        compare(made, made, make_table().with_models(["small", "large"]))


def found(
    kept: tuple[float, float] = (0.99, 0.99), cost: float = 0.5, **changes: object
) -> Comparison:
    """A comparison on 500 queries, every figure sure to 0.01; the champion costs 0.5."""
    champion, challenger = (Share(q, q - 0.01, q + 0.01) for q in kept)
    whole = Comparison(
        n_queries=500,
        n_effective=500,
        strongest="large",
        promised=(0.98, 0.98),
        kept=(champion, challenger),
        quality=paired(*kept),
        cost=paired(0.5, cost),
        tasks={},
        decision_ms=None,
        same=0.9,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def paired(champion: float, challenger: float) -> Paired:
    less = challenger - champion
    return Paired(champion, challenger, less, less - 0.01, less + 0.01)


@pytest.mark.parametrize(
    ("kept", "cost"),
    [
        ((0.99, 0.99), 0.5),  # as good
        ((0.99, 0.985), 0.515),  # lower and more expensive by less than the margin
        ((1.02, 0.98), 0.48),  # 0.04 lower, as promised, and surely cheaper
        ((0.9, 0.92), 0.7),  # it repairs a promise that is broken, at a cost
        ((0.975, 1.0), 0.7),  # or that seems to be
        ((0.97, 0.975), 0.51),  # below the promise, and no worse
    ],
)
def test_one_that_is_better_or_equal_passes(kept: tuple[float, float], cost: float) -> None:
    assert Gate().judge(found(kept, cost)).why == ""


@pytest.mark.parametrize(
    ("comparison", "says"),
    [
        (found(n_effective=199.0), "worth 199 different ones, are too few: 200"),
        (found((1.02, 0.968), 0.1), "may be below both by 0.02 (difference [-0.062, -0.042])"),
        (found((1.02, 0.979), 0.1), "where 0.98 is promised and 1.020 kept now: below the promise"),
        (found((0.97, 0.965), 0.1), "below the promise it must not be lower"),
        (found((1.02, 0.98), 0.495), "may keep less (difference [-0.050, -0.030]), and is not"),
        (found((0.99, 1.0), 0.53), "costs 53.0% of always large where 50.0% is paid now"),
        (found((0.985, 1.0), 0.53), "costs 53.0%"),  # the champion keeps its promise
        (found(promised=(0.98, 0.5), kept=(1.02, 0.9), cost=0.1), "where 0.98 is promised"),
        (found(tasks={"law": paired(0.99, 0.955)}), "on 'law' it keeps 0.955"),
        (
            found(decision_ms=Paired(1.0, 20.0, 19.0, 11.0, 27.0)),
            "takes 20.0 ms, and 1.0 ms now",
        ),
    ],
)
def test_one_that_does_not_pass_is_told_why(comparison: Comparison, says: str) -> None:
    verdict = Gate().judge(comparison)
    assert not verdict.passes
    assert says in verdict.why


def test_a_task_is_not_asked_for_more_than_the_promise() -> None:
    assert Gate().judge(found(tasks={"law": paired(1.1, 0.97)})).passes


def test_a_gate_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="margin is 0"):
        Gate(0.0)
    with pytest.raises(ConfigError, match="minimum_rows is 29"):
        Gate(minimum_rows=29)
    assert Gate(minimum_rows=30).minimum_rows == 30

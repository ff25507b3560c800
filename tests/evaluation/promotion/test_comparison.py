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


def found(**changes: object) -> Comparison:
    """A challenger that is as good and as dear as the champion, shown on 500 queries."""
    same = Paired(0.97, 0.97, 0.0, -0.01, 0.01)
    kept = Share(0.97, 0.96, 0.98)
    whole = Comparison(500, 500, "large", (0.98, 0.98), (kept, kept), same, same, {}, None, 0.9)
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_one_as_good_passes() -> None:
    assert Gate().judge(found()).passes


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_effective": 199.0}, "worth 199 different ones, are too few: 200"),
        ({"quality": Paired(0.959, 0.856, -0.103, -0.13, -0.07)}, "keeps 0.856 of large's quality"),
        ({"quality": Paired(0.97, 0.98, 0.01, -0.021, 0.04)}, "may be below -0.02"),
        ({"cost": Paired(0.5, 0.53, 0.03, 0.01, 0.05)}, "costs 53.0% of always large where 50.0%"),
        (
            {"kept": (Share(0.97, 0.95, 0.985), Share(0.96, 0.94, 0.979))},
            "promises 0.98 and keeps 0.960",
        ),
        ({"tasks": {"law": Paired(0.9, 0.8, -0.1, -0.15, -0.03)}}, "on 'law' it keeps 0.800"),
        ({"decision_ms": Paired(1.0, 20.0, 19.0, 11.0, 27.0)}, "takes 20.0 ms, and 1.0 ms now"),
    ],
)
def test_one_that_does_not_pass_is_told_why(changes: dict[str, object], says: str) -> None:
    verdict = Gate().judge(found(**changes))
    assert not verdict.passes
    assert says in verdict.why


def test_what_repairs_a_broken_promise_may_cost_more() -> None:
    kept = (Share(0.90, 0.88, 0.92), Share(0.98, 0.96, 1.0))
    dearer = Paired(0.3, 0.6, 0.3, 0.25, 0.35)
    better = Paired(0.9, 0.98, 0.08, 0.05, 0.11)
    assert Gate().judge(found(kept=kept, quality=better, cost=dearer)).passes
    assert not Gate().judge(found(quality=better, cost=dearer)).passes


def test_a_gate_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="margin is 0"):
        Gate(0.0)
    with pytest.raises(ConfigError, match="minimum_rows is 29"):
        Gate(minimum_rows=29)
    assert Gate(minimum_rows=30).minimum_rows == 30

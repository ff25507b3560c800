"""Off-policy estimates: by hand, on average, their intervals, and pipelines on a log."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.evaluation.off_policy.comparing import compare_from_log
from equirouter.evaluation.off_policy.estimates import METHODS, LoggedOutcomes
from equirouter.evaluation.train import train
from equirouter.pipeline import RoutingPipeline
from tests.toys import HashingEncoder, make_log, make_table

NAN = float("nan")


def test_weighted_means_by_hand() -> None:
    log = LoggedOutcomes(
        np.zeros((4, 1), dtype=np.float32),
        np.array([[1.0, NAN], [0.0, NAN], [NAN, 1.0], [NAN, 0.0]]),
        np.array([[0.1, NAN], [0.3, NAN], [NAN, 1.0], [NAN, 1.0]]),
        np.array([[0.8, 0.2], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]),
        np.arange(4),
    )
    found = log.value(np.zeros(4, dtype=np.int64))  # weights 1.25, 2, 0, 0
    assert found.performance["ips"].value == pytest.approx(1.25 / 4)
    assert found.performance["snips"].value == pytest.approx(1.25 / 3.25)
    assert found.cost_usd["ips"].value == pytest.approx((1.25 * 0.1 + 2 * 0.3) / 4)
    assert (found.n_queries, found.n_matched) == (4, 2)
    assert found.n_effective == pytest.approx(3.25**2 / (1.25**2 + 2**2))
    # w y is 1.25, 0, 0, 0: variance 0.390625 over 4
    half = 1.95996 * (0.390625 / 4) ** 0.5
    low, high = found.performance["ips"].low, found.performance["ips"].high
    assert (low, high) == pytest.approx((0.3125 - half, 0.3125 + half), abs=1e-4)


def logged(n: int, seed: int, share: float) -> tuple[LoggedOutcomes, np.ndarray, np.ndarray]:
    """A log of n queries, whom it usually calls, and who is best; costs are 1 and 3.

    Model 0 is right on 0.9 of the easy and 0.2 of the hard queries, model 1 on 0.8 of all. On easy
    ones (half) model 0 is usually called, on hard ones every second time.
    """
    rng = np.random.default_rng(seed)
    easy = rng.random(n) < 0.5
    usual = np.where(easy | (rng.random(n) < 0.5), 0, 1)
    right = rng.random((n, 2)) < np.where(easy[:, None], [0.9, 0.8], [0.2, 0.8])
    called = np.where(rng.random(n) < share, 1 - usual, usual)
    is_called, is_usual = (np.arange(2) == model[:, None] for model in (called, usual))
    log = LoggedOutcomes(
        np.where(easy, 1.0, -1.0).astype(np.float32)[:, None],
        np.where(is_called, right, NAN),
        np.where(is_called, [1.0, 3.0], NAN),
        np.where(is_usual, 1 - share, share),
        np.arange(n),
        seed=seed,
    )
    return log, usual, np.where(easy, 0, 1)


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held: dict[str, list[bool]] = {}
    for seed in range(400):
        log, usual, best = logged(4000, seed, 0.1)
        value, less = log.value(best), log.difference(usual, best, "performance")
        for method in METHODS:
            one = value.performance[method]
            held.setdefault(method, []).append(one.low <= 0.85 <= one.high)
        # the usual choice: 0.5 * 0.9 + 0.25 * 0.2 + 0.25 * 0.8 = 0.7
        held.setdefault("less", []).append(less.low <= 0.15 <= less.high)
    for name, hits in held.items():
        assert 0.92 < np.mean(hits) < 0.98, name  # standard error 0.011


def test_good_predictions_narrow_the_interval() -> None:
    log, _, best = logged(4000, 1, 0.1)
    value = log.value(best)
    widths = {m: value.performance[m].high - value.performance[m].low for m in METHODS}
    assert widths["dr"] < 0.7 * widths["ips"]
    assert value.cost_usd["dr"].value == pytest.approx(2.0, abs=0.1)


def test_too_little_overlap_is_refused() -> None:
    log, usual, best = logged(2000, 2, 0.02)  # 500 differ, 10 of them were called so
    assert log.value(usual).n_matched > 1900
    with pytest.raises(DataError, match=r"too little overlap: .* 30 are needed"):
        log.value(best)
    with pytest.raises(DataError, match="too little overlap"):
        log.difference(usual, best, "cost_usd")


def test_a_few_seldom_calls_widen_the_interval() -> None:
    log, usual, _ = logged(2000, 3, 0.02)
    other = usual.copy()
    other[:15] = 1 - other[:15]  # below 1 % of the queries, and none of them was called so
    assert log.value(other).n_matched == log.value(usual).n_matched - 15
    less = log.difference(usual, other, "performance")
    assert less.low < 0.0 < less.high
    assert less.high - less.low < 2 * 15 / 2000


def test_a_policy_does_not_differ_from_itself_however_seldom_its_calls_were() -> None:
    log, usual, _ = logged(2000, 3, 0.3)
    seldom = np.where(np.arange(2000) < 1000, 1 - usual, usual)
    same = log.difference(seldom, seldom.copy(), "performance")
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def made() -> RoutingPipeline:
    return train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.3)


def test_two_pipelines_on_a_log(made: RoutingPipeline) -> None:
    world = make_table(3000, seed=9, incomplete=0)
    strong = replace(made, quality=1.0)
    found = compare_from_log(strong, made, make_log(world, 0.3))
    columns = [world.models.index(str(made.decide(text).model)) for text in world.texts]
    row = np.arange(3000)
    truth = world.performance[row, columns].mean() - world.performance[:, 2].mean()
    assert found.performance.low < truth < found.performance.high
    assert found.performance.high - found.performance.low < 0.1
    assert found.n_queries == 3000
    assert found.same == pytest.approx(np.mean(np.array(columns) == 2))


def test_a_log_that_cannot_tell_says_why(made: RoutingPipeline) -> None:
    world = make_table(400, seed=9, incomplete=0)
    strong = replace(made, quality=1.0)
    with pytest.raises(DataError, match="no column propensity"):
        compare_from_log(strong, made, replace(make_log(world, 0.1), propensity=None))
    log = make_log(world, 0.1)
    never = replace(log, propensity=np.isfinite(log.performance).astype(float))
    with pytest.raises(DataError, match=r"could not have called .* explore"):
        compare_from_log(strong, made, never)
    with pytest.raises(DataError, match="it has no outcomes of small"):
        compare_from_log(strong, made, make_log(world, 0.1).with_models(["middle", "large"]))

import numpy as np
import pytest

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation import curve
from equirouter.evaluation.bootstrap import resample_counts, weighted_means
from equirouter.evaluation.curve import Measurement, Point, measure
from equirouter.evaluation.metrics import Draws
from equirouter.policy import UtilityPolicy, utility_path

# two models: 0 costs 1 and is right on the first and last query, 1 costs 4 and is right on the rest
PERFORMANCE = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
COST_USD = np.array([[1.0, 4.0]] * 4)
CHOSEN = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])  # three budgets


def test_the_curve_by_hand() -> None:
    curve = measure(CHOSEN, PERFORMANCE, COST_USD, resamples=0).curve
    assert curve.performance.tolist() == [0.5, 0.75, 1.0]
    assert curve.cost_usd.tolist() == [1.0, 1.75, 2.5]  # (1+1+1+1)/4, (1+4+1+1)/4, (1+4+4+1)/4
    assert curve.rci.tolist() == [0.5, 0.25, 0.0]
    assert curve.call_share.tolist() == [[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]]


def test_every_metric_by_hand() -> None:
    point = measure(CHOSEN, PERFORMANCE, COST_USD, resamples=0).point
    # ((0.5 + 0.75)/2 * 0.75 + (0.75 + 1)/2 * 0.75) / 1.5
    assert point["nauc"] == pytest.approx(0.75)
    assert (point["peak_score"], point["peak_cost_usd"]) == (1.0, 2.5)
    # strongest: model 1 with 0.75 at cost 4; the second budget reaches 0.75 at 1.75
    assert point["qnc"] == pytest.approx(1.75 / 4)
    assert point["rci"] == 0.0
    assert point["rci_mean"] == pytest.approx(0.25)
    # 0.90 * 0.75 = 0.675 is more than the 0.5 of the first budget: all levels at the second
    levels = ["1.00", "0.99", "0.98", "0.95", "0.90"]
    # but 1.02 * 0.75 = 0.765, which the third one has
    assert point["cost_at_quality"] == {"1.02": 2.5 / 4} | dict.fromkeys(levels, 1.75 / 4)
    assert point["rci_at_quality"] == {"1.02": 0.0} | dict.fromkeys(levels, 0.25)
    assert point["call_share"] == [0.5, 0.5]


def ladder(*n_strong: int) -> Measurement:
    """100 queries, a strong model (always right, costs 1) and a free one that is always wrong.

    Operating point t uses the strong one on n_strong[t] queries: performance and cost are
    n_strong[t] / 100, and every other query is a dominated choice.
    """
    performance = np.tile([1.0, 0.0], (100, 1))
    cost_usd = np.tile([1.0, 0.0], (100, 1))
    chosen = np.stack([np.arange(100) >= n for n in n_strong], axis=1).astype(np.int64)
    return measure(chosen, performance, cost_usd, resamples=0)


def test_each_quality_level_is_read_at_its_own_point() -> None:
    point = ladder(10, 90, 95, 98, 99, 100).point
    levels = {"1.00": 1.0, "0.99": 0.99, "0.98": 0.98, "0.95": 0.95, "0.90": 0.9}
    assert point["cost_at_quality"] == pytest.approx({"1.02": None} | levels)
    collapse = {name: 1 - q for name, q in levels.items()}
    assert point["rci_at_quality"] == pytest.approx({"1.02": None} | collapse)
    assert point["qnc"] == 1.0


def test_a_quality_that_the_curve_never_reaches_is_served_by_the_strongest() -> None:
    point = ladder(10, 97).point
    never = dict.fromkeys(("1.00", "0.99", "0.98"), 1.0)
    above = {"1.02": None}
    assert point["cost_at_quality"] == above | never | {"0.95": 0.97, "0.90": 0.97}
    assert point["qnc"] is None
    assert point["peak_quality"] == pytest.approx(0.97)
    assert point["rci_at_quality"] == pytest.approx(
        above | dict.fromkeys(never, 0.0) | {"0.95": 0.03, "0.90": 0.03}
    )


def test_the_reference_is_fixed_before_the_queries_that_are_measured() -> None:
    # model 0 is the reference although model 1 scores more here: 0.5 at cost 1
    point = measure(CHOSEN, PERFORMANCE, COST_USD, strongest=0, resamples=0).point
    levels = ("1.00", "0.99", "0.98", "0.95", "0.90")
    assert point["cost_at_quality"] == {"1.02": 1.75} | dict.fromkeys(levels, 1.0)
    assert point["peak_quality"] == 2.0
    assert point["strongest_share"] == 0.5
    assert point["qnc"] == pytest.approx(1.75 / 4)  # the paper's, of the model that is strongest
    draws = measure(
        CHOSEN, PERFORMANCE, COST_USD, strongest=0, resamples=50, rng=np.random.default_rng(1)
    ).draws
    costs = draws["cost_at_quality"]
    assert isinstance(costs, dict)
    assert (costs["1.00"] <= 1.0).all(), "the reference is the same in every resample"


def test_rci_is_read_at_the_last_point_and_its_mean_over_all() -> None:
    point = ladder(10, 40, 70).point
    assert point["rci"] == pytest.approx(0.3)
    assert point["rci_mean"] == pytest.approx((0.9 + 0.6 + 0.3) / 3)
    assert point["call_share"] == pytest.approx([0.7, 0.3])


def test_a_free_strongest_model_has_no_cost_to_compare_with() -> None:
    point = measure([[0], [0]], np.ones((2, 2)), np.zeros((2, 2)), resamples=0).point
    assert point["qnc"] is None
    assert point["nauc"] == 1.0
    assert point["rci"] == 0.0


def test_the_oracle_dominates_every_single_model(random_sweep: "Sweep") -> None:
    chosen, performance, cost_usd = random_sweep
    best = performance == performance.max(axis=1, keepdims=True)
    oracle = np.where(best, cost_usd, np.inf).argmin(axis=1)
    point = measure(oracle[:, None], performance, cost_usd, resamples=0).point
    assert point["rci"] == 0.0
    assert point["peak_score"] == pytest.approx(performance.max(axis=1).mean())
    assert isinstance(point["qnc"], float)
    assert chosen.shape[1] > 1


Sweep = tuple[IntArray, FloatArray, FloatArray]


@pytest.fixture
def random_sweep() -> Sweep:
    """40 queries, 5 points, 3 models so close that the strongest changes with the resample."""
    rng = np.random.default_rng(11)
    performance = rng.integers(0, 5, size=(40, 3)) / 4
    cost_usd = rng.lognormal(size=(40, 3)) * [1.0, 2.0, 4.0]
    return rng.integers(3, size=(40, 5)), performance, cost_usd


def test_draws_are_the_metrics_of_the_drawn_queries(random_sweep: Sweep) -> None:
    """Each draw agrees with measuring a table in which every query stands as often as drawn."""
    chosen, performance, cost_usd = random_sweep
    rng = np.random.default_rng(2)
    draws = measure(chosen, performance, cost_usd, strongest=2, resamples=60, rng=rng).draws
    counts = next(resample_counts(40, 60, np.random.default_rng(2))).astype(int)
    never = 0
    for r, row in enumerate(counts):
        rows = np.repeat(np.arange(40), row)
        drawn_tables = (chosen[rows], performance[rows], cost_usd[rows])
        again = measure(*drawn_tables, strongest=2, resamples=0).point
        assert again.keys() == draws.keys()
        for name, value in again.items():
            assert drawn(draws[name], r) == pytest.approx(numbers(value), nan_ok=True), name
        never += again["qnc"] is None
    assert 0 < never < 60  # both outcomes of QNC were compared


def drawn(values: Draws, r: int) -> list[float]:
    if isinstance(values, dict):
        return [float(row[r]) for row in values.values()]
    return [float(value) for value in np.atleast_1d(values[r])]


def numbers(value: Point) -> list[float]:
    if isinstance(value, dict):
        return [np.nan if item is None else item for item in value.values()]
    if isinstance(value, list):
        return value
    return [np.nan if value is None else value]


def test_draws_of_two_routers_with_one_seed_are_paired() -> None:
    # model 1 scores 0.25 more on every query, so each resample must show exactly that difference
    base = np.random.default_rng(0).random((50, 1)) * 0.5
    performance = np.hstack([base, base + 0.25])
    peaks: list[FloatArray] = []
    for model in (0, 1):
        chosen = np.full((50, 2), model)
        found = measure(
            chosen, performance, np.ones((50, 2)), resamples=30, rng=np.random.default_rng(9)
        ).draws["peak_score"]
        assert not isinstance(found, dict)
        peaks.append(found)
    assert peaks[0].std() > 0.005
    np.testing.assert_allclose(peaks[1] - peaks[0], 0.25)


def test_the_same_seed_gives_the_same_bits(random_sweep: Sweep) -> None:
    first, second = (
        measure(*random_sweep, resamples=20, rng=np.random.default_rng(4)).draws["nauc"]
        for _ in range(2)
    )
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert first.tobytes() == second.tobytes()


def test_without_resamples_there_are_no_draws() -> None:
    assert measure(CHOSEN, PERFORMANCE, COST_USD, resamples=0).draws == {}


def test_resamples_need_a_generator() -> None:
    with pytest.raises(ConfigError, match="1000 resamples need a random generator"):
        measure(CHOSEN, PERFORMANCE, COST_USD)


def test_a_sweep_needs_its_second_axis() -> None:
    with pytest.raises(DataError, match=r"pass chosen\[:, None\]"):
        measure(CHOSEN[:, 0], PERFORMANCE, COST_USD, resamples=0)


FROM_THE_PATH = ("nauc", "peak_score", "peak_cost_usd", "qnc", "cost_at_quality", "rci_at_quality")


def made(n: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Scores that know something, predicted costs, performance and true costs, (n, 4) each."""
    rng = np.random.default_rng(5)
    ability = rng.random((n, 4)) * [0.7, 0.8, 0.9, 1.0]
    performance = (rng.random((n, 4)) < ability).astype(np.float64)
    cost = rng.lognormal(sigma=0.3, size=(n, 4)) * [1.0, 2.0, 6.0, 20.0]
    return ability, cost, performance, cost * rng.lognormal(sigma=0.2, size=(n, 4))


def rows(draws: Draws) -> FloatArray:
    """The draws of a metric, (R,), or of a map of them, (L, R)."""
    return np.stack([*draws.values()]) if isinstance(draws, dict) else draws


def test_means_along_a_path_by_hand() -> None:
    # query 0 moves from the first to the second model below lambda 0.5, query 1 below 0.25
    scores, costs = np.array([[0.0, 0.5], [0.0, 0.25]]), np.array([[1.0, 2.0], [1.0, 2.0]])
    path = utility_path(scores, costs)
    counts = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    paid, scored = curve.path_means(path, [costs, scores], counts)
    assert paid.tolist() == [[1.0, 1.5, 2.0], [1.0, 2.0, 2.0], [1.0, 1.0, 2.0]]
    assert scored.tolist() == [[0.0, 0.25, 0.375], [0.0, 0.5, 0.5], [0.0, 0.0, 0.25]]


@pytest.mark.parametrize("cells", [2**22, 100])
def test_means_along_a_path_are_those_of_a_sweep(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(curve, "CELLS_AT_ONCE", cells)  # blocks change nothing
    scores, predicted, performance, _ = made(50)
    path = utility_path(scores, predicted)
    chosen = UtilityPolicy().sweep(scores, predicted, path.lambdas())
    counts = next(resample_counts(50, 7, np.random.default_rng(1)))
    swept = weighted_means(counts, performance[np.arange(50)[:, None], chosen])
    np.testing.assert_allclose(curve.path_means(path, [performance], counts)[0], swept, atol=1e-12)
    few = np.array([0, 3, 4, len(path.ends())])
    some = curve.path_means(path, [performance], counts, few)[0]
    np.testing.assert_allclose(some, swept[:, few], atol=1e-12)


def test_the_metrics_are_those_of_all_operating_points() -> None:
    scores, predicted, performance, cost = made(60)
    policy, path = UtilityPolicy(), utility_path(scores, predicted)
    few = policy.sweep(scores, predicted, policy.points(scores, predicted, 8))
    every = policy.sweep(scores, predicted, path.lambdas())
    of_path, of_all = (
        measure(chosen, performance, cost, path=given, resamples=20, rng=np.random.default_rng(3))
        for chosen, given in ((few, path), (every, None))
    )
    for name in FROM_THE_PATH:
        assert of_path.point[name] == pytest.approx(of_all.point[name], nan_ok=True), name
        np.testing.assert_allclose(rows(of_path.draws[name]), rows(of_all.draws[name]), atol=1e-12)
    for name in ("rci", "call_share"):  # at the last point, which both have
        assert of_path.point[name] == pytest.approx(of_all.point[name])


def test_fewer_points_move_the_metrics_by_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "MOST_POINTS", 500)
    scores, predicted, performance, cost = made(2000)
    path = utility_path(scores, predicted)
    assert len(path.ends()) > 2500
    ones = np.ones((1, 2000))
    points = curve.resample_points(path, predicted)
    assert len(points) <= 500
    some = curve.path_means(path, [performance, cost], ones, points)
    every = curve.path_means(path, [performance, cost], ones)
    for level in (0.6, 0.65, 0.7):
        cost_ratio = min(some[1][some[0] >= level]) / min(every[1][every[0] >= level])
        assert 0.9999 < cost_ratio < 1.01

"""The curve along a path: the same as a sweep of all its lambdas, without the sweep."""

import numpy as np
import pytest

from equirouter.arrays import FloatArray
from equirouter.evaluation import exact
from equirouter.evaluation.bootstrap import resample_counts, weighted_means
from equirouter.evaluation.curve import Draws, measure
from equirouter.policy import UtilityPolicy, utility_path

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
    paid, scored = exact.path_means(path, [costs, scores], counts)
    assert paid.tolist() == [[1.0, 1.5, 2.0], [1.0, 2.0, 2.0], [1.0, 1.0, 2.0]]
    assert scored.tolist() == [[0.0, 0.25, 0.375], [0.0, 0.5, 0.5], [0.0, 0.0, 0.25]]


@pytest.mark.parametrize("cells", [2**22, 100])
def test_means_along_a_path_are_those_of_a_sweep(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(exact, "CELLS_AT_ONCE", cells)  # blocks change nothing
    scores, predicted, performance, _ = made(50)
    path = utility_path(scores, predicted)
    chosen = UtilityPolicy().sweep(scores, predicted, path.lambdas())
    counts = next(resample_counts(50, 7, np.random.default_rng(1)))
    swept = weighted_means(counts, performance[np.arange(50)[:, None], chosen])
    np.testing.assert_allclose(exact.path_means(path, [performance], counts)[0], swept, atol=1e-12)
    few = np.array([0, 3, 4, len(path.ends())])
    some = exact.path_means(path, [performance], counts, few)[0]
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
    monkeypatch.setattr(exact, "MOST_POINTS", 500)
    scores, predicted, performance, cost = made(2000)
    path = utility_path(scores, predicted)
    assert len(path.ends()) > 2500
    ones = np.ones((1, 2000))
    points = exact.resample_points(path, predicted)
    assert len(points) <= 500
    some = exact.path_means(path, [performance, cost], ones, points)
    every = exact.path_means(path, [performance, cost], ones)
    for level in (0.6, 0.65, 0.7):
        cost_ratio = min(some[1][some[0] >= level]) / min(every[1][every[0] >= level])
        assert 0.9999 < cost_ratio < 1.01

"""AvengersProRouter on two clear clusters whose means can be counted."""

import numpy as np
import pytest

from equirouter.arrays import FloatArray
from equirouter.routers import Router, make_router
from equirouter.testing import make_toy

pytest.importorskip("sklearn", reason="the extra train is not installed")
NAN = float("nan")
EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
TRAIN = np.array([EAST, [0.99, 0.1], NORTH, [0.1, 0.99]], dtype=np.float32)
PERFORMANCE = np.array([[1.0, 0.0, 0.5], [0.5, 0.0, NAN], [0.0, 1.0, NAN], [0.0, 0.5, NAN]])
COST = np.tile([0.03, 0.02, 0.01], (4, 1))


def fitted(spec: str, performance: FloatArray = PERFORMANCE) -> Router:
    rng = np.random.default_rng(0)
    return make_router(spec).fit(TRAIN, performance, COST, rng=rng)


def scores(router: Router, query: list[float]) -> list[float]:
    return [float(x) for x in router.predict(np.array([query], dtype=np.float32))[0]]


def test_a_query_gets_the_mean_performance_of_its_cluster() -> None:
    router = fitted("avengerspro:n_clusters=2")
    # east: model 0 (1 + 0.5) / 2, model 2 known once; north: model 2 unknown, its mean is 0.5
    assert scores(router, [0.8, 0.3]) == [0.75, 0.0, 0.5]
    assert scores(router, [0.3, 0.8]) == [0.0, 0.75, 0.5]
    assert router.scores_are == "expected_performance"


def test_a_model_unknown_in_a_cluster_has_its_training_mean_there() -> None:
    performance = np.where(np.isnan(PERFORMANCE), NAN, PERFORMANCE)
    performance[0, 2], performance[1, 2] = 0.2, 0.6
    assert scores(fitted("avengerspro:n_clusters=2", performance), NORTH)[2] == pytest.approx(0.4)


def test_fewer_queries_than_clusters_are_clusters_of_their_own() -> None:
    router = fitted("avengerspro")  # 200 clusters, 4 queries
    assert router.state()["centroids_"].shape == (4, 2)
    assert scores(router, EAST) == [1.0, 0.0, 0.5]
    assert scores(router, [0.99, 0.1]) == [0.5, 0.0, 0.5]


def test_equal_queries_are_one_cluster() -> None:
    equal = np.repeat(TRAIN[:1], 4, axis=0)
    rng = np.random.default_rng(0)
    router = make_router("avengerspro").fit(equal, PERFORMANCE, COST, rng=rng)
    assert scores(router, NORTH) == [0.375, 0.375, 0.5]


def test_the_original_averages_reciprocal_ranks_over_the_nearest_clusters() -> None:
    router = fitted("avengerspro:original:n_clusters=2")
    assert router.scores_are == "ranking"
    # ranks east: 0, 2, 1 (0.75, 0.5, 0.0), so 1, 1/3, 1/2; north: 1, 2, 0, so 1/3, 1, 1/2
    # half way between the clusters both weigh the same
    half = [np.sqrt(0.5), np.sqrt(0.5)]
    assert scores(router, half) == pytest.approx([2 / 3, 2 / 3, 1 / 2], abs=1e-5)
    # at EAST: 1 - q.mu is 0.005 for (0.995, 0.05) and 0.95 for (0.05, 0.995)
    near = 1 / (1 + np.exp(-9 * (0.95 - 0.005)))
    expected = [near + (1 - near) / 3, near / 3 + (1 - near), 1 / 2]
    assert scores(router, EAST) == pytest.approx(expected, abs=1e-5)


def test_equal_means_are_ranked_by_cost() -> None:
    router = fitted("avengerspro:original:n_clusters=1", np.ones((4, 3)))
    assert scores(router, EAST) == pytest.approx([1 / 3, 1 / 2, 1.0])  # model 2 is the cheapest


def test_presets_are_those_of_the_paper_and_of_the_source() -> None:
    paper, original = make_router("avengerspro").settings, make_router("avengerspro:original")
    assert (paper["n_clusters"], paper["n_init"], paper["max_iter"]) == (200, "auto", 1000)
    assert (paper["algorithm"], paper["n_nearest"]) == ("elkan", 1)
    assert (original.settings["n_clusters"], original.settings["n_nearest"]) == (25, 3)


def test_the_original_learns_what_can_be_learned() -> None:
    toy = make_toy(n=600, missing=0.0)
    router = make_router("avengerspro:original")
    train = (toy.embeddings[:400], toy.performance[:400], toy.cost_usd[:400])
    picked = router.fit(*train, rng=np.random.default_rng(0)).predict(toy.embeddings[400:])
    got = toy.performance[400:][np.arange(200), picked.argmax(axis=1)].mean()
    assert got > toy.performance[400:].mean(axis=0).max() + 0.1

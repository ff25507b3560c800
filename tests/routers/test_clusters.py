"""KMeans on points whose groups can be seen."""

import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.routers.avengerspro import cluster_means
from equirouter.routers.neighbours import kmeans

pytest.importorskip("sklearn", reason="the extra train is not installed")
NAN = float("nan")
ROWS = np.array([[0, 0], [0, 2], [10, 0], [10, 2], [10, 4]], dtype=np.float32)


def test_centroids_are_the_means_of_their_rows() -> None:
    centroids, labels = kmeans(ROWS, 2, rng=np.random.default_rng(0))
    assert labels[0] == labels[1] != labels[2] == labels[3] == labels[4]
    np.testing.assert_allclose(centroids[labels[0]], [0, 1])
    np.testing.assert_allclose(centroids[labels[2]], [10, 2])
    distance = np.linalg.norm(ROWS[:, None] - centroids, axis=2)
    np.testing.assert_array_equal(distance.argmin(axis=1), labels)


@pytest.mark.parametrize("algorithm", ["lloyd", "elkan"])
def test_the_same_seed_gives_the_same_centroids_bit_for_bit(algorithm: str) -> None:
    rows = np.random.default_rng(1).standard_normal((500, 8)).astype(np.float32)
    made = [
        kmeans(rows, 20, algorithm=algorithm, rng=np.random.default_rng(3))[0]  # type: ignore[arg-type]
        for _ in range(2)
    ]
    assert made[0].tobytes() == made[1].tobytes()
    assert kmeans(rows, 20, rng=np.random.default_rng(4))[0].tobytes() != made[0].tobytes()


def test_there_are_no_more_clusters_than_distinct_rows_and_none_is_empty() -> None:
    centroids, labels = kmeans(np.repeat(ROWS, 3, axis=0), 50, rng=np.random.default_rng(0))
    assert len(centroids) == 5
    assert sorted(np.bincount(labels).tolist()) == [3, 3, 3, 3, 3]
    zeros = np.array([[0.0], [-0.0], [1.0]], dtype=np.float32)  # equal, but not bit for bit
    centroids, labels = kmeans(zeros, 3, rng=np.random.default_rng(0))
    assert sorted(centroids[:, 0].tolist()) == [0, 1]
    assert centroids[labels, 0].tolist() == [0, 0, 1]


def test_means_are_over_known_cells_and_a_model_unknown_in_a_cluster_has_its_own() -> None:
    table = np.array([[1.0, NAN], [0.0, NAN], [0.5, 0.2], [NAN, 0.4]])
    means = cluster_means(table, np.array([0, 0, 1, 1]), 2)
    np.testing.assert_allclose(means, [[0.5, 0.3], [0.5, 0.3]])


def test_no_clusters_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        kmeans(ROWS, 0, rng=np.random.default_rng(0))

"""KNNRouter on points that can be counted by hand."""

import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.routers import make_router

NAN = float("nan")
EAST, NORTH, NORTH_EAST = [1.0, 0.0], [0.0, 1.0], [0.8, 0.6]
TRAIN = np.array([EAST, NORTH_EAST, NORTH], dtype=np.float32)
PERFORMANCE = np.array([[1.0, 0.0], [0.5, NAN], [0.0, 1.0]])
COST = np.ones((3, 2))


def predict(k: int, query: list[float]) -> list[float]:
    router = make_router("knn", k=k)
    router.fit(TRAIN, PERFORMANCE, COST, rng=np.random.default_rng(0))
    return [float(x) for x in router.predict(np.array([query], dtype=np.float32))[0]]


def test_the_mean_is_over_the_nearest_by_cosine() -> None:
    # cosines with (2, 0.2), length ignored: EAST 0.995, NORTH_EAST 0.856, NORTH 0.0995
    assert predict(1, [2.0, 0.2]) == [1.0, 0.0]
    assert predict(2, [2.0, 0.2]) == [0.75, 0.0]  # (1 + 0.5) / 2; model 1 is known once: 0


def test_a_model_unknown_among_the_neighbours_gets_its_training_mean() -> None:
    assert predict(1, NORTH_EAST) == [0.5, 0.5]  # model 1: (0 + 1) / 2 over the training part


def test_more_neighbours_than_queries_is_everybody() -> None:
    assert predict(50, EAST) == [0.5, 0.5]


def test_k_below_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one neighbour"):
        predict(0, EAST)

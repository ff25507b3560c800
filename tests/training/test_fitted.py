"""Queries that are unlike the training queries."""

import numpy as np
import pytest

from equirouter.arrays import Float32Array
from equirouter.pipeline.stage import Familiarity
from equirouter.training.fitted import fit_familiarity


def around(centre: int, n: int, seed: int) -> Float32Array:
    rows = np.random.default_rng(seed).normal(0, 0.05, (n, 8)).astype(np.float32)
    rows[:, centre] += 1
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_a_distance_is_that_to_the_nearest_centre() -> None:
    found = Familiarity(np.array([[0, 0], [3, 4]], dtype=np.float32), threshold=4.5)
    queries = np.array([[3, 0], [0, 5], [6, 8]], dtype=np.float32)
    assert found.distance(queries).tolist() == pytest.approx([3.0, np.sqrt(10), 5.0])
    assert found.far(queries).tolist() == [False, False, True]


def test_another_kind_of_query_is_far_and_one_in_a_hundred_of_the_same_kind() -> None:
    train = np.concatenate([around(0, 300, 1), around(1, 300, 2)])
    found = fit_familiarity(train, around(0, 400, 3), np.random.default_rng(0))
    assert len(found.centres) == 64
    assert found.far(around(0, 2000, 4)).mean() < 0.04
    assert found.far(around(5, 50, 5)).all()


def test_a_mark_does_not_depend_on_the_queries_beside_it() -> None:
    found = fit_familiarity(around(0, 40, 6), around(0, 40, 7), np.random.default_rng(0))
    queries = around(0, 30, 8)
    alone = [found.distance(queries[row : row + 1])[0] for row in range(30)]
    assert found.distance(queries).tolist() == alone

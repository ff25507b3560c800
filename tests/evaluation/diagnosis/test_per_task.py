import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.evaluation.diagnosis.per_task import collapse_by_task, reached_from

# the expensive model 1 is the strongest of all; on task b it is worse than model 0
PERFORMANCE = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
COST_USD = np.tile([1.0, 2.0], (4, 1))
TASKS = ("a", "a", "a", "b")


def test_tasks_by_hand() -> None:
    always_strongest = np.ones(4, dtype=np.int64)
    a, b = collapse_by_task(always_strongest, PERFORMANCE, COST_USD, TASKS, strongest=1)
    # a: the oracle takes model 0 on the tie; RCI 1 there, 0 on the two others
    assert (a.task, a.n_queries, a.strongest_share) == ("a", 3, 1.0)
    assert a.oracle_strongest_share == pytest.approx(2 / 3)
    assert a.rci == pytest.approx(1 / 3)
    assert (a.performance, a.strongest_performance, a.oracle_performance) == (1.0, 1.0, 1.0)
    assert (a.best_model, a.best_performance) == (1, 1.0)
    # b: the strongest of all is wrong on it
    assert (b.rci, b.performance, b.oracle_performance) == (1.0, 0.0, 1.0)
    assert (b.best_model, b.best_performance, b.strongest_performance) == (0, 1.0, 0.0)


def test_the_strongest_is_the_best_of_a_task_where_it_ties() -> None:
    (a,) = collapse_by_task([0], [[1.0, 1.0]], [[1.0, 2.0]], ("a",), strongest=1)
    assert a.best_model == 1


def test_one_task_name_per_query_is_needed() -> None:
    with pytest.raises(DataError, match="3 tasks"):
        collapse_by_task([0] * 4, PERFORMANCE, COST_USD, TASKS[:3], strongest=1)


@pytest.mark.parametrize(
    ("share", "expected"),
    [((0.1, 0.6, 0.9), 2.0), ((0.6, 0.1, 0.9), 3.0), ((0.6, 0.9, 0.4), None), ((1, 1, 1), 1.0)],
)
def test_a_level_is_reached_from_where_it_is_kept(
    share: tuple[float, ...], expected: float | None
) -> None:
    assert reached_from(np.array([1.0, 2.0, 3.0]), np.array(share), 0.5) == expected

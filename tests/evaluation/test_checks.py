import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.evaluation.checks import checked_chosen, checked_outcomes


def test_a_missing_outcome_is_named_with_its_place() -> None:
    performance = np.array([[1.0, 0.0], [1.0, np.nan]])
    with pytest.raises(DataError, match=r"performance of query 1, model 1 is nan; .*is_complete"):
        checked_outcomes(performance, np.ones((2, 2)))


def test_an_infinite_cost_is_named_with_its_place() -> None:
    with pytest.raises(DataError, match="cost_usd of query 0, model 1 is inf"):
        checked_outcomes(np.ones((1, 2)), np.array([[1.0, np.inf]]))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 2), (2, 0)])
def test_tables_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        checked_outcomes(np.ones((2, 2)), np.ones(shape))


@pytest.mark.parametrize("wrong", [-1, 2])
def test_a_choice_that_is_no_column_is_named(wrong: int) -> None:
    with pytest.raises(DataError, match=rf"query 1 is {wrong}; expected a model's column, 0 to 1"):
        checked_chosen(np.array([[0, 1], [1, wrong]]), 2, 2)


def test_choices_of_another_length_or_type_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(3,\); expected \(2,\)"):
        checked_chosen(np.zeros(3, dtype=int), 2, 2)
    with pytest.raises(DataError, match="float64; expected whole numbers"):
        checked_chosen(np.zeros(2), 2, 2)


def test_small_integer_types_are_widened() -> None:
    # 200 + 100 does not fit into uint8: positions in flat tables must not wrap around
    assert checked_chosen(np.array([1, 0], dtype=np.uint8), 2, 2).dtype == np.int64

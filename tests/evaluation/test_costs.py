import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.evaluation.costs import cost_errors

TRUE = np.array([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0]])


def test_errors_by_hand() -> None:
    # model 0: off by 1 and 0 around a mean of 2 and a variance of 1; model 1: off by 1 and -1 where
    # nothing varies; model 2 is free and predicted so
    found = cost_errors([[2.0, 3.0, 0.0], [3.0, 1.0, 0.0]], TRUE)
    np.testing.assert_allclose(found.mean_usd, [2.0, 2.0, 0.0])
    np.testing.assert_allclose(found.mse, [0.5, 1.0, 0.0])
    np.testing.assert_allclose(found.mae_usd, [0.5, 1.0, 0.0])
    np.testing.assert_allclose(found.relative, [0.25, 0.5, np.nan])
    np.testing.assert_allclose(found.unexplained, [0.5, np.nan, np.nan])
    assert found.overall_mse == pytest.approx(0.5)


def test_predicting_the_mean_explains_nothing() -> None:
    found = cost_errors(np.tile(TRUE.mean(axis=0), (2, 1)), TRUE)
    assert found.unexplained[0] == pytest.approx(1.0)


def test_unknown_costs_do_not_count() -> None:
    found = cost_errors([[2.0], [9.0]], [[1.0], [np.nan]])
    assert found.mse.tolist() == [1.0]


@pytest.mark.parametrize(
    ("predicted", "true"),
    [
        (np.ones((2, 3)), np.ones((2, 2))),
        (np.full((2, 3), np.inf), TRUE),
        (np.ones((2, 1)), np.full((2, 1), np.nan)),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted: np.ndarray, true: np.ndarray) -> None:
    with pytest.raises(DataError):
        cost_errors(predicted, true)

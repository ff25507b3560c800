import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.evaluation.diagnostics import margins, tie_rate

PERFORMANCE = np.array([[0.8, 0.5, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.5]])
COST_USD = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0, 4.0, 1.0]])


def test_margins_without_a_budget_by_hand() -> None:
    # 1.0 - 0.8, 1.0 - 1.0, 0.5 - 0.0
    np.testing.assert_allclose(margins(PERFORMANCE, COST_USD), [0.2, 0.0, 0.5])


def test_margins_at_a_budget_by_hand() -> None:
    # a budget of 2, and a cost of exactly 2 fits: 0.8 - 0.5, 1.0 - 0.0, one model only
    np.testing.assert_allclose(margins(PERFORMANCE, COST_USD, 2.0), [0.3, 1.0, np.nan])


def test_nothing_fits_a_budget_of_zero() -> None:
    assert np.isnan(margins(PERFORMANCE, COST_USD, 0.0)).all()
    assert tie_rate(PERFORMANCE, COST_USD, 0.0) is None


def test_a_single_model_has_no_margin() -> None:
    assert np.isnan(margins(np.ones((3, 1)), np.ones((3, 1)))).all()
    assert tie_rate(np.ones((3, 1)), np.ones((3, 1))) is None


def test_a_budget_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="budget is NaN"):
        margins(PERFORMANCE, COST_USD, float("nan"))


def test_tie_rate_by_hand() -> None:
    assert tie_rate(PERFORMANCE, COST_USD) == pytest.approx(1 / 3)
    # margins 0.2, 0.0, 0.5
    assert tie_rate(PERFORMANCE, COST_USD, tolerance=0.25) == pytest.approx(2 / 3)
    # at a budget of 2 the third query has no margin and does not count
    assert tie_rate(PERFORMANCE, COST_USD, 2.0, tolerance=0.5) == pytest.approx(1 / 2)


def test_negative_performance_is_compared_like_any_other() -> None:
    np.testing.assert_allclose(margins([[-3.0, -1.0, -2.0]], np.ones((1, 3))), [1.0])

import numpy as np
import pytest

from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.diagnosis.ties import (
    MARGIN_LEVELS,
    margin_distribution,
    margins,
    need_of,
)

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


def test_a_single_model_has_no_margin() -> None:
    assert np.isnan(margins(np.ones((3, 1)), np.ones((3, 1)))).all()


def test_a_budget_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="budget is NaN"):
        margins(PERFORMANCE, COST_USD, float("nan"))


def test_negative_performance_is_compared_like_any_other() -> None:
    np.testing.assert_allclose(margins([[-3.0, -1.0, -2.0]], np.ones((1, 3))), [1.0])


def test_the_distribution_counts_queries_within_a_margin() -> None:
    found = margin_distribution(PERFORMANCE, COST_USD)
    np.testing.assert_allclose(found.margins, [0.0, 0.2, 0.5])
    assert found.tie_rate == pytest.approx(1 / 3)
    assert found.share_within(0.25) == pytest.approx(2 / 3)
    assert found.share_within(1.0) == 1.0


def test_a_margin_of_rounding_alone_counts_as_the_number_it_stands_for() -> None:
    # 0.8 - 0.75 is 0.05000000000000004 in binary
    assert margin_distribution([[0.8, 0.75]], np.ones((1, 2))).share_within(0.05) == 1.0


def test_queries_without_two_models_that_fit_are_no_part_of_the_distribution() -> None:
    found = margin_distribution(PERFORMANCE, COST_USD, 2.0)
    assert len(found.margins) == 2


def test_a_budget_that_fits_no_two_models_says_which_would() -> None:
    # the second-cheapest models cost 2, 2 and 3
    with pytest.raises(DataError, match="two models fit somewhere from 2 USD on"):
        margin_distribution(PERFORMANCE, COST_USD, 1.0)


def test_need_by_hand() -> None:
    # model 2 scores 1.0 against 0.8, 1.0 against 1.0, 0.5 against 0.0; model 0: less, as much, less
    last, first = need_of(2, PERFORMANCE, COST_USD), need_of(0, PERFORMANCE, COST_USD)
    assert (last.alone, last.matched, last.beaten) == pytest.approx((2 / 3, 1 / 3, 0.0))
    assert (first.alone, first.matched, first.beaten) == pytest.approx((0.0, 1 / 3, 2 / 3))
    with pytest.raises(DataError, match="model 3 is not a column"):
        need_of(3, PERFORMANCE, COST_USD)


def test_the_levels_are_those_of_the_paper() -> None:
    # margins 0, 0.001, 0.01 and 0.05: each level takes in one query more
    performance = np.array([[1.0, 1.0], [1.0, 0.999], [1.0, 0.99], [1.0, 0.95]])
    distribution = margin_distribution(performance, np.ones((4, 2)))
    assert [distribution.share_within(level) for level in MARGIN_LEVELS] == [0.25, 0.5, 0.75, 1.0]

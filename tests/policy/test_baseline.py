"""The share of the strongest model by setting: read between its points, and from choices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.policy import Baseline, ShareCurve, share_curve

CURVE = ShareCurve((1.0, 2.0, 4.0), (0.8, 0.6, 0.2))


@pytest.mark.parametrize(
    ("value", "share"),
    [(0.5, 0.8), (1.0, 0.8), (1.5, 0.7), (2.0, 0.6), (3.0, 0.4), (4.0, 0.2), (9.0, 0.2)],
)
def test_a_share_between_two_points_lies_on_the_line(value: float, share: float) -> None:
    assert CURVE.at(value) == pytest.approx(share)


@given(st.floats(-10, 10))
def test_it_is_what_numpy_interpolates(value: float) -> None:
    assert CURVE.at(value) == pytest.approx(float(np.interp(value, CURVE.points, CURVE.share)))


def test_a_curve_from_choices_at_falling_settings() -> None:
    chosen = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 1], [0, 0, 0]])
    # model 1: never at 9, by half of the queries at 5, by three of four at 0
    curve = share_curve(chosen, np.array([9.0, 5.0, 0.0]), strongest=1)
    assert curve == ShareCurve((0.0, 5.0, 9.0), (0.75, 0.5, 0.0))


def test_equal_settings_are_one_point() -> None:
    chosen = np.array([[1, 0, 0]])
    assert share_curve(chosen, np.array([1.0, 1.0, 2.0]), 1) == ShareCurve((1.0, 2.0), (1.0, 0.0))


def test_a_setting_without_a_curve_is_not_known() -> None:
    baseline = Baseline("large", 100, {"lambda": CURVE})
    assert baseline.expected_share("lambda", 2.0) == 0.6
    assert baseline.expected_share("budget_usd", 2.0) is None

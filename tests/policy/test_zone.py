"""An indifference zone, by hand and as a law: cheaper, and never far from the best."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.errors import ConfigError
from equirouter.policy import NOTHING_FITS, BudgetPolicy, InZone, PacingPolicy, UtilityPolicy

SCORES = np.array([[0.60, 0.80, 0.85]])  # small, medium, large
COST_USD = np.array([[0.0001, 0.0010, 0.0100]])


def test_by_hand() -> None:
    free = BudgetPolicy()
    assert InZone(free, 0.04).choose(SCORES, COST_USD) == 2  # medium is 0.05 below large
    assert InZone(free, 0.06).choose(SCORES, COST_USD) == 1
    assert InZone(free, 0.06).rank(SCORES, COST_USD).tolist() == [[1, 2, 0]]
    assert InZone(free, 0.30).choose(SCORES, COST_USD) == 0
    # at a lambda of 20: 0.598, 0.780, 0.650
    assert InZone(UtilityPolicy(20), 0.10).choose(SCORES, COST_USD) == 1
    assert InZone(UtilityPolicy(20), 0.19).choose(SCORES, COST_USD) == 0
    only = np.array([[False, True, True]])
    assert InZone(free, 0.30).choose(SCORES, COST_USD, only) == 1


def test_of_equal_costs_the_better_is_taken() -> None:
    zone = InZone(BudgetPolicy(), 0.5)
    assert zone.choose(np.array([[0.7, 0.8, 0.9]]), np.array([[1.0, 1.0, 2.0]])) == 1


def test_what_fits_no_limit_stays_what_it_was() -> None:
    for when, expected in (("cheapest", 0), ("refuse", NOTHING_FITS)):
        zone = InZone(BudgetPolicy(1e-9, when_nothing_fits=when), 1.0)  # type: ignore[arg-type]
        assert zone.choose(SCORES, COST_USD) == expected
        assert zone.rank(SCORES, COST_USD)[0, 0] == expected


RULES = st.one_of(
    st.builds(
        BudgetPolicy,
        st.floats(1e-4, 0.01),
        when_nothing_fits=st.sampled_from(["cheapest", "refuse"]),
    ),
    st.builds(UtilityPolicy, st.floats(0, 500)),
)


@given(rule=RULES, width=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_choice_is_cheaper_and_within_the_width(rule: Any, width: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, cost_usd = rng.integers(0, 5, (9, 4)) / 4, rng.integers(1, 6, (9, 4)) / 1000
    feasible = rng.random((9, 4)) < 0.7
    zone = InZone(rule, width)
    plain, chosen = (each.choose(scores, cost_usd, feasible) for each in (rule, zone))
    ranked, before = (each.rank(scores, cost_usd, feasible) for each in (zone, rule))
    np.testing.assert_array_equal(ranked[:, 0], chosen)
    np.testing.assert_array_equal(np.sort(ranked), np.sort(before))
    np.testing.assert_array_equal(chosen == NOTHING_FITS, plain == NOTHING_FITS)
    value = rule.objective(scores, cost_usd)
    for row in np.flatnonzero(chosen != NOTHING_FITS):
        assert feasible[row, chosen[row]]
        assert cost_usd[row, chosen[row]] <= cost_usd[row, plain[row]]
        assert value[row, chosen[row]] >= value[row, plain[row]] - width
        assert rule.within(cost_usd[row, chosen[row]]) or chosen[row] == plain[row]
    if width == 0:
        np.testing.assert_array_equal(value[range(9), chosen], value[range(9), plain])


def test_another_point_has_the_same_zone() -> None:
    points = np.array([0.0005, 0.005, 0.02])
    zone = InZone(BudgetPolicy(), 0.06)
    assert zone.sweep(SCORES, COST_USD, points).tolist() == [[0, 1, 1]]
    assert zone.path(SCORES, COST_USD) is None  # a path is that of the rule alone


@pytest.mark.parametrize("width", [-0.1, math.nan, math.inf])
def test_a_width_is_finite_and_not_negative(width: float) -> None:
    with pytest.raises(ConfigError, match="the zone is"):
        InZone(BudgetPolicy(), width)


def test_a_stream_has_no_zone() -> None:
    with pytest.raises(ConfigError, match="PacingPolicy decides a stream"):
        InZone(PacingPolicy(), 0.1)

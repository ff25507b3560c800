"""What a check knows, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.evaluation.plan_figures import auc, auc_beyond


def test_by_hand() -> None:
    # right 3, 1; wrong 2, 1: 3 > 2, 3 > 1, 1 < 2, 1 = 1: 2.5 of 4
    values, right = np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False])
    assert auc(values, right) == pytest.approx(2.5 / 4)
    assert auc(-values, right) == pytest.approx(1.5 / 4)
    assert auc(values, np.ones(4, dtype=bool)) is None


def test_what_the_router_knows_is_nothing_new() -> None:
    score = np.repeat(np.arange(10.0), 20)
    right = np.tile([True, False], 100)
    assert auc_beyond(score, right, score) == 0.5
    assert auc_beyond(right.astype(float), right, score) == 1.0
    assert auc_beyond(score, score > 4, score) is None  # in no group both


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=30))
def test_it_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    pairs = [(a, b) for a, is_right in rows if is_right for b, other in rows if not other]
    values = np.array([value for value, _ in rows], dtype=float)
    found = auc(values, np.array([is_right for _, is_right in rows]))
    if not pairs:
        assert found is None
    else:
        share = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
        assert found == pytest.approx(share)

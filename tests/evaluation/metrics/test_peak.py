"""The height of the peak, and where it is."""

import numpy as np

from equirouter.evaluation.metrics.peak import peak


def test_peak_by_hand() -> None:
    score, cost = peak(np.array([1.0, 5.0, 3.0, 4.0]), np.array([0.2, 0.9, 0.9, 0.5]))
    assert (float(score), float(cost)) == (0.9, 3.0)  # 0.9 twice, at 5 and at 3


def test_curves_are_measured_row_by_row() -> None:
    cost = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
    score, at = peak(cost, np.array([[0.5, 0.7], [0.5, 0.7], [0.1, 0.3]]))
    assert (score.tolist(), at.tolist()) == ([0.7, 0.7, 0.3], [2.0, 1.0, 1.0])

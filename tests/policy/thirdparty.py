"""A policy as another package would bring it: the cheapest of the nearly best."""

from typing import Any

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.policy.base import Policy
from equirouter.policy.order import best_column, check_inputs, columns_by_value


class NearlyBest(Policy):
    """Of the models within `slack` of the highest score the cheapest; slack 0 takes the best."""

    setting = "slack"

    def __init__(self, slack: float = 0.0) -> None:
        self.slack = slack

    def _value(
        self, scores: RealArray, predicted_cost_usd: RealArray, feasible: BoolArray | None
    ) -> tuple[FloatArray, RealArray, BoolArray]:
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        top = np.where(allowed, scores, -np.inf).max(axis=1, keepdims=True)
        near = scores >= top - self.slack
        value = np.where(near, 1e6 - cost_usd, scores)
        return np.asarray(value, dtype=np.float64), cost_usd, allowed

    def choose(self, *given: Any, **named: Any) -> IntArray:
        return best_column(*self._value(*_three(*given, **named)))

    def rank(self, *given: Any, **named: Any) -> IntArray:
        return columns_by_value(*self._value(*_three(*given, **named)))

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int) -> FloatArray:  # noqa: ARG002
        return np.asarray(np.linspace(np.ptp(scores), 0.0, n), dtype=np.float64)

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        columns = [self.at(point).choose(scores, predicted_cost_usd) for point in points.tolist()]
        return np.stack(columns, axis=1)


def _three(
    scores: RealArray, cost_usd: RealArray, feasible: BoolArray | None = None
) -> tuple[RealArray, RealArray, BoolArray | None]:
    return scores, cost_usd, feasible

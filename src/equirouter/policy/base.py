"""What a policy is: the one place where scores and predicted costs become a choice."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.errors import ConfigError, DataError
from equirouter.routers.base import ScoresAre

__all__ = ["NOTHING_FITS", "Policy", "WhenNothingFits", "check_inputs", "check_when_nothing_fits"]

WhenNothingFits = Literal["cheapest", "refuse"]
NOTHING_FITS = -1
"""What `choose` gives for a query that no model may answer."""


class Policy(ABC):
    """Chooses one model per query; its setting moves along the cost-performance curve."""

    needs: ClassVar[ScoresAre] = "ranking"
    """Scores that only rank will do, unless this says "expected_performance"."""

    setting: ClassVar[str]
    """What an operating point is called in results, with its unit: budget_usd, lambda."""

    def choose(
        self,
        scores: FloatArray,
        predicted_cost_usd: FloatArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """Chosen columns (N,) for scores and predicted_cost_usd (N, K).

        feasible: (N, K), False where a constraint rules a model out; such a model is never chosen.
        NOTHING_FITS (-1) marks a query that is refused. Ties go to the cheaper model.
        """
        order = self.rank(scores, predicted_cost_usd, feasible)
        return order[:, 0]

    @abstractmethod
    def rank(
        self,
        scores: FloatArray,
        predicted_cost_usd: FloatArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """Columns (N, K) in the order in which they would be tried; the rest is -1.

        The first column is what `choose` gives, the others are the fallback order.
        """

    @abstractmethod
    def points(self, scores: FloatArray, predicted_cost_usd: FloatArray, n: int) -> FloatArray:
        """The n operating points (T,) of a sweep, from the least to the largest spending."""

    @abstractmethod
    def sweep(
        self, scores: FloatArray, predicted_cost_usd: FloatArray, points: FloatArray
    ) -> IntArray:
        """Chosen columns (N, T) at every operating point."""


def check_inputs(
    scores: FloatArray, predicted_cost_usd: FloatArray, feasible: BoolArray | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """The three arrays as float64 and bool, all (N, K). Raises DataError unless they agree."""
    scores = np.asarray(scores, dtype=np.float64)
    cost_usd = np.asarray(predicted_cost_usd, dtype=np.float64)
    allowed = np.ones(scores.shape, dtype=bool) if feasible is None else np.asarray(feasible)
    if scores.ndim != 2 or cost_usd.shape != scores.shape or allowed.shape != scores.shape:
        raise DataError(
            f"scores {scores.shape}, predicted_cost_usd {cost_usd.shape} and feasible "
            f"{allowed.shape} must all be (n_queries, n_models)"
        )
    if not np.isfinite(scores).all() or not np.isfinite(cost_usd).all():
        raise DataError("scores and predicted_cost_usd must be finite numbers")
    return scores, cost_usd, allowed


def check_when_nothing_fits(value: str) -> WhenNothingFits:
    """The value itself. Raises ConfigError unless it is one of WhenNothingFits."""
    if value == "cheapest":
        return "cheapest"
    if value == "refuse":
        return "refuse"
    raise ConfigError(f"when_nothing_fits is {value!r}: expected cheapest or refuse")

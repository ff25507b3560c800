"""The contract of a policy, the one place where scores and predicted costs become a choice."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.order import NOTHING_FITS, best_column, check_inputs, columns_by_value
from equirouter.policy.path import DecisionPath
from equirouter.routers.base import ScoresAre

WhenNothingFits = Literal["cheapest", "refuse"]
PricedBy = Literal["cost", "collapse"]


class Policy(ABC):
    """Chooses one model per query; its setting moves along the cost-performance curve.

    A constructor takes the setting's value first, and has a default for it.
    """

    needs: ClassVar[ScoresAre] = "ranking"
    """Scores that only rank will do, unless this says "expected_performance"."""

    priced_by: ClassVar[PricedBy] = "cost"
    """Its argument predicted_cost_usd holds costs; or, where this says "collapse", the predicted
    collapse score of choosing each model (see collapse_table), less of which counts as cheaper."""

    setting: ClassVar[str]
    """The name of an operating point in results, with its unit: budget_usd, lambda."""

    in_order: ClassVar[bool] = False
    """Whether a choice depends on those before it. Then queries are a stream, in their order, and
    such a policy is no part of a pipeline, which decides every query as if it were alone."""

    @classmethod
    def at(cls, value: float, when_nothing_fits: WhenNothingFits = "cheapest") -> Self:  # noqa: ARG003
        """The policy at one of its `points`: how pipelines and measurements make it.

        when_nothing_fits: for policies that limit something; others leave it unread.
        """
        return cls(value)  # type: ignore[call-arg]  # the constructor is the subclass's

    def choose(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """Chosen columns (N,) for scores and predicted_cost_usd (N, K).

        feasible: (N, K), False where a constraint rules a model out; such a model is never chosen.
        NOTHING_FITS (-1) marks a query that is refused. Ties go to the cheaper model. By default
        the first of `rank`; a policy that can tell it without a sort does.
        """
        return self.rank(scores, predicted_cost_usd, feasible)[:, 0]

    @abstractmethod
    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """Columns (N, K) in the order in which they would be tried; the rest is -1.

        The first column is what `choose` gives, the others are the fallback order.
        """

    def rank_one(
        self,
        scores: Sequence[float],
        predicted_cost_usd: Sequence[float],
        allowed: Sequence[bool] | None = None,
    ) -> list[int]:
        """The columns of `rank` for one query, without the -1: for policies that do it in lists.

        scores, predicted_cost_usd (K,): finite, of float32. A few models take a third of the time.
        """
        score_row, cost_row = np.array([[scores], [predicted_cost_usd]], dtype=np.float32)
        feasible = None if allowed is None else np.array([allowed], dtype=bool)
        ranked: list[int] = self.rank(score_row, cost_row, feasible)[0].tolist()
        return [column for column in ranked if column != NOTHING_FITS]

    def within(self, predicted_cost_usd: RealArray) -> BoolArray:  # budgets limit, others do not
        """Whether a call of such a predicted cost is within the policy's limit, same shape."""
        return np.asarray(predicted_cost_usd < np.inf)  # all of them; faster than np.ones

    def path(
        self,
        scores: RealArray,  # noqa: ARG002  # a policy that can go through all its settings reads it
        predicted_cost_usd: RealArray,  # noqa: ARG002
    ) -> DecisionPath | None:
        """Every setting at which a decision changes; None where a sweep of points is all there is.

        The metrics of a router are read from it where there is one.
        """
        return None

    @abstractmethod
    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int) -> FloatArray:
        """The n operating points (T,) of a sweep, from the least to the largest spending."""

    @abstractmethod
    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """Chosen columns (N, T) at every operating point."""

    def replay(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        points: FloatArray,
        paid_usd: RealArray,  # noqa: ARG002  # for policies whose choices depend on what was paid
    ) -> IntArray:
        """The sweep as it would have gone: what each call cost (N, K) is known before the next."""
        return self.sweep(scores, predicted_cost_usd, points)


class ByValue(Policy):
    """A policy that takes the highest of a value per query and model, ties to the cheaper."""

    @abstractmethod
    def value(self, scores: RealArray, cost_usd: RealArray) -> FloatArray:
        """(N, K) from scores and predicted costs (N, K), both checked."""

    def choose(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The feasible column of the highest value; see Policy.choose."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        return best_column(self.value(scores, cost_usd), cost_usd, allowed)

    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """Feasible columns by value; see Policy.rank."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        return columns_by_value(self.value(scores, cost_usd), cost_usd, allowed)


def columns_in_lists(
    value: Iterable[float], cost_usd: Sequence[float], fits: Sequence[bool] | None
) -> list[int]:
    """columns_by_value of one query, without the -1. fits: None where all do."""
    keys = [
        (-of_model, cost_usd[column], column)
        for column, of_model in enumerate(value)
        if fits is None or fits[column]
    ]
    keys.sort()
    return [column for _, _, column in keys]


def check_when_nothing_fits(value: str) -> WhenNothingFits:
    """The value itself. Raises ConfigError unless it is one of WhenNothingFits."""
    if value == "cheapest":
        return "cheapest"
    if value == "refuse":
        return "refuse"
    raise ConfigError(f"when_nothing_fits is {value!r}: expected cheapest or refuse")


POLICIES_ASKED_FOR = ("budget", "utility")
"""Whose settings a call may name: budget_usd and lambda."""


@dataclass(frozen=True)
class Control:
    """At most one of the first four; without any, the quality that the pipeline was trained with.

    budget_usd: limit for one call, by predicted cost. quality: share of the strongest model's
    performance. performance: a mean performance as such. lambda_: performance that one USD must
    buy. confidence: with which the quality or the performance is promised, 0.5 to below 1; None is
    the pipeline's own. Raises ConfigError.
    """

    budget_usd: float | None = None
    quality: float | None = None
    performance: float | None = None
    lambda_: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        controls = (self.budget_usd, self.quality, self.performance, self.lambda_)
        if controls.count(None) < 3:
            names = ("budget_usd", "quality", "performance", "lambda")
            named = [name for name, value in zip(names, controls, strict=True) if value is not None]
            raise ConfigError(f"{' and '.join(named)} exclude each other: give one")
        if self.confidence is not None and (controls[0] is not None or controls[3] is not None):
            raise ConfigError(
                "confidence says how surely a quality or a performance is kept, and "
                f"{'budget_usd' if self.lambda_ is None else 'lambda'} promises neither: leave one "
                "of the two out"
            )


NO_CONTROL = Control()
"""The pipeline's own quality, with its own confidence."""

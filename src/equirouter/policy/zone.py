"""An indifference zone: among models that are nearly as good as the best, the cheapest."""

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.base import Policy, WhenNothingFits, check_inputs
from equirouter.policy.order import NOTHING_FITS

__all__ = ["InZone"]


class InZone(Policy):
    """Another policy, of whose nearly best choices the cheapest is taken.

    rule: the policy; this one has its setting, and chooses among what it would choose among. width:
    how far below the best a model's value (Policy.objective) may be; 0 leaves the rule as it is.
    Raises ConfigError for a width below 0, and for a rule that decides a stream.
    """

    def __init__(self, rule: Policy, width: float) -> None:
        if not 0 <= width < np.inf:
            raise ConfigError(f"the zone is {width} wide: expected a finite number of 0 or more")
        if rule.in_order:
            raise ConfigError(f"{type(rule).__name__} decides a stream, which has no zone")
        self.rule = rule
        self.width = width
        self.needs = rule.needs  # type: ignore[misc]  # those of this rule, not of all
        self.setting = rule.setting  # type: ignore[misc]

    def at(  # type: ignore[override]  # it takes the width along
        self, value: float, when_nothing_fits: WhenNothingFits = "cheapest"
    ) -> "InZone":
        """The rule at another value of its setting, with the same zone."""
        return InZone(self.rule.at(value, when_nothing_fits), self.width)

    def choose(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The cheapest column of the zone, of equal costs the better; see Policy.choose."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        chosen = self.rule.choose(scores, cost_usd, allowed)
        value = self.rule.objective(scores, cost_usd)
        row = np.arange(len(chosen))
        near = allowed & self.rule.within(cost_usd)
        near &= value >= (value[row, chosen] - self.width)[:, None]
        near[row, chosen] = chosen != NOTHING_FITS  # also where it fits no limit
        near[chosen == NOTHING_FITS] = False
        lowest = np.where(near, cost_usd, np.inf).min(axis=1, keepdims=True)
        best = np.where(near & (cost_usd == lowest), value, -np.inf).argmax(axis=1)
        return np.where(chosen == NOTHING_FITS, NOTHING_FITS, best)

    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The choice, then the others as the rule ranks them; see Policy.rank."""
        ranked = self.rule.rank(scores, predicted_cost_usd, feasible)
        chosen = self.choose(scores, predicted_cost_usd, feasible)
        last_first = np.where(ranked == chosen[:, None], 0, 1)
        order = np.argsort(last_first, axis=1, kind="stable")
        return np.take_along_axis(ranked, order, axis=1)

    def within(self, predicted_cost_usd: RealArray) -> BoolArray:
        """The rule's limit."""
        return self.rule.within(predicted_cost_usd)

    def objective(self, scores: RealArray, predicted_cost_usd: RealArray) -> FloatArray:
        """What the rule maximises."""
        return self.rule.objective(scores, predicted_cost_usd)

    def margin(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> FloatArray:
        """How far the rule's own choice is ahead of its next: in the zone, less than the width."""
        return self.rule.margin(scores, predicted_cost_usd, feasible)

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int = 100) -> FloatArray:
        """The rule's."""
        return self.rule.points(scores, predicted_cost_usd, n)

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """Chosen columns (N, T) at every operating point."""
        columns = [self.at(point).choose(scores, predicted_cost_usd) for point in points.tolist()]
        return np.stack(columns, axis=1)

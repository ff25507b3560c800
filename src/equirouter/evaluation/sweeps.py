"""One fitted router over a sweep of operating points: its choices, measured."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.evaluation.curve import Measurement, measure
from equirouter.policy import Policy
from equirouter.training.fit_router import FittedRouter
from equirouter.training.protocol import Part, Prepared, stream

__all__ = ["N_POINTS", "RouterSweep", "sweep_router"]

N_POINTS = 100


@dataclass(frozen=True, eq=False)
class RouterSweep:
    """The choices of a router on n queries at T operating points, and their measurement.

    points (T,): budgets in USD, or lambdas, from the least to the largest spending. chosen (n, T):
    columns. measurement: its metrics and curve.
    """

    points: FloatArray
    chosen: IntArray
    measurement: Measurement

    def share_of(self, model: int) -> FloatArray:
        """The share of the calls that go to a model (a column) at every operating point, (T,)."""
        return np.asarray(self.measurement.curve.call_share[:, model])

    def metric(self, name: str) -> float:
        """A metric that always has a value: nauc, peak_score, peak_cost_usd, rci, rci_mean."""
        value = self.measurement.point[name]
        if not isinstance(value, float):
            raise AssertionError(f"{name} is no single number")
        return value

    def draws(self, name: str) -> FloatArray | None:
        """The bootstrap draws (R,) of such a metric; None without resamples."""
        draws = self.measurement.draws.get(name)
        return None if draws is None or isinstance(draws, dict) else draws

    def cost_at(self, quality: str) -> float | None:
        """The least cost at a quality such as "0.98", as a share of the strongest model's.

        None where that is never reached.
        """
        costs = self.measurement.point["cost_at_quality"]
        return costs[quality] if isinstance(costs, dict) else None

    def cost_draws(self, quality: str) -> FloatArray | None:
        """Its bootstrap draws (R,), NaN where a resample never reaches it; None without any."""
        draws = self.measurement.draws.get("cost_at_quality")
        return draws[quality] if isinstance(draws, dict) else None


def sweep_router(
    fitted: FittedRouter,
    prepared: Prepared,
    rule: Policy,
    *,
    seed: int,
    cost_usd: FloatArray | None = None,
    points: FloatArray | None = None,
    resamples: int = 0,
) -> RouterSweep:
    """Measure a fitted router on the test part at every operating point of a policy.

    cost_usd (n, K): decide by these costs and not by the predicted ones. points (T,): decide at
    these points and not at those that the policy finds for the costs. resamples: bootstrap draws;
    one seed gives every router the same resamples, so that their draws are paired.
    """
    part: Part = prepared.test
    scores = fitted.scores(part, rule)
    costs = part.costs(fitted.router) if cost_usd is None else cost_usd
    if points is None:
        points = rule.points(scores, costs, N_POINTS)
    chosen = rule.replay(scores, costs, points, part.cost_usd)
    measured = measure(
        chosen, part.performance, part.cost_usd, resamples=resamples, rng=stream(seed, "bootstrap")
    )
    return RouterSweep(points, chosen, measured)

"""One router fitted on a prepared split, and calibrated on its validation part."""

from dataclasses import dataclass
from functools import cached_property
from time import perf_counter

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.policy import Policy
from equirouter.routers import make_router
from equirouter.routers.base import DescriptionRouter, Router, Validation
from equirouter.routers.scale import LogisticScale, fit_scale
from equirouter.training.protocol import Part, Prepared, scores_of, stream

__all__ = ["FittedRouter", "calibration_for", "cross_fitted", "fit_router"]

FOLDS = 5


@dataclass(frozen=True, eq=False)
class FittedRouter:
    """A router that has learned from the training part, and how its scores are calibrated."""

    router: Router
    validation: Part
    """The part that the scores are calibrated on."""
    fit_seconds: float

    @cached_property
    def scale(self) -> LogisticScale | None:
        """The curves that turn scores into estimates of performance: see calibration_for."""
        return calibration_for(self.router, self.validation)

    def scores(self, part: Part, rule: Policy) -> FloatArray:
        """Scores (n, K) of a part, calibrated where the policy needs estimates of performance."""
        return scores_of(self.router, part, None if rule.needs == "ranking" else self.scale)


def fit_router(
    router: str | Router,
    prepared: Prepared,
    *,
    seed: int,
    name: str | None = None,
    device: str = "auto",
) -> FittedRouter:
    """Fit a router on the training part of a split; `bench` and `train` both fit with this.

    router: a spec as make_router takes it, or an unfitted router. name: of its random numbers; the
    spec when not given. The same seed and name give the same router, bit for bit.
    """
    made = make_router(router) if isinstance(router, str) else router
    if hasattr(made, "device"):
        made.device = device
    train, held_out = prepared.train, prepared.validation
    outcomes = (train.inputs(made), train.performance, train.cost_usd)
    validation = Validation(held_out.inputs(made), held_out.performance, held_out.cost_usd)
    rng = stream(seed, name or (router if isinstance(router, str) else type(made).__name__))
    start = perf_counter()
    if isinstance(made, DescriptionRouter):
        texts = prepared.descriptions
        made.fit(*outcomes, descriptions=texts, validation=validation, rng=rng)
    else:
        made.fit(*outcomes, validation=validation, rng=rng)
    return FittedRouter(made, held_out, perf_counter() - start)


def calibration_for(router: Router, validation: Part) -> LogisticScale | None:
    """The curves that make a router's scores calibrated estimates of performance.

    None for an anchor, whose scores are taken as they are, an order to follow.
    """
    if router.is_anchor:
        return None
    scores = scores_of(router, validation, None)
    return fit_scale(scores, validation.performance, centred=router.scores_are == "ranking")


def cross_fitted(router: Router, validation: Part, seed: int) -> FloatArray:
    """Calibrated estimates (V, K) of the validation part, none from a query's own outcome.

    Each fifth of the queries is calibrated on the other four, so that operating points chosen on
    these estimates do not profit from what the calibration learned by heart. A part of fewer than
    ten queries is calibrated as a whole.
    """
    scores = scores_of(router, validation, None)
    centred = router.scores_are == "ranking"
    if len(scores) < 2 * FOLDS:
        return fit_scale(scores, validation.performance, centred=centred).apply(scores)
    fold = stream(seed, "calibration").permutation(len(scores)) % FOLDS
    estimates = np.empty_like(scores)
    for number in range(FOLDS):
        out = fold == number
        scale = fit_scale(scores[~out], validation.performance[~out], centred=centred)
        estimates[out] = scale.apply(scores[out])
    return estimates

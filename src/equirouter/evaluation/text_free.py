"""Whether reading a query pays: a router held against what reads no text, on one test part."""

from typing import Any

from equirouter.evaluation.aggregate import PAIRED_QUALITIES, differences
from equirouter.evaluation.curve import Measurement, measure
from equirouter.evaluation.results import TEXT_FREE
from equirouter.policy import Policy
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import Prepared, stream


def against_text_free(
    measured: Measurement,
    prepared: Prepared,
    rule: Policy,
    *,
    strongest: int,
    quality: float,
    resamples: int,
    seed: int,
) -> dict[str, Any] | None:
    """The cost of a router at a quality, less that of the anchor without text that needs least.

    measured: the router along every setting of the rule, on the same resamples (stream of seed).
    strongest: a column; costs are shares of its cost. quality: the nearest of PAIRED_QUALITIES
    that is not above it counts. Returns `anchor`, `quality`, `cost` of both and `difference` with
    its 95 % interval, negative where reading pays; None where the strongest model costs nothing.
    The anchor is chosen on the test part, which favours it.
    """
    level = next((q for q in PAIRED_QUALITIES if float(q) <= quality + 1e-9), PAIRED_QUALITIES[-1])
    sides = {
        name: _measured(name, prepared, rule, strongest, resamples, seed) for name in TEXT_FREE
    }
    costs = {name: _cost(side, level) for name, side in sides.items()}
    own, known = _cost(measured, level), {n: cost for n, cost in costs.items() if cost is not None}
    if own is None or not known:
        return None
    best = min(known, key=known.__getitem__)
    difference = differences([measured], [sides[best]]).cost_at_quality[level]
    return {
        "anchor": best,
        "quality": level,
        "cost": {"router": own, "anchor": known[best]},
        "difference": difference.model_dump(mode="json"),
    }


def _cost(measured: Measurement, level: str) -> float | None:
    costs = measured.point["cost_at_quality"]
    return costs[level] if isinstance(costs, dict) else None


def _measured(
    name: str, prepared: Prepared, rule: Policy, strongest: int, resamples: int, seed: int
) -> Measurement:
    fitted = fit_router(name, prepared, seed=seed)
    test = prepared.test
    scores, costs = fitted.scores(test, rule), test.prices(fitted.router, rule)
    return measure(
        rule.sweep(scores, costs, rule.points(scores, costs, 2)),
        test.performance,
        test.cost_usd,
        strongest=strongest,
        path=rule.path(scores, costs),
        resamples=resamples,
        rng=stream(seed, "bootstrap"),
    )

"""Whether reading a query pays: a router held against what reads no text, on one test part."""

from equirouter.evaluation.aggregate import PAIRED_QUALITIES, differences
from equirouter.evaluation.pipeline_metrics import BothCosts, TextFree
from equirouter.evaluation.results import TEXT_FREE
from equirouter.evaluation.sweeps import RouterSweep, sweep_router
from equirouter.policy import Policy
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import Prepared


def against_text_free(
    measured: RouterSweep,
    prepared: Prepared,
    rule: Policy,
    *,
    quality: float,
    resamples: int,
    seed: int,
) -> TextFree | None:
    """The cost of a router at a quality, less that of the anchor without text that needs least.

    measured: the router along every setting of the rule, with the same seed and resamples. quality:
    the nearest of PAIRED_QUALITIES that is not above it counts. None where the strongest model
    costs nothing. The anchor is chosen on the test part, which favours it.
    """
    level = next((q for q in PAIRED_QUALITIES if float(q) <= quality + 1e-9), PAIRED_QUALITIES[-1])
    sides = {
        name: sweep_router(
            fit_router(name, prepared, seed=seed),
            prepared,
            rule,
            seed=seed,
            n_points=2,  # metrics at a quality are read along the path
            along_path=True,
            resamples=resamples,
        )
        for name in TEXT_FREE
    }
    costs = {name: side.measurement.value("cost_at_quality", level) for name, side in sides.items()}
    known = {name: cost for name, cost in costs.items() if cost is not None}
    own = measured.measurement.value("cost_at_quality", level)
    if own is None or not known:
        return None
    best = min(known, key=known.__getitem__)
    pair = ([each.measurement] for each in (measured, sides[best]))
    return TextFree(
        anchor=best,
        quality=level,
        cost=BothCosts(router=own, anchor=known[best]),
        difference=differences(*pair).cost_at_quality[level],
    )

"""b4: with equal noise the strongest model wins most often; with unequal noise it need not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.diagnosis.noise import ClaimCheck, check_claim, win_shares
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict
from equirouter.paper.context import Context
from equirouter.paper.lines import line_figure
from equirouter.report.canvas import Line
from equirouter.training.protocol import stream

__all__ = ["maximum_mean_winner"]

Pool: TypeAlias = tuple[FloatArray, FloatArray]

N_POOLS, DRAWS = 100, 20_000
SIGMA = 0.1  # of the noise on the data set's models, in units of performance
RATIOS = (1, 2, 4, 8, 16, 32, 64)  # noise of the weakest model, in that of the others


@dataclass(frozen=True)
class NoisyWeakest:
    """How often the strongest and the weakest model win as the noise of the weakest grows."""

    strongest: str
    weakest: str
    strongest_share: tuple[float, ...]
    weakest_share: tuple[float, ...]
    check: ClaimCheck


def maximum_mean_winner(context: Context) -> Section:
    """b4: Eq. 11 on made-up pools and on the data set's models, with equal and unequal noise."""
    rng = stream(context.seeds[0], "maximum-mean winner")
    pools = _made_up(rng)
    equal = check_claim(
        [(means, np.full(len(means), sigmas[0])) for means, sigmas in pools], draws=DRAWS, rng=rng
    )
    unequal = check_claim(pools, draws=DRAWS, rng=rng)
    means = np.nanmean(context.outcomes.performance, axis=0)
    noisy = _noisy_weakest(means, context.outcomes.models, rng)
    verdict, finding = _finding(equal, unequal, noisy)
    return Section(
        "b4",
        "The most likely winner under noise (App. B.4, Equation 11)",
        "Where all models' scores have the same noise, the strongest model within the budget is "
        "the most likely to be chosen, so that errors concentrate on it (App. B.4, Eq. 11).",
        verdict,
        finding,
        (_checks(equal, unequal), _shares(noisy)),
        (_figure(noisy),),
    )


def _made_up(rng: np.random.Generator) -> list[Pool]:
    """Pools of 3 to 10 models: means from 0 to 1, noise of each model from 0.02 to 2."""
    sizes = rng.integers(3, 11, N_POOLS)
    return [(rng.uniform(0, 1, size), 10 ** rng.uniform(-1.7, 0.3, size)) for size in sizes]


def _noisy_weakest(
    means: FloatArray, models: Sequence[str], rng: np.random.Generator
) -> NoisyWeakest:
    strongest, weakest = int(np.argmax(means)), int(np.argmin(means))
    pools = []
    for ratio in RATIOS:
        sigmas = np.full(len(means), SIGMA)
        sigmas[weakest] *= ratio
        pools.append((means, sigmas))
    shares = [win_shares(*pool, draws=DRAWS, rng=rng).share for pool in pools]
    return NoisyWeakest(
        models[strongest],
        models[weakest],
        tuple(float(share[strongest]) for share in shares),
        tuple(float(share[weakest]) for share in shares),
        check_claim(pools, draws=DRAWS, rng=rng),
    )


def _finding(equal: ClaimCheck, unequal: ClaimCheck, noisy: NoisyWeakest) -> tuple[Verdict, str]:
    data_fails = noisy.check.lead > noisy.check.beyond
    holds = equal.failures == 0 and not data_fails[0]
    text = (
        f"With equal noise a weaker model won more often, by more than {equal.beyond:g} standard "
        f"errors, in {equal.failures} of {equal.n_pools} made-up pools; with noise of each model's "
        f"own in {unequal.failures} of {unequal.n_pools}. Among this data set's models "
        f"{noisy.strongest} wins {100 * noisy.strongest_share[0]:.1f} % under equal noise "
        f"and the weakest, {noisy.weakest}, {100 * noisy.weakest_share[0]:.1f} %; "
    )
    over = [
        place
        for place, fails in enumerate(data_fails)
        if fails and noisy.weakest_share[place] > noisy.strongest_share[place]
    ]
    if over:
        first = over[0]
        text += (
            f"with {RATIOS[first]} times the others' noise the weakest wins "
            f"{100 * noisy.weakest_share[first]:.1f} % and the strongest "
            f"{100 * noisy.strongest_share[first]:.1f} %: the claim needs noise of one law"
        )
    else:
        text += f"the weakest stays behind at up to {RATIOS[-1]} times the others' noise"
    return ("reproduced" if holds else "not reproduced"), f"{text}."


def _checks(equal: ClaimCheck, unequal: ClaimCheck) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            check.n_pools,
            check.failures,
            float(check.lead.max()),
            float(check.strongest_share.mean()),
            float(check.top_share.mean()),
        )
        for name, check in (("equal", equal), ("unequal", unequal))
    ]
    return Table(
        "b4-pools",
        (
            "noise",
            "pools",
            "claim fails",
            "largest lead of a weaker model",
            "strongest wins",
            "most frequent winner wins",
        ),
        tuple(rows),
        f"Made-up pools of 3 to 10 models, {DRAWS:,} draws each. A pool fails where a weaker model "
        f"leads the strongest by more than {equal.beyond:g} standard errors; a negative lead is "
        "none. Wins: shares of the draws, means over the pools.",
    )


def _shares(noisy: NoisyWeakest) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (f"{ratio} x", strongest, weakest, float(lead))
        for ratio, strongest, weakest, lead in zip(
            RATIOS, noisy.strongest_share, noisy.weakest_share, noisy.check.lead, strict=True
        )
    ]
    return Table(
        "b4-models",
        (
            "noise of the weakest",
            f"{noisy.strongest} wins",
            f"{noisy.weakest} wins",
            "largest lead of a weaker model",
        ),
        tuple(rows),
        f"The data set's models with their mean performance and Gaussian noise of {SIGMA:g}; that "
        f"of the weakest, {noisy.weakest}, is a multiple of it. Shares of {DRAWS:,} draws; the "
        "lead, in standard errors, is from as many draws of their own.",
    )


def _figure(noisy: NoisyWeakest) -> Figure:
    title = "How often a model wins, % of draws"
    # a model must not be drawn as a router: one has the look of the anchor, the other of its name
    lines = [
        Line(look, RATIOS, [100 * share for share in shares], label=label)
        for look, shares, label in (
            ("strongest", noisy.strongest_share, "strongest"),
            ("weakest", noisy.weakest_share, "weakest"),
        )
    ]

    def prepare(axes: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes.set_xscale("log", base=2)
        axes.set_xticks(RATIOS, [str(ratio) for ratio in RATIOS])

    return line_figure(
        "b4",
        lines,
        f"Two lines over the noise of the weakest model: how often {noisy.strongest}, the "
        f"strongest, and {noisy.weakest}, the weakest, have the highest score.",
        "At the left all models have the same noise, and the strongest leads. Where the lines "
        "cross, the claim no longer holds: the weakest model wins more often.",
        title=title,
        x_label="noise of the weakest model, times that of the others",
        height=2.6,
        prepare=prepare,
    )

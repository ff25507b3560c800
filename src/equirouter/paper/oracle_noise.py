"""fig3-noise: an oracle whose labels have noise; b4: which model wins under noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.diagnosis.noise import (
    BEYOND,
    ClaimCheck,
    NoiseSweep,
    check_claim,
    noise_sweep,
    win_shares,
)
from equirouter.paper.base import Cell, Figure, Section, Table, Value, Verdict, line_figure
from equirouter.paper.context import Context
from equirouter.report.canvas import FAINT, INK, Line, draw_svg
from equirouter.training.protocol import stream

DRAWS = 20
CONCENTRATED = 0.5
_VERMILLION, _BLUE, _GREEN = "#D55E00", "#0072B2", "#009E73"


def noisy_oracle(context: Context) -> Section:
    """fig3-noise: calls to the strongest, performance and RCI of the oracle against sigma."""
    outcomes = context.outcomes
    complete = outcomes.take(outcomes.is_complete)
    sweep = noise_sweep(
        complete.performance,
        complete.cost_usd,
        draws=DRAWS,
        budget_usd=context.budget_usd,
        rng=stream(context.seeds[0], "oracle noise"),
        progress=context.progress,
    )
    column, name = outcomes.strongest, outcomes.models[outcomes.strongest]
    share = sweep.call_share[:, :, column]
    verdict, finding = _finding(sweep, share, name, outcomes.n_models)
    return Section(
        "fig3-noise",
        "The oracle with noisy labels (Figure 3, right)",
        "With Gaussian noise of growing size on its labels the oracle's choices concentrate more "
        "and more on the strongest model, and its performance falls (Figure 3, right).",
        verdict,
        finding,
        (_table(sweep, share, name, context.budget_usd),),
        (_figure(sweep, share),),
    )


def _finding(
    sweep: NoiseSweep, share: FloatArray, strongest: str, n_models: int
) -> tuple[Verdict, str]:
    """Concentration: half of the calls at some sigma, and half as many again as chance gives.

    None: never more than twice what chance gives, or than midway from chance to that share where
    this is less (of two models chance is a half, and twice as much is all calls).
    """
    means, rci = share.mean(axis=1), sweep.rci.mean(axis=1)
    performance = sweep.performance.mean(axis=1)
    top = int(means.argmax())
    chance = 1 / n_models
    enough = max(CONCENTRATED, 1.5 * chance)
    verdict: Verdict = "partly reproduced"
    if means[top] >= enough:
        verdict = "reproduced"
    elif means[top] <= min(2 * chance, (chance + enough) / 2):
        verdict = "not reproduced"
    first = int(np.flatnonzero(sweep.sigmas > 0)[0])
    return verdict, (
        f"Without noise the oracle sends {100 * means[0]:.1f} % to {strongest}; with it at most "
        f"{100 * means[top]:.1f} % (sigma {sweep.sigmas[top]:g}), where chance is "
        f"{100 / n_models:.1f} %. RCI is {rci[0]:.3f} without noise and {rci[first]:.3f} at sigma "
        f"{sweep.sigmas[first]:g}, because any noise breaks ties at random and not by cost; "
        f"performance goes from {performance[0]:.3f} to {performance[-1]:.3f} at sigma "
        f"{sweep.sigmas[-1]:g}."
    )


def _table(sweep: NoiseSweep, share: FloatArray, strongest: str, budget_usd: float | None) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (f"{sigma:g}", _value(share[row]), _value(sweep.performance[row]), _value(sweep.rci[row]))
        for row, sigma in enumerate(sweep.sigmas.tolist())
    ]
    limit = "without a budget" if budget_usd is None else f"with a budget of {budget_usd:g} USD"
    return Table(
        "fig3-noise",
        ("sigma", f"calls to {strongest}", "performance", "RCI"),
        tuple(rows),
        f"The oracle of Eq. 3, {limit}, decides on performance + N(0, sigma squared) "
        f"and is measured on the true outcomes; means over {DRAWS} draws of the noise and 95 % of "
        "them, on the same queries.",
    )


def _value(draws: FloatArray) -> Value:
    low, high = np.percentile(draws, (2.5, 97.5))
    return Value(float(draws.mean()), float(low), float(high))


def _figure(sweep: NoiseSweep, share: FloatArray) -> Figure:
    title = "The oracle with noise on its labels"
    places = np.arange(len(sweep.sigmas))
    lines = (
        ("calls to the strongest", share, _VERMILLION),
        ("performance", sweep.performance, _BLUE),
        ("RCI", sweep.rci, _GREEN),
    )

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes = figure.subplots()
        for label, draws, colour in lines:
            mean = draws.mean(axis=1)
            low, high = np.percentile(draws, (2.5, 97.5), axis=1)
            axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(places, mean, color=colour, linewidth=1.4, marker="o", markersize=2.5)
            axes.annotate(
                label,
                (places[-1], mean[-1]),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                color=INK,
            )
        axes.axhline(1 / sweep.call_share.shape[2], color=FAINT, linewidth=0.7, linestyle=":")
        axes.set_xticks(places, [f"{sigma:g}" for sigma in sweep.sigmas.tolist()], rotation=45)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("sigma of the noise (dotted: chance, 1 / number of models)")
        axes.set_title(title)
        axes.grid(axis="y")
        axes.set_xlim(-0.2, len(places) * 1.32)
        figure.tight_layout(pad=0.5)

    return Figure(
        "fig3-noise",
        draw_svg(paint, (3.5, 2.5), title=title, points=7.0),
        "Three lines over the size of the noise: calls to the strongest model, performance, RCI.",
        "Bands hold 95 % of the draws. If noise led to collapse, the calls to the strongest would "
        "rise far above the dotted line.",
    )


Pool: TypeAlias = tuple[FloatArray, FloatArray]

N_POOLS, TRIALS = 100, 20_000
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
        [(means, np.full(len(means), sigmas[0])) for means, sigmas in pools],
        draws=TRIALS,
        rng=rng,
    )
    unequal = check_claim(pools, draws=TRIALS, rng=rng)
    means = np.nanmean(context.outcomes.performance, axis=0)
    noisy = _noisy_weakest(means, context.outcomes.models, rng)
    verdict, finding = _winner_finding(equal, unequal, noisy)
    return Section(
        "b4",
        "The most likely winner under noise (App. B.4, Equation 11)",
        "Where all models' scores have the same noise, the strongest model within the budget is "
        "the most likely to be chosen, so that errors concentrate on it (App. B.4, Eq. 11).",
        verdict,
        finding,
        (_checks(equal, unequal), _shares(noisy)),
        (_winner_figure(noisy),),
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
    shares = [win_shares(*pool, draws=TRIALS, rng=rng).share for pool in pools]
    return NoisyWeakest(
        models[strongest],
        models[weakest],
        tuple(float(share[strongest]) for share in shares),
        tuple(float(share[weakest]) for share in shares),
        check_claim(pools, draws=TRIALS, rng=rng),
    )


def _winner_finding(
    equal: ClaimCheck, unequal: ClaimCheck, noisy: NoisyWeakest
) -> tuple[Verdict, str]:
    data_fails = noisy.check.lead > BEYOND
    holds = equal.failures == 0 and not data_fails[0]
    text = (
        f"With equal noise a weaker model won more often, by more than {BEYOND:g} standard "
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
        f"Made-up pools of 3 to 10 models, {TRIALS:,} draws each. A pool fails where a weaker "
        f"model leads the strongest by more than {BEYOND:g} standard errors; a negative lead "
        "is none. Wins: shares of the draws, means over the pools.",
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
        f"of the weakest, {noisy.weakest}, is a multiple of it. Shares of {TRIALS:,} draws; the "
        "lead, in standard errors, is from as many draws of their own.",
    )


def _winner_figure(noisy: NoisyWeakest) -> Figure:
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

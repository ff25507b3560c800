"""fig3-noise: an oracle whose labels are disturbed by Gaussian noise of growing size."""

from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.diagnosis.noise import NoiseSweep, noise_sweep
from equirouter.paper.base import Cell, Figure, Section, Table, Value, Verdict
from equirouter.paper.context import Context
from equirouter.report.canvas import FAINT, GRID, INK, draw_svg
from equirouter.training.protocol import stream

__all__ = ["noisy_oracle"]

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
        (_table(sweep, share, name),),
        (_figure(sweep, share),),
    )


def _finding(
    sweep: NoiseSweep, share: FloatArray, strongest: str, n_models: int
) -> tuple[Verdict, str]:
    """Concentration: half of the calls at some sigma, and half as many again as chance gives."""
    means, rci = share.mean(axis=1), sweep.rci.mean(axis=1)
    performance = sweep.performance.mean(axis=1)
    top = int(means.argmax())
    verdict: Verdict = "partly reproduced"
    if means[top] >= max(CONCENTRATED, 1.5 / n_models):
        verdict = "reproduced"
    elif means[top] <= 2 / n_models:
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


def _table(sweep: NoiseSweep, share: FloatArray, strongest: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (f"{sigma:g}", _value(share[row]), _value(sweep.performance[row]), _value(sweep.rci[row]))
        for row, sigma in enumerate(sweep.sigmas.tolist())
    ]
    return Table(
        "fig3-noise",
        ("sigma", f"calls to {strongest}", "performance", "RCI"),
        tuple(rows),
        f"The oracle of Eq. 3, {_limit(sweep)}, decides on performance + N(0, sigma squared) "
        f"and is measured on the true outcomes; means over {DRAWS} draws of the noise and 95 % of "
        "them, on the same queries.",
    )


def _limit(sweep: NoiseSweep) -> str:
    limit = sweep.budget_usd
    return "without a budget" if limit is None else f"with a budget of {limit:g} USD"


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
        axes.set_title(title, loc="left", fontsize=7.7, color=INK)
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.set_xlim(-0.2, len(places) * 1.32)
        figure.tight_layout(pad=0.5)

    return Figure(
        "fig3-noise",
        draw_svg(paint, (3.5, 2.5), title=title, points=7.0),
        "Three lines over the size of the noise: calls to the strongest model, performance, RCI.",
        "Bands hold 95 % of the draws. If noise led to collapse, the calls to the strongest would "
        "rise far above the dotted line.",
    )

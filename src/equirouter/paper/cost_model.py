"""figA4: how far predicted costs are from true ones, in USD and beside what the calls cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.reliability import CostErrors, cost_errors
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict
from equirouter.paper.context import Context
from equirouter.report.canvas import GRID, INK, draw_svg

__all__ = ["cost_model_errors"]

SMALL_MSE = 1e-8  # USD squared: "on the order of 1e-9"
NEAR_EXACT = 0.1  # mean absolute error as a share of the mean cost
_BLUE = "#0072B2"
_ROW, _EDGES = 0.17, 0.75  # inches


def cost_model_errors(context: Context) -> Section:
    """figA4: the cost model's error per model on the test part, absolute and relative."""
    parts = [context.prepared(seed).test for seed in context.seeds]
    errors = [cost_errors(part.predicted_cost_usd, part.cost_usd) for part in parts]
    mean = _mean(errors)
    models = context.outcomes.models
    verdict, finding = _finding(mean, models)
    return Section(
        "figA4",
        "Error of the predicted costs (Figure A4)",
        "Cost prediction is near-exact: the test-set mean squared error of the two-layer cost "
        "model is on the order of 1e-9 USD squared (Figure A4, App. C.2).",
        verdict,
        finding,
        (_table(mean, models),),
        (_figure(mean, models),),
    )


def _mean(errors: Sequence[CostErrors]) -> CostErrors:
    """The means over the seeds."""

    def over_seeds(name: str) -> FloatArray:
        return np.asarray(np.mean([getattr(each, name) for each in errors], axis=0))

    names = ("mean_usd", "mse", "mae_usd", "relative", "unexplained")
    return CostErrors(**{name: over_seeds(name) for name in names})


def _overall_relative(errors: CostErrors) -> float:
    """The mean absolute error over all cells as a share of their mean cost; NaN if all are free."""
    total = float(errors.mean_usd.sum())
    return float(errors.mae_usd.sum()) / total if total > 0 else float("nan")


def _finding(errors: CostErrors, models: Sequence[str]) -> tuple[Verdict, str]:
    relative = _overall_relative(errors)
    if np.isnan(relative):
        return "not tested", "Every call is free: there is no cost to predict."
    is_small, is_exact = errors.overall_mse <= SMALL_MSE, relative <= NEAR_EXACT
    verdict: Verdict = "partly reproduced" if is_small or is_exact else "not reproduced"
    if is_small and is_exact:
        verdict = "reproduced"
    text = (
        f"The mean squared error is {errors.overall_mse:.2g} USD squared, "
        f"{'within' if is_small else 'above'} {SMALL_MSE:.0e}. The mean absolute error is "
        f"{100 * relative:.1f} % of the mean cost, which is "
        f"{'near-exact' if is_exact else 'not near-exact'} (at most {100 * NEAR_EXACT:.0f} %)"
    )
    if np.isfinite(errors.relative).all():
        low, high = int(errors.relative.argmin()), int(errors.relative.argmax())
        text += (
            f": from {100 * errors.relative[low]:.1f} % ({models[low]}) to "
            f"{100 * errors.relative[high]:.1f} % ({models[high]})"
        )
    return verdict, f"{text}. A squared error in USD is small wherever calls are cheap."


def _table(errors: CostErrors, models: Sequence[str]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            model,
            *(
                _cell(values[column])
                for values in (
                    errors.mean_usd,
                    errors.mse,
                    errors.mae_usd,
                    errors.relative,
                    errors.unexplained,
                )
            ),
        )
        for column, model in enumerate(models)
    ]
    overall = (errors.mean_usd.mean(), errors.overall_mse, errors.mae_usd.mean())
    rows.append(("all models", *map(_cell, overall), _cell(_overall_relative(errors)), ""))
    heads = ("mean cost USD", "MSE USD squared", "MAE USD", "MAE / mean cost", "MSE / variance")
    return Table(
        "figA4",
        ("model", *heads),
        tuple(rows),
        "Error of the predicted cost of one call on the test part; means over the seeds. MSE: mean "
        "squared error, MAE: mean absolute error. MSE / variance: 0 is exact, 1 is as good as "
        "always predicting the model's mean; empty where costs do not vary.",
    )


def _cell(value: float) -> Cell:
    return "" if np.isnan(value) else float(value)


def _figure(errors: CostErrors, models: Sequence[str]) -> Figure:
    order = np.argsort(errors.mean_usd, kind="stable")
    title = "Error of predicted costs on the test part"

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        left, right = figure.subplots(1, 2, sharey=True)
        _dots(left, np.sqrt(errors.mse[order]), "root mean squared error, USD", "{:.0e}")
        _dots(right, 100 * errors.relative[order], "mean absolute error, % of mean cost", "{:.1f}")
        left.set_xscale("log")
        left.set_xlim(right=left.get_xlim()[1] * 6)
        right.set_xlim(0, right.get_xlim()[1] * 1.25)
        left.set_yticks(range(len(models)), [models[row] for row in order], color=INK)
        left.set_ylim(-0.6, len(models) - 0.4)
        figure.suptitle(title, x=0.01, ha="left", fontsize=7.7, color=INK)
        figure.tight_layout(pad=0.4, w_pad=0.8)

    return Figure(
        "figA4",
        draw_svg(paint, (7.0, _EDGES + _ROW * len(models)), title=title, points=7.0),
        "Two rows of dots, one per model: the root mean squared error of its predicted cost in "
        "USD, and its mean absolute error in % of its mean cost.",
        "Models from the cheapest below to the most expensive above. Left: small in USD where "
        "calls are cheap. Right: the same predictions beside what the calls cost; 0 is exact.",
    )


def _dots(axes: Any, values: FloatArray, label: str, text: str) -> None:  # noqa: ANN401
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    axes.plot(values[known], known, "o", color=_BLUE, markersize=4)
    for row in known:
        axes.annotate(
            text.format(values[row]),
            (values[row], row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=6,
        )
    axes.set_xlabel(label)
    axes.grid(axis="both", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)

"""The pictures of the documentation that are drawn from results: docs/images/*.svg.

    python benchmarks/draw_pictures.py

collapse.svg    calls to expensive models at equal performance: a budget per query against a price
price.svg       one query, three models: which one wins at which budget, and at which lambda
"""

from pathlib import Path
from typing import Any

import numpy as np

from equirouter import benchmark, load_dataset
from equirouter.evaluation.results import Results
from equirouter.output import atomic_write
from equirouter.report.canvas import FAINT, GRID, INK, draw_svg

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ROUTER = "factors"
EXPENSIVE_USD = 0.002
BEFORE, AFTER, OTHER = "#D55E00", "#0072B2", "#009E73"

MODELS = ("small", "medium", "large")
SCORES = np.array([0.60, 0.80, 0.85])
COSTS_USD = np.array([0.0001, 0.0010, 0.0100])


def collapse() -> bytes:
    """The same scores and predicted costs, under two policies."""
    table = load_dataset("real")
    mean_cost = np.nanmean(table.cost_usd, axis=0)
    expensive = [m for m, usd in zip(table.models, mean_cost, strict=True) if usd >= EXPENSIVE_USD]
    policies = {"budget-grid": BEFORE, "utility": AFTER}
    runs = {
        policy: benchmark("real", "lexical", routers=[ROUTER], policy=policy, resamples=0)
        for policy in policies
    }

    def share(run: Results, name: str) -> Any:  # noqa: ANN401
        curve = run.curves[name]
        return 100 * np.sum([curve.call_share[model] for model in expensive], axis=0)

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes = figure.add_axes((0.075, 0.15, 0.895, 0.71))
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        for policy, colour in policies.items():
            curve = runs[policy].curves[ROUTER]
            axes.plot(curve.performance, share(runs[policy], ROUTER), color=colour, linewidth=2.2)
        oracle = runs["utility"].curves["oracle"]
        axes.plot(oracle.performance, share(runs["utility"], "oracle"), color=FAINT, linewidth=1.6)
        axes.set_xlim(0.72, 0.97)
        axes.set_ylim(0, 100)
        axes.set_xlabel("mean performance")
        axes.set_title(
            f"Calls to the {len(expensive)} most expensive of {table.n_models} models, %",
            loc="left",
            color=INK,
            fontsize=11,
        )
        notes = (
            (0.786, 48, "a budget per query:\nas it grows, nearly\nall calls go there", BEFORE),
            (0.853, 55, "a price for performance:\nfewer, for the same\nperformance", AFTER),
            (0.905, 7, "oracle: knows the answers", FAINT),
        )
        for x, y, text, colour in notes:
            axes.text(x, y, text, color=colour, ha="right" if x < 0.8 else "left")

    return draw_svg(paint, (7.2, 3.4), title="Routing collapse, and without")


def price() -> bytes:
    """A budget asks what fits; lambda asks what is worth its price."""
    colours = dict(zip(MODELS, (OTHER, AFTER, BEFORE), strict=True))

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        left = figure.add_axes((0.08, 0.17, 0.38, 0.66))
        budgets = np.geomspace(2e-5, 0.05, 400)
        fits = COSTS_USD[None, :] <= budgets[:, None]
        chosen = np.where(fits.any(axis=1), np.where(fits, SCORES, -1).argmax(axis=1), 0)
        for model, name in enumerate(MODELS):
            rows = chosen == model
            left.plot(budgets[rows], SCORES[chosen[rows]], color=colours[name], linewidth=3)
            left.text(budgets[rows][0], SCORES[model] + 0.012, name, color=colours[name])
        left.set(xscale="log", xlabel="budget for the call, USD", ylim=(0.5, 0.92))
        left.set_title("A budget: the best that fits", loc="left", color=INK)
        right = figure.add_axes((0.58, 0.17, 0.38, 0.66))
        lambdas = np.geomspace(1, 1000, 400)
        for model, name in enumerate(MODELS):
            worth = SCORES[model] - lambdas * COSTS_USD[model]
            right.plot(lambdas, worth, color=colours[name], linewidth=1.8)
        best = (SCORES - lambdas[:, None] * COSTS_USD).max(axis=1)
        right.plot(lambdas, best, color=INK, linewidth=4, alpha=0.18)
        right.set(xscale="log", xlabel="lambda, performance per USD", ylim=(0.4, 0.92))
        right.set_title("Lambda: score - lambda * cost", loc="left", color=INK)
        for x, y, name in ((1.1, 0.875, "large"), (28, 0.80, "medium"), (330, 0.60, "small")):
            right.text(x, y, name, color=colours[name])

    return draw_svg(paint, (7.2, 3.0), title="What a budget and a lambda do")


def main() -> None:
    """Draw them all."""
    for name, draw in {"collapse": collapse, "price": price}.items():
        with atomic_write(IMAGES / f"{name}.svg", "wb") as file:
            file.write(draw())


if __name__ == "__main__":
    main()

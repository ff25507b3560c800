"""The pictures of the documentation that are drawn from results: docs/images/*.svg.

    python benchmarks/draw_pictures.py

collapse.svg    calls to expensive models at equal performance: a budget per query against a price
price.svg       one query, three models: which one wins at which budget, and at which lambda
evidence.svg    what 98 % of the quality costs on seven tables, from evidence-cost.csv
table-1.svg     what 98 % costs with every router under the paper's policy, from table-1.csv
loop.svg        quality and cost over a year with and without retraining, from loop.csv

Each has a light and a dark form, of which a browser shows the one that its user prefers.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from equirouter import benchmark, load_dataset
from equirouter.evaluation.results import Results
from equirouter.output import atomic_write
from equirouter.report.canvas import FAINT, GRID, INK, draw_svg

DOCS = Path(__file__).parents[1] / "docs"
IMAGES = DOCS / "images"
DARK = """@media (prefers-color-scheme: dark) {
[style*="fill: #ffffff"] { fill: #121317 !important }
[style*="fill: #222222"] { fill: #eeeeee !important }
[style*="stroke: #222222"] { stroke: #eeeeee !important }
[style*="fill: #6e6e6e"] { fill: #b4b4b4 !important }
[style*="stroke: #6e6e6e"] { stroke: #b4b4b4 !important }
[style*="stroke: #e6e6e6"] { stroke: #33363d !important }
[style*="fill: #0072b2"] { fill: #4aa8e0 !important }
[style*="stroke: #0072b2"] { stroke: #4aa8e0 !important }
}"""
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


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a table of results, by the names of its columns."""
    path = DOCS / "benchmarks" / "data" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def evidence() -> bytes:
    """On each table: this project's router, what needs no router, and the paper's eight."""
    rows = rows_of("evidence-cost")
    ours = (
        ("default", "factors", "the default", BEFORE),
        ("lexical", "factors", "the default on lexical", BEFORE),
        ("default", "task", "task: knows the kind of query", OTHER),
        ("default", "strongest", "strongest: means and costs", OTHER),
        ("default", "oracle", "oracle: knows the answers", FAINT),
    )
    tables = {
        "zeroeval": "ZeroEval",
        "routerbench_slice": "RouterBench slice",
        "routellm_mmlu_gsm8k": "MMLU + GSM8K",
        "alpacaeval": "AlpacaEval 2",
        "zeroeval_all": "ZeroEval, 51 models",
        "mathv": "MATH-V",
        "alpacaeval1": "AlpacaEval 1",
    }
    labels = [*(label for *_, label, _ in ours), "the paper's routers, its protocol"]

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        for number, (table, title) in enumerate(tables.items()):
            row_of_axes, column = divmod(number, 4)
            left, bottom = 0.265 + 0.184 * column, 0.585 - 0.47 * row_of_axes
            axes = figure.add_axes((left, bottom, 0.168, 0.36))
            here = {(r["protocol"], r["router"]): r for r in rows if r["table"] == table}
            for place, (protocol, router, _, colour) in enumerate(ours):
                row = here[protocol, router]
                cost, error = float(row["98 %"]), float(row["± 98 %"])
                axes.errorbar(cost, -place, xerr=error, fmt="o", color=colour, markersize=5)
            theirs = [
                float(row["98 %"])
                for (protocol, router), row in here.items()
                if protocol == "paper" and not router.startswith("equirouter")
            ]
            axes.plot(theirs, [-len(ours)] * len(theirs), "o", color=AFTER, alpha=0.6, ms=5)
            axes.grid(axis="x", color=GRID, linewidth=0.7)
            axes.set(xlim=(-0.03, 1.05), ylim=(-len(ours) - 0.5, 0.5))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            axes.set_yticks([-place for place in range(len(labels))])
            axes.set_yticklabels(labels if column == 0 else [], color=INK)
            axes.set_title(title, loc="left", color=INK, fontsize=9)
        figure.text(0.633, 0.01, "cost, as a share of always the strongest", ha="center", color=INK)

    return draw_svg(paint, (8.4, 5.2), title="Cost of 98 % of the strongest model's quality")


def table_1() -> bytes:
    """Every router on three tables, under budgets."""
    rows = rows_of("table-1")
    anchors = {"oracle", "random", "strongest", "cheapest", "task", "mixture"}

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        for column, table in enumerate(("slice", "MMLU + GSM8K", "simulation")):
            axes = figure.add_axes((0.315 + 0.23 * column, 0.09, 0.21, 0.86))
            for place, row in enumerate(rows):
                name = row["router"]
                colour = BEFORE if name.startswith("equirouter") else AFTER
                colour = FAINT if name in anchors else colour
                axes.plot(float(row[f"{table}: at 98 %"]), -place, "o", color=colour, ms=4.5)
            axes.grid(axis="both", color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.set(xlim=(-0.03, 1.05), ylim=(-len(rows) + 0.4, 0.6))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
            names = [row["router"] for row in rows] if column == 0 else []
            axes.set_yticks([-place for place in range(len(rows))])
            axes.set_yticklabels(names, color=INK, fontsize=8)
            axes.set_title(table, loc="left", color=INK, fontsize=9)
        label = "cost of 98 % of the strongest model's quality, as a share of its cost"
        figure.text(0.64, 0.012, label, ha="center", color=INK)

    return draw_svg(paint, (8.0, 4.7), title="Cost of 98 % under budgets, router by router")


def loop() -> bytes:
    """A simulated year: what is kept of the strongest model's quality, and at what cost."""
    rows = rows_of("loop")
    months = [int(row["month"]) for row in rows]
    arms = (
        ("never", FAINT, "never retrained"),
        ("ungated", AFTER, "every week, without a gate"),
        ("loop", BEFORE, "every month, with the gate"),
    )

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        for column, (measure, low, high) in enumerate((("quality", 0.75, 1), ("cost", 0, 0.75))):
            axes = figure.add_axes((0.06 + 0.49 * column, 0.16, 0.43, 0.72))
            axes.grid(axis="y", color=GRID, linewidth=0.7)
            for arm, colour, label in arms:
                values = [float(row[f"{arm}: {measure}"]) for row in rows]
                axes.plot(months, values, "o-", color=colour, label=label, linewidth=2, ms=4)
            axes.set(xlim=(0.7, 13.3), ylim=(low, high), xticks=months, xlabel="month")
            axes.set_title(f"{measure}, of the strongest model's", loc="left", color=INK)
            for row in rows if measure == "cost" else ():
                if event := row["what happens"]:
                    month = int(row["month"])
                    axes.axvline(month, color=GRID, linewidth=1.2, zorder=0)
                    axes.text(month, 0.015, event, rotation=90, ha="right", color=FAINT, size=7)
            if measure == "quality":
                axes.axhline(0.95, color=INK, linewidth=1, linestyle="--")
                axes.text(8, 0.955, "promised", ha="center", va="bottom", color=INK)
                axes.legend(loc="lower left", frameon=False, labelcolor=INK)

    return draw_svg(paint, (8.4, 2.9), title="A year with and without retraining")


def main() -> None:
    """Draw them all."""
    pictures = {
        "collapse": collapse,
        "price": price,
        "evidence": evidence,
        "table-1": table_1,
        "loop": loop,
    }
    for name, draw in pictures.items():
        svg = draw().decode("utf-8").replace("</style>", f"\n{DARK}\n</style>", 1)
        with atomic_write(IMAGES / f"{name}.svg") as file:
            file.write(svg)


if __name__ == "__main__":
    main()

"""complexity: size and speed of every router against number of models and width (App. F)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.paper.base import Cell, Figure, Section, Table, Verdict, line_figure
from equirouter.paper.context import Context
from equirouter.paper.router_sets import label_of
from equirouter.registry import ROUTERS
from equirouter.report.canvas import Line
from equirouter.routers import Router
from equirouter.testing.problems import fit_described, make_toy

MODELS, WIDTH = (5, 11, 25, 50, 100), 384
WIDTHS, POOL = (128, 384, 768), 11
N_TRAINING, N_PREDICTED, EPOCHS, RUNS = 400, 256, 2, 5
LINEAR = 1.2  # the exponent of K up to which time counts as linear


@dataclass(frozen=True)
class Cost:
    """Size and speed of a router: parameters, bytes, fit in s, prediction of one query in us."""

    n_parameters: int
    n_bytes: int
    fit_seconds: float
    predict_us: float


def size_and_speed(context: Context) -> Section:
    """complexity: parameters, bytes, fit and prediction time on made-up outcomes."""
    names = [name for name, kind in ROUTERS.load_all().items() if not kind.is_anchor]
    shapes = [(k, WIDTH) for k in MODELS] + [(POOL, d) for d in WIDTHS if d != WIDTH]
    costs_of: dict[str, dict[tuple[int, int], Cost]] = {name: {} for name in names}
    for step, (k, d) in enumerate(shapes):
        context.progress("complexity", step, len(shapes))
        for name in names:
            costs_of[name][(k, d)] = measured(context.make_router(name), k, d)
    context.progress("complexity", len(shapes), len(shapes))
    verdict, finding = _finding(costs_of["equirouter"])
    return Section(
        "complexity",
        "Size and speed against the number of models (App. F)",
        "A decision of EquiRouter takes O(d_q D) + O(K D) + O(K cost(g)): time linear in the "
        "number of models K, and memory of O(K d_m) beside the shared network (App. F).",
        verdict,
        finding,
        (_table(costs_of),),
        (_figure(costs_of),),
    )


def measured(router: Router, k: int, d: int) -> Cost:
    """A router fitted on made-up outcomes of k models and embeddings of d numbers, and timed.

    The time of one query is that of a batch of N_PREDICTED divided by it, the median of RUNS.
    """
    toy = make_toy(n=N_TRAINING, d=d, k=k, missing=0.0)
    if "epochs" in router.settings:
        vars(router)["epochs"] = EPOCHS
    start = perf_counter()
    fit_described(router, toy)
    fit_seconds = perf_counter() - start
    queries: Float32Array = np.resize(toy.embeddings, (N_PREDICTED, d))
    router.predict(queries)  # what is made once is made now
    times = []
    for _ in range(RUNS):
        start = perf_counter()
        router.predict(queries)
        times.append(perf_counter() - start)
    n_bytes = sum(array.nbytes for array in router.state().values())
    return Cost(router.n_parameters, n_bytes, fit_seconds, median(times) / N_PREDICTED * 1e6)


def _finding(costs: Mapping[tuple[int, int], Cost]) -> tuple[Verdict, str]:
    """Linear where time grows no faster than K ** LINEAR and each model adds the same numbers."""
    times = [costs[(k, WIDTH)].predict_us for k in MODELS]
    sizes = [costs[(k, WIDTH)].n_parameters for k in MODELS]
    steps = pairwise(zip(MODELS, sizes, strict=True))
    per_model = {(after - before) / (more - few) for (few, before), (more, after) in steps}
    exponent = float(np.polyfit(np.log(MODELS), np.log(times), 1)[0])  # the slope
    is_linear = exponent <= LINEAR and len(per_model) == 1
    return ("reproduced" if is_linear else "not reproduced"), (
        f"equirouter's time for one query goes with K to the power {exponent:.2f}: from "
        f"{times[0]:.1f} us at {MODELS[0]} models to {times[-1]:.1f} us at {MODELS[-1]}. A model "
        f"adds {min(per_model):,.0f} numbers to {sizes[0]:,} at {MODELS[0]} models."
    )


def _table(costs_of: Mapping[str, Mapping[tuple[int, int], Cost]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, k, d, cost.n_parameters, cost.n_bytes, cost.fit_seconds, cost.predict_us)
        for name, costs in costs_of.items()
        for (k, d), cost in costs.items()
    ]
    heads = ("models K", "width d", "parameters", "bytes", "fit s", "predict us per query")
    return Table(
        "complexity",
        ("router", *heads),
        tuple(rows),
        f"Made-up outcomes of {N_TRAINING} training queries; {EPOCHS} epochs where a router has "
        f"epochs, so that fit times compare their steps and not their schedules. Prediction in "
        f"NumPy, {N_PREDICTED} queries at once, median of {RUNS}. Parameters are all numbers that "
        "a fitted router holds; for knn they are its training queries.",
    )


def _figure(costs_of: Mapping[str, Mapping[tuple[int, int], Cost]]) -> Figure:
    title = "Prediction of one query, us"
    lines = [
        Line(
            name,
            [float(np.log10(k)) for k in MODELS],
            [float(np.log10(costs[(k, WIDTH)].predict_us)) for k in MODELS],
            label=label_of(name),
        )
        for name, costs in costs_of.items()
    ]

    def prepare(axes: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes.set_xticks([np.log10(k) for k in MODELS], [str(k) for k in MODELS])
        low = int(np.floor(min(min(line.y) for line in lines)))
        high = int(np.ceil(max(max(line.y) for line in lines)))
        axes.set_ylim(low, high)
        powers = range(low, high + 1)
        axes.set_yticks(powers, [f"{10.0**power:g}" for power in powers])

    return line_figure(
        "complexity",
        lines,
        "Lines of the time of one prediction over the number of models, one per router, both axes "
        "logarithmic.",
        "Both axes are logarithmic: a line that rises by one decade per decade is linear in the "
        "number of models.",
        title=title,
        x_label="number of models",
        prepare=prepare,
    )

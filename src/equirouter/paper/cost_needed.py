"""fig5: the average cost that each router needs for a performance target."""

from collections.abc import Mapping, Sequence
from typing import Any

from equirouter.errors import DataError
from equirouter.paper.base import (
    Cell,
    Figure,
    Section,
    Table,
    Value,
    Verdict,
    line_figure,
    verdict_of,
)
from equirouter.paper.context import Context
from equirouter.paper.main_table import value_of
from equirouter.paper.router_sets import EQUIROUTER, is_equirouter, label_of
from equirouter.report.canvas import Line

LEVELS = ("0.90", "0.95", "0.98", "0.99", "1.00")
Costs = Mapping[str, Mapping[str, Value]]


def cost_for_targets(context: Context) -> Section:
    """fig5: cost, as a share of the strongest model's, at 90 to 100 % of its performance."""
    results = context.bench()
    strongest = results.strongest
    costs = {
        name: {
            level: value_of(router.cost_at_quality[level])
            if results.reaches(name, level)
            else Value(None)
            for level in LEVELS
        }
        for name, router, is_anchor in results.rows()
        if not is_anchor or name in ("oracle", "task")
    }
    verdict, finding = _finding(tuple(results.routers), costs)
    rows: list[tuple[Cell, ...]] = [(name, *levels.values()) for name, levels in costs.items()]
    return Section(
        "fig5",
        "Cost needed for a performance target (Figure 5)",
        "EquiRouter needs the least at every performance target, 17 to 25 % less than existing "
        "routers (Figure 5, RouterBench).",
        verdict,
        finding,
        (
            Table(
                "fig5",
                ("router", *(f"{_percent(level)} %" for level in LEVELS)),
                tuple(rows),
                f"Lowest mean cost at which a router reaches a share of {strongest}'s mean "
                "performance, as a share of that model's mean cost, with 95 % intervals. /: not "
                "reached by itself in every seed, so that always calling that model is cheapest.",
            ),
        ),
        (_figure(costs, strongest),),
    )


def _finding(routers: Sequence[str], costs: Costs) -> tuple[Verdict, str]:
    own = [name for name in routers if is_equirouter(name)]
    rivals = [name for name in routers if not is_equirouter(name)]
    if not own or not rivals:
        return "not tested", "EquiRouter and at least one other router are needed to compare them."
    name = EQUIROUTER if EQUIROUTER in own else own[0]
    held = {level: _difference(costs, name, rivals, level) for level in LEVELS}
    parts = [f"At {_percent(level)} % {text}" for level, (_, text) in held.items()]
    if name == EQUIROUTER and "equirouter" in own:
        text = _difference(costs, "equirouter", rivals, "0.98")[1]
        parts.append(f"With the default settings, at 98 % {text}")
    return verdict_of([wins for wins, _ in held.values()]), f"{'. '.join(parts)}."


def _difference(costs: Costs, name: str, rivals: Sequence[str], level: str) -> tuple[bool, str]:
    """Whether a router needs the least, and in words how it compares with the best of the others.

    A level that some seed missed counts as missed: the mean of the others would flatter.
    """
    reached = {
        router: levels[level].value
        for router, levels in costs.items()
        if router in rivals and not levels[level].note and levels[level].value is not None
    }
    own = costs[name][level]
    best = min(reached, key=lambda router: reached[router] or 0.0) if reached else None
    others = "no other router gets there in every seed"
    if best is not None:
        others = f"{best} needs {100 * (reached[best] or 0.0):.1f} %"
    if own.value is None or own.note:
        return False, f"{label_of(name)} does not get there in every seed, {others}"
    least = best is None or own.value <= (reached[best] or 0.0)
    return (
        least,
        f"{label_of(name)} needs {100 * own.value:.1f} % of the strongest's cost, {others}",
    )


def _percent(level: str) -> str:
    return f"{100 * float(level):.0f}"


def _figure(costs: Costs, strongest: str) -> Figure:
    lines = []
    for name, levels in costs.items():
        reached = [
            (float(place), 100 * value.value)
            for place, value in enumerate(levels.values())
            if value.value is not None and not value.note
        ]
        if reached:
            x, y = zip(*reached, strict=True)
            lines.append(Line(name, x, y, name in ("oracle", "task"), label_of(name)))
    if not lines:
        raise DataError(
            "no router and no anchor has a cost at 90 % of the strongest model's performance: "
            f"either the calls of {strongest} cost nothing, or no router gets there in every "
            "seed; give what calls cost in cost_usd, or add routers"
        )
    missing = [label_of(name) for name in costs if name not in {line.name for line in lines}]
    title = f"Cost needed, % of {strongest}'s"

    def prepare(axes: Any) -> None:  # noqa: ANN401  # a matplotlib object
        axes.set_xticks(range(len(LEVELS)), [_percent(level) for level in LEVELS])
        highest = max((value for line in lines for value in line.y), default=100.0)
        axes.set_ylim(0, 1.05 * highest)

    never = f" Not drawn, as they do not reach 90 % in every seed: {', '.join(missing)}."
    return line_figure(
        "fig5",
        lines,
        "Lines of the cost needed over the performance target, one per router.",
        "Lower is better. A line ends at the highest target that the router reaches in every seed."
        + (never if missing else ""),
        title=title,
        x_label=f"performance target, % of {strongest}'s",
        height=3.5,
        prepare=prepare,
    )

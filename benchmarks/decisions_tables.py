"""The tables of study_decisions.py, in Markdown: differences and their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data.outcomes import Outcomes

__all__ = ["LEVELS", "Figures", "report"]

LEVELS = ("0.99", "0.98", "0.95", "0.90")
AT = LEVELS.index("0.98")
THEIRS = ("head", "budget")
OURS = ("head+tail", "utility")


@dataclass(frozen=True)
class Figures:
    """One router on one split: cost and rci (L, 1) at LEVELS, their draws (L, R), and nAUC."""

    cost: FloatArray
    rci: FloatArray
    cost_draws: FloatArray
    rci_draws: FloatArray
    nauc: FloatArray


Found = Mapping[tuple[str, str, str], Sequence[Figures]]


@dataclass(frozen=True)
class Mean:
    """Means over the seeds (L,), and the same in each resample (L, R)."""

    value: FloatArray
    draws: FloatArray

    def less(self, other: "Mean") -> "Mean":
        """This minus another, resample by resample."""
        return Mean(self.value - other.value, self.draws - other.draws)

    def interval(self, level: int) -> tuple[float, float]:
        """95 %, percentiles of the draws."""
        low, high = np.quantile(self.draws[level], [0.025, 0.975])
        return float(low), float(high)


def mean(rows: Sequence[Figures], what: str) -> Mean:
    whole = np.stack([getattr(row, what)[:, 0] for row in rows], axis=1)
    drawn = np.mean([getattr(row, f"{what}_draws") for row in rows], axis=0)
    return Mean(whole.mean(axis=1), drawn)


def report(
    outcomes: Outcomes,
    figures: Found,
    sizes: Mapping[str, FloatArray],
    baselines: Sequence[str],
    paper: str,
    default: str,
) -> list[str]:
    """The tables of one data set."""
    n_seeds = len(figures[(default, *OURS)])
    ours = {what: mean(figures[(default, *OURS)], what) for what in ("cost", "rci")}
    oracle = mean(figures[("oracle", *OURS)], "cost").value[AT]
    pooled = ", ".join(f"{cost[AT]:.3f} ({size})" for size, cost in sizes.items())
    return [
        f"\n## {outcomes.name}: {n_seeds} seeds, {outcomes.n_queries:,} queries",
        "",
        *_proof(figures, baselines, ours),
        "",
        *_routers(figures, default, (*baselines, paper, "equirouter"), ours["cost"]),
        "",
        f"At 0.98 the oracle needs {oracle:.3f}; the default, by the size of its training part and "
        f"with the test queries of all seeds pooled, {pooled}.",
    ]


def _header(first: str, *more: str) -> list[str]:
    return [f"| {first} | {' | '.join(more)} |", f"|---|{'---|' * len(more)}"]


def _gap(gap: Mean, level: int) -> str:
    """A difference and its interval; a star where the interval excludes 0."""
    low, high = gap.interval(level)
    return f"{gap.value[level]:+.3f} [{low:+.3f}, {high:+.3f}]{_star(gap, level)}"


def _star(gap: Mean, level: int) -> str:
    low, high = gap.interval(level)
    return "" if low <= 0 <= high else "\\*"


def _proof(figures: Found, baselines: Sequence[str], ours: Mapping[str, Mean]) -> list[str]:
    """The default against the baseline that is best at a level under the paper's protocol."""
    lines = _header(
        "quality",
        "best baseline",
        "its cost",
        "default",
        "cheaper by",
        "difference",
        "difference in RCI",
    )
    for place, level in enumerate(LEVELS):
        costs = {spec: mean(figures[(spec, *THEIRS)], "cost") for spec in baselines}
        best = min(costs, key=lambda spec: float(costs[spec].value[place]))
        gap = ours["cost"].less(costs[best])
        saving = 1 - ours["cost"].value[place] / costs[best].value[place]
        cells = [
            level,
            f"`{best}`",
            f"{costs[best].value[place]:.3f}",
            f"{ours['cost'].value[place]:.3f}",
            f"{saving:.1%}",
            _gap(gap, place),
            _gap(ours["rci"].less(mean(figures[(best, *THEIRS)], "rci")), place),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _routers(figures: Found, default: str, rivals: Sequence[str], ours: Mean) -> list[str]:
    """Cost at 0.98 of every router under both windows and policies.

    A star in the first and the last column: the interval of the default less it excludes 0.
    """
    settings = (THEIRS, ("head", "utility"), ("head+tail", "budget"), OURS)
    lines = _header("cost at 0.98", *(f"`{w}`, `{p}`" for w, p in settings))
    for spec in (default, *rivals, "task"):
        cells = []
        for setting in settings:
            cost = mean(figures[(spec, *setting)], "cost")
            compared = spec in rivals and setting in (THEIRS, OURS)
            cells.append(f"{cost.value[AT]:.3f}{_star(ours.less(cost), AT) if compared else ''}")
        lines.append(f"| `{spec}` | {' | '.join(cells)} |")
    return lines

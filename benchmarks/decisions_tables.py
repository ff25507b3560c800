"""The tables of study_decisions.py: differences, intervals, verdicts, in Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data.outcomes import Outcomes

__all__ = ["LEVELS", "Figures", "report"]

LEVELS = ("0.99", "0.98", "0.95", "0.90")
TARGETS = {  # level -> how much cheaper than the best baseline, as a share; what a run has to show
    "routerbench_slice": {"0.98": 0.30, "0.95": 0.30},
    "routellm_mmlu_gsm8k": {"0.98": 0.10, "0.90": 0.30},
}
WORSE = 0.02  # by how much, of the strongest's cost, the default may be worse anywhere
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
    """Means over the seeds (L,), the same in each resample (L, R), and every seed (L, S)."""

    value: FloatArray
    draws: FloatArray
    seeds: FloatArray

    def less(self, other: "Mean") -> "Mean":
        """This minus another, resample by resample."""
        return Mean(self.value - other.value, self.draws - other.draws, self.seeds - other.seeds)

    def interval(self, level: int) -> tuple[float, float]:
        """95 %, percentiles of the draws."""
        low, high = np.quantile(self.draws[level], [0.025, 0.975])
        return float(low), float(high)


def mean(rows: Sequence[Figures], what: str) -> Mean:
    whole = np.stack([getattr(row, what)[:, 0] for row in rows], axis=1)
    drawn = np.mean([getattr(row, f"{what}_draws") for row in rows], axis=0)
    return Mean(whole.mean(axis=1), drawn, whole)


def report(
    outcomes: Outcomes,
    found: Found,
    sizes: Mapping[str, FloatArray],
    baselines: Sequence[str],
    paper: str,
    default: str,
) -> list[str]:
    """All tables of one data set."""
    n_seeds = len(found[(default, *OURS)])
    ours = {what: mean(found[(default, *OURS)], what) for what in ("cost", "rci")}
    rivals = (*baselines, paper, "equirouter")
    lines = [f"\n## {outcomes.name}: {n_seeds} seeds, {outcomes.n_queries:,} queries", ""]
    lines += _verdicts(outcomes.name, found, baselines, ours)
    for title, setting in (
        ("the paper's protocol: window `head`, policy `budget`", THEIRS),
        ("our window and policy: `head+tail`, `utility`", OURS),
    ):
        lines += ["", f"### Against {title}", "", *_against(found, rivals, setting, default, ours)]
    lines += ["", "### What each part contributes", "", *_parts(found, (default, *rivals, "task"))]
    lines += ["", "### Ceilings", "", *_ceilings(found, sizes)]
    return lines


def _header(first: str, *more: str) -> list[str]:
    return [f"| {first} | {' | '.join(more)} |", f"|---|{'---|' * len(more)}"]


def _against(
    found: Found,
    rivals: Sequence[str],
    setting: tuple[str, str],
    default: str,
    ours: Mapping[str, Mean],
) -> list[str]:
    """A row per router: its cost at each level, and the default less it, with its interval."""
    names = [f"{'cost at ' if level == LEVELS[0] else ''}{level}" for level in LEVELS]
    lines = _header("router", *names, "RCI at 0.98", "RCI at 0.95")
    row = [
        *(f"{v:.3f}" for v in ours["cost"].value),
        *(f"{ours['rci'].value[i]:.3f}" for i in (1, 2)),
    ]
    lines.append(f"| **default** (`{default}`) | {' | '.join(row)} |")
    for spec in rivals:
        them = {what: mean(found[(spec, *setting)], what) for what in ("cost", "rci")}
        cells = [_cell(them["cost"], ours["cost"], i) for i in range(len(LEVELS))]
        cells += [_cell(them["rci"], ours["rci"], i) for i in (1, 2)]
        lines.append(f"| `{spec}` | {' | '.join(cells)} |")
    return lines


def _cell(them: Mean, us: Mean, level: int) -> str:
    return f"{them.value[level]:.3f} ({_gap(us.less(them), level)})"


def _gap(gap: Mean, level: int) -> str:
    """A difference and its interval; a star where that has no 0."""
    low, high = gap.interval(level)
    mark = "" if low <= 0 <= high else "\\*"
    return f"{gap.value[level]:+.3f} [{low:+.3f}, {high:+.3f}]{mark}"


def _verdicts(
    name: str, found: Found, baselines: Sequence[str], ours: Mapping[str, Mean]
) -> list[str]:
    """Against the baseline that is best at a level under the paper's protocol."""
    lines = _header(
        "quality",
        "best baseline",
        "its cost",
        "default",
        "cheaper by",
        "difference",
        "seeds",
        "target",
        "its RCI",
        "difference in RCI",
    )
    wanted = TARGETS.get(name, {})
    for place, level in enumerate(LEVELS):
        costs = {spec: mean(found[(spec, *THEIRS)], "cost") for spec in baselines}
        best = min(costs, key=lambda spec: float(costs[spec].value[place]))
        gap = ours["cost"].less(costs[best])
        high = gap.interval(place)[1]
        wasted = mean(found[(best, *THEIRS)], "rci")
        saving = 1 - ours["cost"].value[place] / costs[best].value[place]
        wins = int((gap.seeds[place] < 0).sum())
        cells = [
            level,
            f"`{best}`",
            f"{costs[best].value[place]:.3f}",
            f"{ours['cost'].value[place]:.3f}",
            f"{saving:.1%}",
            _gap(gap, place),
            f"{wins} of {gap.seeds.shape[1]}",
            _verdict(wanted.get(level), saving, high, gap.value[place]),
            f"{wasted.value[place]:.3f}",
            _gap(ours["rci"].less(wasted), place),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _verdict(wanted: float | None, saving: float, high: float, gap: float) -> str:
    if wanted is None:
        return f"at most {WORSE:.0%} worse: {'reached' if gap <= WORSE else '**not reached**'}"
    clear = high < 0
    if saving >= wanted and clear:
        return f"{wanted:.0%}: reached"
    why = "" if clear else ", the interval has 0"
    return f"{wanted:.0%}: **not reached**{why}"


def _parts(found: Found, specs: Sequence[str]) -> list[str]:
    settings = (THEIRS, ("head", "utility"), ("head+tail", "budget"), OURS)
    lines = _header("cost at 0.98 / 0.95 / 0.90", *(f"`{w}`, `{p}`" for w, p in settings))
    for spec in specs:
        cells = []
        for setting in settings:
            value = mean(found[(spec, *setting)], "cost").value
            cells.append(" / ".join(f"{value[i]:.3f}" for i in (1, 2, 3)))
        lines.append(f"| `{spec}` | {' | '.join(cells)} |")
    return lines


def _ceilings(found: Found, sizes: Mapping[str, FloatArray]) -> list[str]:
    lines = _header("what is known", *LEVELS)
    oracle, task = (mean(found[(spec, *OURS)], "cost").value for spec in ("oracle", "task"))
    rows = {
        "`oracle`: every outcome": oracle,
        "`task`: the task, and its mean outcomes in the training part": task,
    }
    rows |= {f"default, training part {size}, test queries pooled": v for size, v in sizes.items()}
    return [*lines, *(f"| {n} | {' | '.join(f'{x:.3f}' for x in v)} |" for n, v in rows.items())]

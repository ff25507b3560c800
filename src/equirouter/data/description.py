"""An outcomes table in plain numbers, as `describe` gives them and `data describe` prints them."""

from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

from equirouter.data.cells import OutcomeCells
from equirouter.words import number_of


@dataclass(frozen=True)
class Description:
    """An outcomes table in plain numbers; the figures use complete rows only, or those of a log.

    >>> from equirouter import as_outcomes
    >>> columns = {"query_id": ["a"], "query": ["2 + 2?"], "task": ["sums"]}
    >>> table = as_outcomes({**columns, "small": [1.0], "small|total_cost": [0.001]})
    >>> table.describe().oracle_cost_usd
    0.001
    """

    name: str
    fingerprint: str
    n_queries: int
    n_models: int
    n_tasks: int
    n_complete: int
    n_equal: int
    """Queries whose text and image another one has too, but for case and white space; splits keep
    them together."""
    n_nearly_equal: int
    """Queries whose words another one has too, whatever their order and punctuation, with the same
    image; those of n_equal are among them."""
    missing_performance: int
    missing_cost: int
    models: tuple[str, ...]
    mean_performance: tuple[float, ...]
    mean_cost_usd: tuple[float, ...]
    strongest: str
    as_strong: tuple[str, ...]
    """The strongest model and those that equal it within noise (paired, 95 %), best mean first."""
    cheapest: str
    tie_rate: float | None
    """Share of complete queries, 0 to 1, on which the best and the second-best model score the
    same: the margin of Eq. 4 is 0. None without such queries, as all of oracle_*."""
    oracle_performance: float | None
    """Mean performance of the choices of Eq. 3 without a budget, as all of oracle_*."""
    oracle_cost_usd: float | None
    oracle_call_share: tuple[float, ...] | None
    task_sizes: dict[str, int]
    model_descriptions: tuple[str | None, ...] | None
    notes: tuple[str, ...]
    known_answers: int | None = None
    """Cells of which it is known what was answered; None where the table has no answers."""
    no_answer: int | None = None
    """Those of known_answers whose response had no answer."""
    n_logged: int = 0
    """Queries of a log that means are taken over by their propensities, beside complete ones."""

    def __str__(self) -> str:
        """Lines of text: the figures, and one for each model, best first."""
        width = max(map(len, self.models))
        others = ", ".join(self.as_strong[1:])
        as_strong = f" (as strong within noise: {others})" if others else ""
        lines = [
            f"{self.name}: {number_of(self.n_queries, 'query', 'queries')}, "
            f"{number_of(self.n_models, 'model')}, {number_of(self.n_tasks, 'task')}",
            f"missing cells: {self.missing_performance} performance, "
            f"{self.missing_cost} cost; complete queries: {self.n_complete}"
            + (f", means by the propensities of {self.n_logged} more" if self.n_logged else ""),
            f"queries with the text of another one: {self.n_equal} equal, "
            f"{self.n_nearly_equal} nearly equal (the same words)",
            f"strongest: {self.strongest}{as_strong}; cheapest: {self.cheapest}",
            *self._of_best(),
            "",
            f"{'model':{width}}  performance    cost USD  oracle calls",
        ]
        if self.known_answers is not None:
            known, without = self.known_answers, self.no_answer
            lines.insert(2, f"answers: {known} known, {without} of them empty")
        rows = zip(
            self.models,
            self.mean_performance,
            self.mean_cost_usd,
            self.oracle_call_share or [None] * len(self.models),
            strict=True,
        )
        for model, performance, cost, share in sorted(rows, key=lambda row: -row[1]):
            calls = "-" if share is None else f"{share:.1%}"
            lines.append(f"{model:{width}}  {performance:11.4f}  {cost:10.6f}  {calls:>12}")
        lines += ["", "tasks: " + ", ".join(f"{t} {n}" for t, n in self.task_sizes.items())]
        return "\n".join(lines)

    def _of_best(self) -> list[str]:
        """Figures that only complete queries tell."""
        if self.tie_rate is None:
            return ["ties and the oracle: not known, as no query has the outcome of every model"]
        return [
            f"ties for the best: {self.tie_rate:.1%} of queries",
            f"oracle: performance {self.oracle_performance:.4f} at "
            f"{self.oracle_cost_usd:.6f} USD per query",
        ]


_MOST_MODELS = 8
_MOST_TASKS = 5
_MOST_NOTES = 2


class _Shown(NamedTuple):
    """The parts of both forms, as texts that are short and have no line breaks."""

    title: str
    models: list[tuple[str, str, str]]
    """Name, mean performance and mean cost in USD, the strongest first."""
    remarks: list[str]


def table_text(table: OutcomeCells) -> str:
    """At most 15 lines: sizes, models, tasks, missing outcomes and notes."""
    shown = _shown(table)
    head = ("model", "performance", "cost_usd")
    width = max(len(name) for name, _, _ in [head, *shown.models])
    rows = [
        f"  {name:<{width}}  {performance:>11}  {cost:>10}"
        for name, performance, cost in [head, *shown.models]
    ]
    return "\n".join([shown.title, *rows, *(f"  {remark}" for remark in shown.remarks)])


def table_html(table: OutcomeCells) -> str:
    """An HTML table of them; names and notes are escaped."""
    shown = _shown(table)
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{performance}</td><td>{cost}</td></tr>"
        for name, performance, cost in shown.models
    )
    remarks = "".join(f"<div>{escape(remark)}</div>" for remark in shown.remarks)
    return (
        f"<div><b>{escape(shown.title)}</b><table><thead><tr><th>model</th><th>performance</th>"
        f"<th>cost_usd</th></tr></thead><tbody>{rows}</tbody></table>{remarks}</div>"
    )


def _shown(table: OutcomeCells) -> _Shown:
    performance, cost_usd = table.means()
    order = np.argsort(-performance, kind="stable")[:_MOST_MODELS].tolist()
    models = [
        (_short(table.models[k], 40), f"{performance[k]:.4f}", f"{cost_usd[k]:.6f}") for k in order
    ]
    sizes: dict[str, int] = {}
    for task in table.tasks:
        sizes[task] = sizes.get(task, 0) + 1
    largest = sorted(sizes, key=lambda task: -sizes[task])[:_MOST_TASKS]
    remarks = []
    if table.n_models > len(models):
        remarks.append(f"and {_count(table.n_models - len(models), 'more model', 'more models')}")
    tasks = ", ".join(f"{_short(task, 30)} {sizes[task]:,}" for task in largest)
    more = f" and {len(sizes) - len(largest)} more" if len(sizes) > len(largest) else ""
    remarks.append(f"tasks: {tasks}{more}")
    missing = [int(np.isnan(cells).sum()) for cells in (table.performance, table.cost_usd)]
    if any(missing):
        remarks.append(f"not known: {missing[0]:,} of performance, {missing[1]:,} of cost_usd")
    remarks += [f"note: {_short(note, 120)}" for note in table.notes[:_MOST_NOTES]]
    title = (
        f"Outcomes {_short(table.name, 40)!r}: {_count(table.n_queries, 'query', 'queries')}, "
        f"{_count(table.n_models, 'model', 'models')}, {_count(len(sizes), 'task', 'tasks')}"
    )
    return _Shown(title, models, remarks)


def _short(text: str, most: int) -> str:
    """In one line of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count:,} {singular if count == 1 else plural}"

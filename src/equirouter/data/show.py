"""An outcomes table as a few lines of text, and as HTML for notebooks."""

from html import escape
from typing import NamedTuple

import numpy as np

from equirouter.data.cells import OutcomeCells

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

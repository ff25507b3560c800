"""table1 and tableA1: every router under one protocol, the published values beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from equirouter.data.outcomes import Outcomes
from equirouter.evaluation.measured import Measured
from equirouter.evaluation.metrics import COLUMNS, Column
from equirouter.evaluation.results import ANCHORS, Results
from equirouter.paper.base import Cell, Figure, Section, Table, Value, Verdict, verdict_of
from equirouter.paper.context import Context
from equirouter.paper.router_sets import (
    AS_WRITTEN,
    EQUIROUTER,
    WITHOUT_JOINT_FEATURE,
    WITHOUT_RANKING_LOSS,
    is_equirouter,
    label_of,
    published_name,
)
from equirouter.report.canvas import FAINT, GRID, INK, colour_of, draw_svg
from equirouter.report.tables import caption, cells, published_notes

_NAUC, _PEAK, _QNC, _RCI = (
    next(column for column in COLUMNS if column.metric == name)
    for name in ("nauc", "peak_score", "qnc", "rci")
)
_METRICS = (_NAUC, _QNC, _PEAK, _RCI)  # as the paper orders them
_COST_AT_98 = next(column for column in COLUMNS if column.key == "0.98")
_CALLS = next(column for column in COLUMNS if column.metric == "strongest_share")
_RCI_AT_98 = Column("RCI at\n98 %", 3, "", key="0.98", metric="rci_at_quality", direction=-1)
_CLAIMED = (_NAUC, _QNC, _RCI)  # in which EquiRouter is said to be the best
_SHOWN_ANCHORS = ("random", "task")  # those whose values lie near the routers'


def in_domain(context: Context) -> Section:
    """table1: nAUC, QNC, P_s and RCI of every router on the in-domain split."""
    return _section(
        context,
        context.bench(),
        "table1",
        "Routers and ablations, in-domain (Table 1)",
        "EquiRouter has the highest nAUC, the lowest QNC and the lowest RCI of all routers on "
        "RouterBench and MMR-Bench; QNC and RCI are worse without the ranking loss, and without "
        "the joint feature (Table 1).",
    )


def out_of_domain(context: Context) -> Section:
    """tableA1: the same, whole tasks held out. Raises DataError below three tasks."""
    return _section(
        context,
        context.bench("ood"),
        "tableA1",
        "Routers out of domain (Table A1)",
        "With whole tasks held out EquiRouter still has the highest nAUC, the lowest QNC and the "
        "lowest RCI (Table A1).",
    )


def _section(context: Context, results: Results, name: str, title: str, claim: str) -> Section:
    verdict, finding = _finding(results, qnc_can_tell=not is_best_on_every_task(context.outcomes))
    tables = [_measured_table(results, name)]
    if results.published is not None:
        tables.append(_published_table(results, name))
    return Section(
        name, title, claim, verdict, finding, tuple(tables), (_figure(results, name, title),)
    )


def value_of(estimate: Measured) -> Value:
    """An estimate as a cell, with its interval and the count of seeds that reached it."""
    return Value(estimate.mean, estimate.low, estimate.high, estimate.count)


def _measured_table(results: Results, name: str) -> Table:
    columns = (*_METRICS, _COST_AT_98, _RCI_AT_98, _CALLS)
    rows: list[tuple[Cell, ...]] = [
        (router, *(value_of(results[router].measured(column)) for column in columns))
        for router, _, _ in results.rows()
    ]
    heads = tuple(column.heading.replace("\n", " ") for column in columns)
    return Table(
        name,
        ("router", *heads),
        tuple(rows),
        f"{caption(results, mark=None)} RCI at 98 %: where the router reaches 98 % of the "
        "strongest model's mean performance, so that routers of equal quality are compared.",
    )


def _published_table(results: Results, name: str) -> Table:
    specs = {published_name(spec): spec for spec in results.routers}
    rows: list[tuple[Cell, ...]] = []
    for router, theirs in results.published.rows.items() if results.published else ():
        cells: list[Cell] = [router]
        for column in _METRICS:
            spec = specs.get(router)
            ours = "" if spec is None else value_of(results[spec].measured(column))
            cells += [getattr(theirs, column.metric), ours]
        rows.append(tuple(cells))
    heads = [head for column in _METRICS for head in (f"{column.title} paper", "ours")]
    return Table(
        f"{name}-published",
        ("router", *heads),
        tuple(rows),
        f"{' '.join(published_notes(results))} EquiRouter's rows are those of {EQUIROUTER}, the "
        "authors' toolbox. An empty cell: not measured here.",
    )


def is_best_on_every_task(outcomes: Outcomes) -> bool:
    """Whether no other model beats the strongest on average on any task.

    No choice by the kind of query then matches the strongest for less, so a QNC below 1 needs luck
    with single queries, and whether a router has one says little about it.
    """
    complete = outcomes.take(outcomes.is_complete)
    tasks = np.array(complete.tasks)
    means = [complete.performance[tasks == task].mean(axis=0) for task in np.unique(tasks)]
    return all(mean[complete.strongest] >= mean.max() for mean in means)


def _finding(results: Results, *, qnc_can_tell: bool = True) -> tuple[Verdict, str]:
    """Whether EquiRouter leads where the paper says so, and what the ablations do.

    qnc_can_tell: whether QNC counts for the verdict (is_best_on_every_task).
    """
    own = [name for name in results.routers if is_equirouter(name)]
    rivals = [name for name in results.routers if not is_equirouter(name)]
    if not own or not rivals:
        return "not tested", "EquiRouter and at least one other router are needed to compare them."
    name = EQUIROUTER if EQUIROUTER in own else own[0]
    led = {column: _leads(results, name, rivals, column) for column in _CLAIMED}
    wins = [won for column, (won, _) in led.items() if qnc_can_tell or column is not _QNC]
    sentences = [f"{label_of(name)} against {len(rivals)} other routers:"]
    sentences.append("; ".join(text for _, text in led.values()) + ".")
    if not qnc_can_tell:
        sentences.append(
            f"QNC is not testable here and does not count: {results.strongest} is the best model "
            "on every task, so no choice by the kind of query matches it for less."
        )
    for other, what in (("equirouter", "with its default settings"), (AS_WRITTEN, "as written")):
        if name == EQUIROUTER and other in own:
            texts = [_leads(results, other, rivals, column)[1] for column in _CLAIMED]
            sentences.append(f"equirouter {what}: {'; '.join(texts)}.")
    return verdict_of(wins), " ".join([*sentences, *_ablations(results, name)])


def _leads(results: Results, name: str, rivals: Sequence[str], column: Column) -> tuple[bool, str]:
    """Whether no rival has a better mean of a metric, and in words which one is the best.

    A router that missed the value in some seed has none here. So has, in RCI, one that does not
    reach 95 % of the strongest model's mean performance: calling a cheap model always lowers RCI.
    """
    figures = {router: results[router].measured(column) for router in (name, *rivals)}
    values = {
        router: figure.everywhere * column.direction
        for router, figure in figures.items()
        if figure.everywhere is not None and results.counts(router, column)
    }
    shown = f"{column.title} {cells(results, column)[name].text}"
    others = {router: value for router, value in values.items() if router != name}
    best = max(others, key=others.__getitem__) if others else None
    if name not in values:
        why = "not reached in every seed"
        if not results.counts(name, column) and figures[name].everywhere is not None:
            why = "below 95 % of the strongest model's performance, so it does not count"
        other = "" if best is None else f", best {best} {cells(results, column)[best].text}"
        return False, f"{shown} ({why}{other})"
    if best is None:
        return True, f"{shown}, the only one"
    wins = values[name] >= others[best]
    rank = 1 + sum(value > values[name] for value in others.values())
    place = "the best" if wins else f"place {rank}"
    apart = "" if _apart(figures[name], figures[best]) else ", intervals overlap"
    other = f"{'next' if wins else 'best'} {best} {cells(results, column)[best].text}"
    return wins, f"{shown}, {place} ({other}{apart})"


def _ablations(results: Results, name: str) -> list[str]:
    """How QNC and RCI change when one part of EquiRouter is left out."""
    if name != EQUIROUTER:
        return []
    sentences = []
    for what, spec in (
        ("the joint feature", WITHOUT_JOINT_FEATURE),
        ("the ranking loss", WITHOUT_RANKING_LOSS),
    ):
        if spec not in results.routers:
            continue
        changes = []
        for column in (_QNC, _RCI):
            shown = cells(results, column)
            before, after = (shown[router].text for router in (name, spec))
            changes.append(f"{column.title} from {before} to {after}")
        sentences.append(f"Without {what} {' and '.join(changes)}.")
    return sentences


def _apart(first: Measured, other: Measured) -> bool:
    """Whether two intervals are known and do not overlap."""
    if first.low is None or first.high is None or other.low is None or other.high is None:
        return False
    return first.high < other.low or first.low > other.high


def _figure(results: Results, name: str, title: str) -> Figure:
    names = [
        router
        for router, _, is_anchor in results.rows()
        if not is_anchor or router in _SHOWN_ANCHORS
    ]
    published = results.published.rows if results.published else {}
    panels = {}
    for column in _METRICS:
        panels[column.heading] = [
            (
                value_of(results[router].measured(column)),
                getattr(published.get(published_name(router) or ""), column.metric, None),
            )
            for router in names
        ]
    known = "Open circles are the published values. " if published else ""
    return Figure(
        name,
        _dot_plot(names, panels, title=title),
        "Dots with intervals: a row per router, a panel each for nAUC, QNC, P_s and RCI.",
        "Dots are means over the seeds, bars 95 % intervals, “/” a quality that was not reached, "
        "faint one that not every seed reached. "
        f"{known}Grey rows are anchors: random choice, and the best model per task.",
    )


_WIDTH, _ROW, _LABELS, _EDGES = 7.0, 0.155, 1.3, (0.3, 0.36)  # inches


_Mark: TypeAlias = tuple[Value, float | None]
"""One dot, faint where its value has a note, and the published value that it is held against."""


def _dot_plot(names: Sequence[str], panels: Mapping[str, Sequence[_Mark]], *, title: str) -> bytes:
    """SVG of 7 inches: a row per name from the top, a panel per measure, each on its own scale.

    names: routers or anchors, in their colours. panels: heading -> a mark per row. A value
    that is None is drawn as "/".
    """
    above, below = _EDGES
    height = above + below + _ROW * len(names)

    def paint(figure: Any) -> None:  # noqa: ANN401  # a matplotlib object
        room = (_WIDTH - _LABELS - 0.1) / len(panels)
        for index, (heading, marks) in enumerate(panels.items()):
            left = _LABELS + index * room
            axes = figure.add_axes(
                (
                    left / _WIDTH,
                    below / height,
                    (room - 0.12) / _WIDTH,
                    1 - (above + below) / height,
                )
            )
            _paint_panel(axes, names, marks)
            axes.set_title(heading)
            if index == 0:
                _name_rows(axes, names)

    return draw_svg(paint, (_WIDTH, height), title=title, points=7.0)


def _paint_panel(axes: Any, names: Sequence[str], marks: Sequence[_Mark]) -> None:  # noqa: ANN401
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=4)
    for row, (name, (mark, published)) in enumerate(zip(names, marks, strict=True)):
        axes.axhline(row, color=GRID, linewidth=0.5, zorder=0)
        colour = colour_of(name)
        look = {"color": colour, "alpha": 0.35 if mark.note else 1.0}
        if published is not None:
            axes.plot(published, row, "o", ms=4.2, mfc="white", mec=colour, mew=0.8, zorder=3)
        if mark.low is not None and mark.high is not None:
            axes.plot([mark.low, mark.high], [row, row], linewidth=1.3, zorder=4, **look)
        if mark.value is None:
            place = axes.get_yaxis_transform()
            axes.text(0.97, row, "/", transform=place, va="center", ha="right", color=colour)
        else:
            axes.plot(mark.value, row, "o", ms=3.6, zorder=5, **look)


def _name_rows(axes: Any, names: Sequence[str]) -> None:  # noqa: ANN401
    for row, name in enumerate(names):
        is_anchor = name in ANCHORS
        axes.annotate(
            label_of(name),
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=FAINT if is_anchor else INK,
            fontstyle="italic" if is_anchor else "normal",
            parse_math=False,
        )

"""Results as tables, for the terminal and as Markdown, and the sentences above them."""

from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from equirouter.evaluation.measured import Measured
from equirouter.evaluation.metrics import COLUMNS, Column
from equirouter.evaluation.published import PublishedRow
from equirouter.evaluation.results import TEXT_FREE, Results
from equirouter.registry import PLAN
from equirouter.report import markdown
from equirouter.words import NEVER, count, interval, number, percent

NOT_MEASURED = "–"
_NAME_WIDTH = 12  # a longer name is cut where it would push the figures out
_BREAKS = ((", ", ",\n "), (" (", "\n("))  # of intervals, and before counts of seeds
PUBLISHED_COLUMNS = tuple(
    column for column in COLUMNS if column.metric in PublishedRow.__dataclass_fields__
)
"""The columns of the paper's tables: nAUC, P_s, QNC and RCI."""

_WHOLE_BENCHMARKS = {"routerbench-5shot", "routerbench-0shot", "routerbench-raw", "mmrbench"}


def results_table(results: Results, *, intervals: bool = False, width: int | None = None) -> Table:
    """The terminal's table: anchors first, then the routers from the highest nAUC to the lowest.

    A row is one line of means; the best value of a column among the routers is bold and has a "*".
    Of a name that is too long the end is shown.
    intervals: below each mean its 95 % interval as "[low, high]", which takes a line where it fits
    and two where it does not. width: columns there are, by default the terminal's; 80 are enough.
    """
    available = Console().width if width is None else width
    for n_breaks in range(len(_BREAKS) + 1):
        table = _results_table(results, n_breaks, _NAME_WIDTH, intervals=intervals)
        room = available - Console(width=1000).measure(table).maximum
        if room >= 0:
            break
    if room > 0:
        table = _results_table(results, n_breaks, _NAME_WIDTH + room, intervals=intervals)
    return table


def _results_table(results: Results, n_breaks: int, name_width: int, *, intervals: bool) -> Table:
    table = _rich_table("Measured routers", caption(results) if intervals else _legend(results))
    table.add_column("router", overflow="fold", max_width=name_width)
    for column in COLUMNS:
        table.add_column(column.heading, no_wrap=True)
    rows = results.rows()
    columns = [cells(results, column) for column in COLUMNS]
    n_anchors = sum(is_anchor for _, _, is_anchor in rows)
    for index, (name, _, is_anchor) in enumerate(rows):
        row = [_rich_cell(column[name], n_breaks, intervals=intervals) for column in columns]
        style = "dim" if is_anchor else ""
        table.add_row(
            Text(_cut(name, name_width), style=style), *row, end_section=index == n_anchors - 1
        )
    return table


def _cut(name: str, width: int) -> str:
    """The name, without the file of a router where that is too wide, or else its end."""
    short = name if len(name) <= width else name.rpartition(".py:")[2]
    return short if len(short) <= width else f"…{short[1 - width :]}"


def _legend(results: Results) -> str:
    return (
        f"{_protocol(results)}. Costs are shares of {results.strongest}'s. *: best router. "
        f"{NEVER}: never reached. {_count_note(results)}[low, high]: a 95 % interval; "
        "--intervals adds those of the table. "
        f"{_misleading(results)}"
    ).rstrip()


def _protocol(results: Results) -> str:
    protocol = results.protocol
    seeds = ", ".join(str(seed) for seed in protocol.seeds)
    ratios = ":".join(str(part) for part in protocol.ratios)
    return f"{protocol.split} split {ratios}; seeds {seeds}; policy {protocol.policy}"


def published_table(results: Results) -> Table | None:
    """The paper's values beside ours, for the routers that were measured here.

    None where nothing was published for this data set, or of none of these routers. The Markdown
    and the HTML page also hold the routers that were not measured here.
    """
    rows = published_rows(results)
    here = {*results.anchors, *results.routers}
    shown = [(name, pairs) for name, pairs in rows if name in here]
    if not shown:
        return None
    notes = published_notes(results)
    if len(shown) < len(rows):
        notes[0] += f" Not measured here: {len(rows) - len(shown)} more."
    table = _rich_table("Beside the published values", "\n".join(notes))
    table.add_column("router", overflow="fold", max_width=_NAME_WIDTH)
    for column in PUBLISHED_COLUMNS:
        table.add_column(f"{column.title}\npaper", no_wrap=True)
        table.add_column("\nours", no_wrap=True)
    for name, pairs in shown:
        table.add_row(
            Text(name), *(Text(part.replace(*_BREAKS[1])) for pair in pairs for part in pair)
        )
    return table


def results_markdown(results: Results) -> str:
    """Both tables as Markdown, with the caption below; the best values are bold."""
    columns = [cells(results, column) for column in COLUMNS]
    lines = markdown.head(["router", *(column.heading for column in COLUMNS)])
    for name, _, is_anchor in results.rows():
        shown = f"*{markdown.escaped(name)}*" if is_anchor else markdown.code(name)
        lines.append(markdown.row([shown, *(_markdown_cell(column[name]) for column in columns)]))
    text = "\n".join(lines) + f"\n\n{markdown.escaped(caption(results, mark='Bold'))}\n"
    if results.published is None:
        return text
    heads = [head for column in PUBLISHED_COLUMNS for head in (f"{column.title} paper", "ours")]
    lines = markdown.head(["router", *heads])
    lines += [
        markdown.row([markdown.code(name), *(part for pair in pairs for part in pair)])
        for name, pairs in published_rows(results)
    ]
    notes = [markdown.escaped(note) for note in published_notes(results)]
    return "\n".join([text, *lines]) + "\n\n" + "\n\n".join(notes) + "\n"


class TableCell(NamedTuple):
    """A figure as text, its interval as "[low, high]", and whether it is the best router's."""

    text: str
    interval: str
    is_best: bool


def cells(results: Results, column: Column) -> dict[str, TableCell]:
    """The cell of every row of a column.

    "/" stands for a value never reached. A value that not every seed reached has their count behind
    it: "0.683 (3/5)".
    """
    figures = {name: results[name].measured(column) for name, _, _ in results.rows()}
    winners = results.best(column)
    return {
        name: TableCell(
            _value(figure, column.digits),
            interval(figure.low, figure.high, f".{column.digits}f"),
            name in winners,
        )
        for name, figure in figures.items()
    }


def published_rows(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """Per published row its name and a pair (paper, ours) per metric, in the paper's 4 digits."""
    rows = []
    for name, row in results.published.rows.items() if results.published else ():
        pairs = []
        for column in PUBLISHED_COLUMNS:
            ours, theirs = NOT_MEASURED, number(getattr(row, column.metric), 4)
            if name in results.routers or name in results.anchors:
                ours = _value(results[name].measured(column), 4)
            pairs.append((theirs, ours))
        rows.append((name, pairs))
    return rows


def published_notes(results: Results) -> list[str]:
    """Where the published values are from, and whether they are of this very data set."""
    if results.published is None:
        return []
    name = results.dataset.name
    notes = [f"Published: {results.published.source}."]
    if name not in _WHOLE_BENCHMARKS:
        notes.append(
            f"{name} is a part or a variant of that benchmark, so levels do not compare, only "
            "directions."
        )
    return notes


def caption(results: Results, *, mark: str | None = "*") -> str:
    """Data set, protocol and how to read the figures. mark: of the best; None: no mark."""
    dataset, protocol = results.dataset, results.protocol
    where = "at the largest budget" if protocol.is_by_budget else "at the last point"
    marked = (
        ""
        if mark is None
        else (
            f"{mark}: best router of the column, in RCI only of those that reach 95 % of the "
            "strongest model's mean performance in every seed. "
        )
    )
    return (
        f"{dataset.name}: {dataset.n_queries:,} queries, {dataset.n_models} models; "
        f"{_protocol(results)}; "
        f"{counted_queries(results)}. [low, high]: 95 % intervals. {marked}"
        f"{NEVER}: never reached. {_count_note(results)}Costs are shares of "
        f"{results.strongest}'s cost, strongest calls are {where}. "
        f"{_reference_note(results)}{_misleading(results)}"
    ).rstrip()


def _reference_note(results: Results) -> str:
    """Which models are the strongest, where that is not one model in every seed."""
    names = dict.fromkeys(results.reference.per_seed)
    group = dict.fromkeys(name for seed in results.reference.as_strong for name in seed)
    others = [name for name in group if name not in names]
    equal = f" (as strong within noise: {', '.join(others)})" if others else ""
    if len(names) == 1 and not equal:
        return ""
    return (
        f"The strongest model on training and validation part is {', '.join(names)}{equal}"
        f"{', by seed' if len(names) > 1 else ''}; calls of other models are not counted "
        "as strongest calls. "
    )


def _misleading(results: Results) -> str:
    """A warning of nAUC where it puts a router above the oracle, which knows the outcomes."""
    oracle = results.anchors.get("oracle")
    best = max((router.nauc.mean or 0.0 for router in results.routers.values()), default=0.0)
    if oracle is None or oracle.nauc.mean is None or oracle.nauc.mean >= best:
        return ""
    common = ", ".join(
        f"{name} {number(row.nauc_common.mean, 4)}"
        for name, row, is_anchor in results.rows()
        if name == "oracle" or not is_anchor
    )
    return (
        "nAUC misleads here: it puts a router above the oracle, as each is divided by its own "
        f"range of costs. Over one range for all (nauc_common): {common}. "
    )


def counted_queries(results: Results) -> str:
    """How many test queries were measured and how many were left out, in words."""
    left_out = results.left_out
    return (
        f"{left_out.measured_test_queries:,} test queries measured, "
        f"{left_out.incomplete_test_queries:,} left out as incomplete"
    )


def _count_note(results: Results) -> str:
    """The meaning of "(3/5)", where there is such a figure."""
    names = [name for name, _, _ in results.rows()]
    figures = [results[name].measured(column) for column in COLUMNS for name in names]
    example = next((figure.count for figure in figures if figure.count), None)
    if example is None:
        return ""
    return f"{example}: reached in so many seeds; the mean is over those (none below half). "


def _rich_table(title: str, text: str) -> Table:
    return Table(
        title=Text(title, style="bold"),
        caption=Text(text, style="dim", justify="left"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
        caption_justify="left",
    )


def _rich_cell(cell: TableCell, n_breaks: int, *, intervals: bool) -> Text:
    value, spread = cell.text, cell.interval if intervals else ""
    for gap, line_break in _BREAKS[:n_breaks]:
        value, spread = (part.replace(gap, line_break) for part in (value, spread))
    text = Text(f"{value}*" if cell.is_best else value, style="bold" if cell.is_best else "")
    if spread:
        text.append(f"\n{spread}", style="dim not bold")
    return text


def _value(figure: Measured, digits: int) -> str:
    return f"{number(figure.mean, digits)} {figure.count}".rstrip()


def _markdown_cell(cell: TableCell) -> str:
    return f"{f'**{cell.text}**' if cell.is_best else cell.text} {cell.interval}".strip()


def headline(results: Results) -> list[str]:
    """The setting and the main result in two or three sentences, intervals of 95 % in brackets.

    Which router has 98 % of the strongest model's mean performance at the lowest cost, and the
    paired difference from the best anchor that reads no text.
    """
    dataset, strongest = results.dataset, results.strongest
    what = (
        f"{count(len(results.routers), 'router')} chose among {count(dataset.n_models, 'model')} "
        f"for queries of {dataset.name} ({dataset.n_queries:,} queries, "
        f"{count(len(results.protocol.seeds), 'seed')}; {counted_queries(results)})."
    )
    costs = {name: router.cost_at_quality[0.98] for name, router in results.routers.items()}
    known = {name: cost.everywhere for name, cost in costs.items() if cost.everywhere is not None}
    if not known:
        return [what, f"The calls of {strongest}, the strongest model, cost nothing."]
    name = min(known, key=lambda router: (known[router], router))
    if known[name] >= 1:
        return [
            what,
            f"No router has 98 % of the mean performance of {strongest}, the strongest model, for "
            f"less than always calling {strongest}.",
        ]
    return [
        what,
        f"{name} has 98 % of the mean performance of {strongest}, the strongest model, at the "
        f"lowest cost: {_share(costs[name])} of {strongest}'s.",
        _against_text_free(results, name),
        *_of_plans(results, name),
    ]


def _of_plans(results: Results, name: str) -> list[str]:
    """Figures of asking several models, where the mean curve has 98 % at the lowest cost."""
    curve, strongest = results.curves[name], results.outcomes.models.index(results.strongest)
    if curve.calls is None or curve.escalated is None or curve.wrongly_accepted is None:
        return []
    least = 0.98 * results.outcomes.mean_performance[strongest]
    reached = [at for at, performance in enumerate(curve.performance) if performance >= least]
    if not reached:
        return []
    at = min(reached, key=lambda point: curve.cost_usd[point])
    lines = (
        f"About there {curve.calls[at]:.2f} models are asked per query, a third one on "
        f"{percent(curve.escalated[at])}, and {percent(curve.wrongly_accepted[at])} are served one "
        "of two answers although the strongest model's is better"
    )
    if curve.output_tokens_p50 is not None and curve.output_tokens_p95 is not None:
        lines += (
            f"; {curve.output_tokens_p50[at]:,.0f} output tokens are written one after the other "
            f"(median; 95th percentile {curve.output_tokens_p95[at]:,.0f})"
        )
    return [f"{lines}."]


def _against_text_free(results: Results, name: str) -> str:
    """Whether a router's cost at 98 % is below that of the best anchor that reads no text."""
    anchor = results.best_text_free("0.98")
    if anchor is None:
        return (
            "No anchor that reads no text was measured, so this does not show that reading the "
            "queries pays."
        )
    cost = results.anchors[anchor].cost_at_quality[0.98]
    needs = (
        f"Of the anchors that read no text, {anchor} ({TEXT_FREE[anchor]}) needs least: "
        f"{_share(cost)}"
    )
    difference = results.paired[name][anchor].cost_at_quality["0.98"]
    low, high = difference.low, difference.high
    if low is None or high is None:
        return f"{needs}. An interval is missing, so the two cannot be told apart."
    apart = f"{100 * difference.mean:+.1f} points {interval(100 * low, 100 * high, '+.1f')}"
    doing = "reading the queries"
    if results.protocol.policy == PLAN:
        doing += " and comparing answers"
    if high < 0:
        verdict = f"so {doing} pays here"
    elif low > 0:
        verdict = f"so {doing} does not pay here"
    else:
        verdict = f"so this is no proof that {doing} pays"
    return f"{needs}. The paired difference is {apart}, {verdict}."


def _share(cost: Measured) -> str:
    if cost.mean is None or cost.low is None or cost.high is None:
        return percent(cost.mean)
    return f"{percent(cost.mean)} {interval(100 * cost.low, 100 * cost.high, '.1f')}"


def print_results(results: Results, console: Console, *, intervals: bool = False) -> None:
    """Print the table, the paper's figures beside ours where there are any, and the headline."""
    console.print(results_table(results, intervals=intervals, width=console.width))
    published = published_table(results)
    if published is not None:
        console.print(published)
    for sentence in headline(results):
        console.print(sentence, highlight=False, markup=False)

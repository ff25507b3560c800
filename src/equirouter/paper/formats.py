"""Cells and tables as text: for CSV with every digit, for people with four."""

import csv
import io
import math
from collections.abc import Iterator

from equirouter.paper.base import Cell, Table, Value
from equirouter.report import markdown

__all__ = ["as_csv", "as_markdown", "interval_text", "value_text"]

NEVER = "/"


def as_csv(table: Table) -> str:
    """One line per row; a column of intervals is three: NAME, NAME low, NAME high.

    A value that was never reached is an empty cell, and so is one that there is not.
    """
    places = range(len(table.columns))
    wide = [any(isinstance(row[place], Value) for row in table.rows) for place in places]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            head
            for name, is_wide in zip(table.columns, wide, strict=True)
            for head in ((name, f"{name} low", f"{name} high") if is_wide else (name,))
        ]
    )
    for row in table.rows:
        writer.writerow(
            [
                part
                for cell, is_wide in zip(row, wide, strict=True)
                for part in _csv_cells(cell, is_wide)
            ]
        )
    return stream.getvalue()


def as_markdown(table: Table) -> str:
    """The table with its caption below; an interval is "[low, high]", "/" was never reached."""
    lines = markdown.head(table.columns)
    for first, *rest in table.rows:
        cells = [f"{value_text(cell)} {interval_text(cell)}".strip() for cell in rest]
        parts = [markdown.code(str(first)), *(markdown.escaped(cell) for cell in cells)]
        lines.append(markdown.row(parts))
    return "\n".join(lines) + f"\n\n{markdown.escaped(table.caption)}\n"


def value_text(cell: Cell) -> str:
    """A cell without its interval: four significant digits, thousands with commas."""
    if isinstance(cell, Value):
        return f"{_number(cell.value)} {cell.note}".rstrip()
    return cell if isinstance(cell, str) else _number(cell)


def interval_text(cell: Cell) -> str:
    """The interval as "[low, high]", or nothing."""
    if not isinstance(cell, Value) or (cell.low is None and cell.high is None):
        return ""
    return f"[{_number(cell.low)}, {_number(cell.high)}]"


def _number(value: float | None) -> str:
    if value is None:
        return NEVER
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.01:
        return f"{value:.3g}"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 4
    return f"{value:.{min(digits, 4)}f}"


def _csv_cells(cell: Cell, is_wide: bool) -> Iterator[str | int | float]:
    value, low, high = cell[:3] if isinstance(cell, Value) else (cell, None, None)
    for part in (value, low, high) if is_wide else (value,):
        yield "" if part is None else part

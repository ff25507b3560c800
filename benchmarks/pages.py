"""Tables of results: data in docs/benchmarks/data/*.csv, written into the pages that show them.

    python benchmarks/pages.py            # fill the pages
    python benchmarks/pages.py --check    # exit with 1 if a page is not what its data say

A page holds `<!-- table: NAME -->` and, below, `<!-- end of table -->`; what stands between them is
made from NAME.csv. A page that needs a part of it says which; a link to the whole is added:

    <!-- table: NAME; columns: router|98 %; rows: router = knn|mlp; rows: protocol = paper -->

Columns come in the order given, each with its `±`; rows are those with one of the cells in every
column named. Cells are shown as they are, but:

- a column `± X` behind the column X is joined to it: `0.810 ± 0.009`;
- names in a column `router` become code;
- what the row above says too, in this column and all before it, is left out;
- thousands of whole numbers are set apart, and columns of numbers aligned to the right.
"""

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from equirouter.output import atomic_write

DOCS = Path(__file__).parents[1] / "docs"
DATA = DOCS / "benchmarks" / "data"
PLACE = re.compile(
    r"(<!-- table: ([\w-]+)((?:; (?:columns|rows): [^;]+?)*) -->\n).*?(<!-- end of table -->)",
    re.DOTALL,
)
NUMBER = re.compile(r"[-+±]?[\d.,]+( %| ± .*)?|/|")


def read_csv(name: str) -> list[list[str]]:
    """The header and the rows."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def with_rows(name: str, rows: Iterable[Sequence[object]], keys: Sequence[int]) -> list[list[str]]:
    """The rows of a table, those measured anew in place of those with the same cells in `keys`."""
    new = {tuple(row[key] for key in keys): row for row in ([str(c) for c in r] for r in rows)}
    old = {tuple(row[key] for key in keys): row for row in read_csv(name)[1:]}
    return [*(old | new).values()]


def write_csv(name: str, rows: Iterable[Sequence[object]]) -> None:
    """Replace the rows of a table, whose header stays, and fill the page that shows it."""
    header = read_csv(name)[0]
    rows = [*rows]
    if wrong := next((row for row in rows if len(row) != len(header)), None):
        raise ValueError(f"{name}: {wrong} has {len(wrong)} cells; the columns are {header}")
    with atomic_write(DATA / f"{name}.csv") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    fill()


def record(name: str, rows: Iterable[Sequence[object]], *, keys: Sequence[int] = (0,)) -> None:
    """Rows that were measured go into a table and onto its page; its other rows stay."""
    write_csv(name, with_rows(name, rows, keys))


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """Header and rows as a Markdown table."""
    header, *rows = ([*row] for row in table)
    for column in range(len(header) - 1, 0, -1):
        if header[column] == f"± {header[column - 1]}":
            del header[column]
            for row in rows:
                error = row.pop(column)
                row[column - 1] += f" ± {error}" if error else ""
    for column in (place for place, title in enumerate(header) if title == "router"):
        for row in rows:
            row[column] = re.sub(r"^[\w:.=+-]+$", r"`\g<0>`", row[column])
    for row in rows:
        row[:] = [f"{int(cell):,}" if re.fullmatch(r"\d{4,}", cell) else cell for cell in row]
    numbers = [all(NUMBER.fullmatch(row[column]) for row in rows) for column in range(len(header))]
    lines = [line(header), f"|{'|'.join('---:' if number else '---' for number in numbers)}|"]
    above: list[str] = []
    for row in rows:
        same = next((i for i, (a, b) in enumerate(zip(above, row, strict=False)) if a != b), 0)
        lines.append(line(["" if place < same else cell for place, cell in enumerate(row)]))
        above = row
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    return re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(cells)} |")


def chosen(table: list[list[str]], choice: str) -> list[list[str]]:
    """The columns and rows that a marker names; raises ValueError for those that are not there."""
    header, *rows = table
    columns = [*range(len(header))]
    for kind, text in re.findall(r"; (columns|rows): ([^;]+)", choice):
        if kind == "columns":
            names = text.split("|")
            columns = [
                at for name in names for at in (place(header, name), *found(header, f"± {name}"))
            ]
            continue
        name, _, cells = text.partition(" = ")
        at = place(header, name)
        for cell in cells.split("|"):
            place([row[at] for row in rows], cell)
        rows = [row for row in rows if row[at] in cells.split("|")]
    return [[row[at] for at in columns] for row in (header, *rows)]


def place(cells: Sequence[str], cell: str) -> int:
    if cell not in cells:
        raise ValueError(
            f"no {cell!r}, but {sorted({*cells})}: correct the comment above the table"
        )
    return cells.index(cell)


def found(cells: Sequence[str], cell: str) -> list[int]:
    return [place(cells, cell)] if cell in cells else []


def filled(page: str, folder: Path) -> str:
    """The page in this folder with all its tables as the data say."""

    def table(match: re.Match[str]) -> str:
        head, name, choice, end = match.groups()
        lines = as_markdown(chosen(read_csv(name), choice))
        if choice:
            link = os.path.relpath(DATA / f"{name}.csv", folder)
            lines += f"\n\n[The whole table]({link})"
        return f"{head}\n{lines}\n\n{end}"

    return PLACE.sub(table, page)


def fill(*, check: bool = False) -> list[Path]:
    """Fill the pages, or only look; the pages that were not as their data say."""
    stale = []
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text("utf-8")
        new = filled(text, path.parent)
        if new != text:
            stale.append(path)
            if not check:
                with atomic_write(path) as file:
                    file.write(new)
    return stale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    stale = fill(check=args.check)
    for path in stale:
        print(f"{path}: {'is not what its data say: run `make docs`' if args.check else 'filled'}")
    return int(bool(stale) and args.check)


if __name__ == "__main__":
    sys.exit(main())

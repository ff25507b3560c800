"""Section: the result of an experiment, with its tables and figures."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Cell", "Figure", "Section", "Table", "Value", "Verdict"]

Verdict: TypeAlias = Literal["reproduced", "partly reproduced", "not reproduced", "not tested"]
"""Whether the paper's claim came out here; "not tested": the data cannot show it either way."""


class Value(NamedTuple):
    """A number with its interval; None where a value was never reached or has no interval.

    note: a few words behind the number, such as "(2/3)" where two of three seeds reached it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


Cell: TypeAlias = str | int | float | Value | None
"""None is a value that was never reached, "" is none at all."""


@dataclass(frozen=True)
class Table:
    """Rows of cells below columns, the first of which names the row.

    name: of its files, such as "table1". caption: what the numbers are, with their units.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str


@dataclass(frozen=True)
class Figure:
    """A picture as SVG.

    name: of its file. alt: what it shows, for those who do not see it. caption: how to read it.
    """

    name: str
    svg: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """One experiment.

    name: its name in the registry. claim: what the paper says, with the number of its figure or
    table. verdict and finding: whether that came out here, and the figures that say so in plain
    words; both follow from what was measured.
    """

    name: str
    title: str
    claim: str
    verdict: Verdict
    finding: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]

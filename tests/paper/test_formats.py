"""Cells as text."""

import pytest

from equirouter.paper import Table, Value
from equirouter.paper.base import Cell
from equirouter.paper.formats import as_csv, as_markdown, value_text

TABLE = Table(
    "t",
    ("router", "nAUC", "QNC", "n"),
    (("knn|x", Value(0.75, 0.7, 0.8), None, 3), ("mlp", Value(None, note="(0/2)"), 1.25, 12345)),
    "Made up.",
)


def test_csv_has_three_columns_for_an_interval_and_every_digit() -> None:
    assert as_csv(TABLE).splitlines() == [
        "router,nAUC,nAUC low,nAUC high,QNC,n",
        "knn|x,0.75,0.7,0.8,,3",
        "mlp,,,,1.25,12345",
    ]


def test_markdown_shows_intervals_and_what_was_never_reached() -> None:
    lines = as_markdown(TABLE).splitlines()
    assert lines[2] == "| `knn\\|x` | 0.7500 \\[0.7000, 0.8000\\] | / | 3 |"
    assert lines[3] == "| `mlp` | / (0/2) | 1.250 | 12,345 |"
    assert lines[-1] == "Made up."


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.0, "0.0000"),
        (0.05, "0.0500"),
        (0.00123456, "0.00123"),
        (-0.5, "-0.5000"),
        (12.3456, "12.35"),
        (1234.5, "1,234"),  # half to even
        (None, "/"),
        ("", ""),
    ],
)
def test_numbers_have_four_digits(cell: Cell, text: str) -> None:
    assert value_text(cell) == text

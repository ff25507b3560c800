"""One document as plain text and as Markdown."""

from equirouter.report.blocks import (
    Block,
    FactRows,
    Heading,
    NumberedRows,
    Rows,
    as_markdown,
    as_text,
)

BLOCKS: list[Block] = [
    Heading("Title", level=1),
    FactRows((("name", "toy"), ("encoder", "minilm"))),
    Heading("Table"),
    Rows(("model", "cost"), (("a", "0.5"), ("bcd", "12"))),
    "One sentence.",
    NumberedRows(("first", "second")),
]


def test_plain_text() -> None:
    assert as_text(BLOCKS).splitlines() == [
        "Title",
        "=====",
        "name     toy",
        "encoder  minilm",
        "",
        "Table",
        "-----",
        "model  cost",
        "a       0.5",
        "bcd      12",
        "",
        "One sentence.",
        "1. first",
        "2. second",
    ]


def test_lines_are_at_most_80_columns_and_a_percentage_stays_in_one_piece() -> None:
    text = as_text([NumberedRows((f"{'word ' * 14}12345 % of the queries",))])
    first, second = text.splitlines()
    assert max(len(first), len(second)) <= 80
    assert second.startswith("   12345 %") or first.endswith("12345 %")


def test_markdown() -> None:
    assert as_markdown(BLOCKS).split("\n\n") == [
        "# Title",
        "- name: toy\n- encoder: minilm",
        "## Table",
        "| model | cost |\n|---|---:|\n| `a` | 0.5 |\n| `bcd` | 12 |",
        "One sentence.",
        "1. first\n2. second\n",
    ]

"""A short document as plain text for a terminal and as Markdown, from the same parts."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from equirouter.report import markdown
from equirouter.words import aligned

WIDTH = 80
_HARD_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Heading:
    """A title; level 1 stands above the document."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class NumberedRows:
    """Numbered sentences."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class FactRows:
    """Names with what they are."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Rows:
    """A table whose first column is text and whose other columns are numbers."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block: TypeAlias = str | Heading | NumberedRows | FactRows | Rows
"""A paragraph is a text."""


def as_text(blocks: Sequence[Block]) -> str:
    """Plain text of at most 100 columns, but for tables and names that are wider."""
    lines: list[str] = []
    for before, block in zip((None, *blocks), blocks, strict=False):
        if isinstance(block, Heading) or isinstance(before, Rows) or isinstance(block, Rows):
            lines += [] if isinstance(before, Heading) else [""]
        lines += _text(block)
    return "\n".join(lines).strip("\n") + "\n"


def as_markdown(blocks: Sequence[Block]) -> str:
    """Markdown; names of models and tasks make no markup."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _text(block: Block) -> list[str]:
    if isinstance(block, Heading):
        rule = "=" if block.level == 1 else "-"
        return [block.text, rule * len(block.text)]
    if isinstance(block, str):
        return _wrapped(block, "")
    if isinstance(block, NumberedRows):
        return [
            line
            for number, text in enumerate(block.texts, start=1)
            for line in _wrapped(text, f"{number}. ")
        ]
    if isinstance(block, FactRows):
        width = max(len(name) for name, _ in block.pairs) + 2
        return [line for name, text in block.pairs for line in _wrapped(text, name.ljust(width))]
    return aligned([block.heads, *block.rows])


def _wrapped(text: str, first: str) -> list[str]:
    """Lines of the text; a percentage stays in one piece."""
    lines = textwrap.wrap(
        text.replace(" %", f"{_HARD_SPACE}%"),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_HARD_SPACE, " ") for line in lines]


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {markdown.escaped(block.text)}"
    if isinstance(block, str):
        return markdown.escaped(block)
    if isinstance(block, NumberedRows):
        return "\n".join(
            f"{number}. {markdown.escaped(text)}" for number, text in enumerate(block.texts, 1)
        )
    if isinstance(block, FactRows):
        return "\n".join(
            f"- {markdown.escaped(name)}: {markdown.escaped(text)}" for name, text in block.pairs
        )
    lines = markdown.head(block.heads)
    lines += [
        markdown.row([markdown.code(row[0]), *(markdown.escaped(cell) for cell in row[1:])])
        for row in block.rows
    ]
    return "\n".join(lines)

"""Text as Markdown tables: user text makes no new columns, lines, tags or emphasis."""

import re
from collections.abc import Sequence


def head(heads: Sequence[str]) -> list[str]:
    """The two lines above the rows: the first column is text, the others are numbers."""
    return [row([escaped(text) for text in heads]), "|---|" + "---:|" * (len(heads) - 1)]


def row(parts: Sequence[str]) -> str:
    """One line of a table from cells that are escaped already."""
    return f"| {' | '.join(parts)} |"


def escaped(text: str) -> str:
    """User text in a cell or a paragraph."""
    for sign in "\\`*|[]":
        text = text.replace(sign, f"\\{sign}")
    # within a word, as in P_s, an underscore means itself
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    return " ".join(text.replace("<", "&lt;").split())


def code(name: str) -> str:
    """A router's name as code; only a pipe keeps its meaning there and is escaped."""
    if "`" in name or "\\" in name:
        return escaped(name)  # these would end the code or undo the escape of a pipe
    inner = " ".join(name.split()).replace("|", "\\|")
    return f"`{inner}`"

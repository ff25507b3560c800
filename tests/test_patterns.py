"""Regular expressions that every supported Python reads alike."""

import re
from pathlib import Path

import equirouter

ROOT = Path(equirouter.__file__).parent
FINE = {"serve/call/sse.py"}
"""A group of an escape and what follows it: where it fails, nothing that follows the group fits."""
POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{[0-9,]+\})\+")


def test_no_group_is_possessive() -> None:
    """Python 3.11.0 to 3.11.4 lose their place in one: they find what is not there (gh-106052)."""
    assert re.search(POSSESSIVE_GROUP, r"(?:a b)*+")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in FINE
        for line in path.read_text("utf-8").splitlines()
        if POSSESSIVE_GROUP.search(line)
    ]
    assert not found

"""docs/cli.md, made from the help texts: `python -m equirouter.cli.reference > docs/cli.md`."""

import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout

import typer

from equirouter.cli.app import app

__all__ = ["reference"]

WIDTH = 88  # of the help texts, whatever the terminal is

INTRODUCTION = """\
# Command line

`equirouter COMMAND --help` says what is on this page, which is made from it (`make docs`).

Every command has `--json` (one JSON document on stdout, everything else on stderr) and `--quiet`
(no progress, no remarks). Work of more than two seconds shows a progress bar on stderr.

| exit code | means |
|---|---|
| 0 | done |
| 1 | failed, for a reason that the caller cannot fix, such as a training loss that diverged |
| 2 | the caller can fix it: an option, a name, a file, an optional package, a full disk |
| 3 | a gate said no: what is served goes on being served |
| 130 | interrupted |

An error is one sentence on stderr: what was found, where, and the way out. With `--json` it is also
a document on stdout, `{"error": {"type": "DataError", "message": "..."}}`.

`equirouter bench --out DIR` leaves in DIR:

- `results.json`: every metric of every router and anchor with its 95 % interval and its value per
  seed, the curves, the protocol, the fingerprint of the data and the hashes of the splits;
- `decisions.parquet`: one row per router, seed, operating point and test query, so that anybody can
  compute the metrics again;
- `report.html`: the table and the curves, interactive, in one file that needs no network;
- `figures/*.svg`: the same curves for pages and papers.

`equirouter train --out DIR` adds a version, `DIR/versions/0001`, with `pipeline.json`, which says
where the pipeline comes from, and `weights.safetensors`. `DIR/current.json` names the current one.
"""


def reference() -> str:
    """The text of docs/cli.md: an introduction, then the help of every command."""
    parts = [INTRODUCTION]
    for command in _commands(app):
        title = " ".join(["equirouter", *command])
        parts.append(f"## `{title}`\n\n```text\n{_help(command)}\n```\n")
    return "\n".join(parts)


def _commands(group: typer.Typer, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command as its words, in the order of the help text; a group comes before its own."""
    yield prefix
    for command in group.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        yield (*prefix, name)
    for member in group.registered_groups:
        if member.typer_instance is not None:
            yield from _commands(member.typer_instance, (*prefix, str(member.name)))


def _help(command: tuple[str, ...]) -> str:
    shown = io.StringIO()
    with redirect_stdout(shown):
        app(
            args=[*command, "--help"],
            prog_name="equirouter",
            standalone_mode=False,
            terminal_width=WIDTH,
        )
    return shown.getvalue().strip()


if __name__ == "__main__":
    sys.stdout.write(reference())

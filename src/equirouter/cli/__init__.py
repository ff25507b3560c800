"""The command line: one file per command; each parses, calls the library and prints.

    app.py             the commands put together; errors become exit codes here and nowhere else
    bench.py, train.py, diagnose.py, route.py, batch.py, export.py, report.py, paper.py, data.py,
    routers.py, models.py, newmodel.py, pipeline.py: commands
    labels/            commands from a log to an outcomes table
    gateway/           commands of the gateway
    trained.py         what train says
    common.py          options that several commands share
    control_options.py options of the commands that decide: controls and constraints
    bars.py            progress bars
    grouped_help.py    headings and examples of help texts, names that a shell completes
    reference.py       commands and settings on the site, from the code

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import io
import os
import sys

__all__ = ["main"]


def main() -> None:
    """The entry point `equirouter`; the exit codes are in app.py."""
    from equirouter.cli.app import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may not know every letter
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:  # said already; without this the interpreter would fail again at its own flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)

"""The command line: one file per command; each parses, calls the library and prints.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """The entry point `equirouter`: exit code 0 done, 1 failed, 2 the caller can fix it."""
    from equirouter.cli.app import run

    sys.exit(run(sys.argv[1:]))

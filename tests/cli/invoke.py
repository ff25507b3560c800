"""The command line as a user meets it: in this process (fast), or as a process of its own."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from equirouter.cli.app import run

REPOSITORY = Path(__file__).parents[2]

# A process of its own does not know the toy encoder, so it is told.
_WITH_TOY = """
import sys
from equirouter.registry import ENCODERS
ENCODERS._paths["toy"] = "tests.toys:HashingEncoder"
sys.argv[0] = "equirouter"
from equirouter.cli import main
main()
"""


class Ran(NamedTuple):
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


def invoke(*arguments: object, stdin: bytes = b"") -> Ran:
    """Run a command line in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run([str(argument) for argument in arguments])
    return Ran(code, out.buffer.getvalue().decode(), err.getvalue())


def invoke_process(*arguments: str | bytes, stdin: bytes = b"", **variables: str) -> Ran:
    """Run a command line as a process; arguments may be bytes that are no text."""
    done = subprocess.run(
        [sys.executable, "-c", _WITH_TOY, *arguments],
        input=stdin,
        capture_output=True,
        env=os.environ
        | {"PYTHONPATH": f"{REPOSITORY / 'src'}{os.pathsep}{REPOSITORY}"}
        | variables,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))

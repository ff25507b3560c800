"""Programs of a user's own, run without a shell, within limits of time and memory."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from equirouter.errors import ConfigError

# Limits are set by a process that then becomes the program: setting them between fork and exec of
# this one is not safe while it has threads.
_LIMITED = (
    "import os,resource,sys;b=int(sys.argv[1]);"
    "resource.setrlimit(resource.RLIMIT_AS,(b,b))\n"
    "try: os.execvp(sys.argv[2],sys.argv[2:])\n"
    "except OSError as e: sys.stderr.write(f'{sys.argv[2]}: {e.strerror}');os._exit(127)"
)


class Ended(NamedTuple):
    """Output of a program that ended, and its exit code."""

    printed: str
    complaint: str
    code: int


def split_command(command: str) -> list[str]:
    """A command as program and arguments. Raises ConfigError for none."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"command: {command!r} cannot be split: {error}") from error
    if not words:
        raise ConfigError('command: run is empty, expected something like "python grade.py"')
    return words


def run_limited(
    command: Sequence[str], given: str, *, seconds: float, memory_mb: int
) -> Ended | None:
    """Run a program with a text on its standard input; None where it took longer than allowed.

    All its processes are killed then. A program that is not there has the exit code 127. memory_mb:
    of each of them; not held on Windows. Raises ConfigError where none can be run.
    """
    words = list(command)
    if os.name == "posix":
        words = [sys.executable, "-c", _LIMITED, str(memory_mb * 1024 * 1024), *words]
    try:
        process = subprocess.Popen(  # noqa: S603  # the user's own command, without a shell
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"command: {shlex.join(command)!r} cannot be run: {error}") from error
    with process:
        try:
            printed, complaint = process.communicate(given.encode(), seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.communicate()
            return None
    return Ended(
        printed.decode("utf-8", "replace"),
        complaint.decode("utf-8", "replace"),
        process.returncode,
    )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()

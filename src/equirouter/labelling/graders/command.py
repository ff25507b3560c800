"""A program of your own."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from pydantic import PositiveFloat, PositiveInt

from equirouter.errors import ConfigError, DataError
from equirouter.labelling.graders.base import Case, Grade, Grader, Surroundings

__all__ = ["CommandGrader"]

# Limits are set by a process that then becomes the program: setting them between fork and exec of
# this one is not safe while it has threads.
_LIMITED = (
    "import os,resource,sys;b=int(sys.argv[1]);"
    "resource.setrlimit(resource.RLIMIT_AS,(b,b));os.execvp(sys.argv[2],sys.argv[2:])"
)


@dataclass(kw_only=True, eq=False)
class CommandGrader(Grader):
    """The number, from 0 to 1, that a program prints: unit tests, SQL, anything.

    It gets an object of JSON on its standard input: query_id, query, messages, task, model, answer,
    finish_reason, reference and feedback. No shell sees the command. The program runs with your
    rights: where it runs code out of answers, let it do so in a container.
    """

    run: str
    """The command with its arguments, such as "python grade.py"."""
    seconds: PositiveFloat = 10.0
    """Longest time of one run; then all its processes are killed."""
    memory_mb: PositiveInt = 1024
    """Most memory of each of its processes; not held on Windows."""
    at_once: PositiveInt = 2
    """Runs at once."""

    def __post_init__(self) -> None:
        try:
            self._command = shlex.split(self.run)
        except ValueError as error:
            raise ConfigError(f"command: {self.run!r} cannot be split: {error}") from error
        if not self._command:
            raise ConfigError('command: run is empty, expected something like "python grade.py"')

    def grade(self, cases: Sequence[Case], surroundings: Surroundings) -> list[Grade]:
        """Run the program for each. Raises DataError where no run printed a score."""
        grades: list[Grade] = []
        with ThreadPoolExecutor(self.at_once) as pool:
            for grade in pool.map(self._one, cases):
                grades.append(grade)
                surroundings.progress("score", len(grades), len(cases))
        if grades and all(grade.score is None for grade in grades):
            raise DataError(f"command: {self.run!r} gave no answer a score: {grades[0].note}")
        return grades

    def _one(self, case: Case) -> Grade:
        command = self._command
        if os.name == "posix":
            limit = str(self.memory_mb * 1024 * 1024)
            command = [sys.executable, "-c", _LIMITED, limit, *command]
        try:
            process = subprocess.Popen(  # noqa: S603  # the user's own command, without a shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"command: {self.run!r} cannot be run: {error}") from error
        with process:
            try:
                said, complaint = process.communicate(
                    json.dumps(case.document(), ensure_ascii=False).encode(), self.seconds
                )
            except subprocess.TimeoutExpired:
                _kill(process)
                process.communicate()
                return Grade(None, f"no score within {self.seconds:g} s")
        if process.returncode:
            lines = complaint.decode("utf-8", "replace").strip().splitlines()
            last = lines[-1][:200] if lines else "nothing on stderr"
            return Grade(None, f"exit code {process.returncode}: {last}")
        return _read(said.decode("utf-8", "replace").strip())


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _read(said: str) -> Grade:
    try:
        score = float(said)
    except ValueError:
        return Grade(None, f"printed {said[:80]!r}, not a number")
    if math.isfinite(score) and 0 <= score <= 1:
        return Grade(score)
    return Grade(None, f"printed {score:g}, not a number from 0 to 1")

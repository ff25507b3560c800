"""A program of your own."""

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import PositiveFloat, PositiveInt

from equirouter.errors import DataError
from equirouter.labelling.graders.base import Case, Grade, Grader, Surroundings
from equirouter.limited import run_limited, split_command


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
        self._command = split_command(self.run)

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
        given = json.dumps(case.document())  # in ASCII, as half a character has no UTF-8
        ran = run_limited(self._command, given, seconds=self.seconds, memory_mb=self.memory_mb)
        if ran is None:
            return Grade(None, f"no score within {self.seconds:g} s")
        if ran.code:
            lines = ran.complaint.strip().splitlines()
            last = lines[-1][:200] if lines else "nothing on stderr"
            return Grade(None, f"exit code {ran.code}: {last}")
        return _read(ran.printed.strip())


def _read(output: str) -> Grade:
    try:
        score = float(output)
    except ValueError:
        return Grade(None, f"printed {output[:80]!r}, not a number")
    if math.isfinite(score) and 0 <= score <= 1:
        return Grade(score)
    return Grade(None, f"printed {score:g}, not a number from 0 to 1")

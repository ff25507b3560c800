"""A verdict on a response by a program of your own: unit tests, a query that is run, anything."""

import json
import shutil
from dataclasses import dataclass

from pydantic import PositiveFloat, PositiveInt

from equirouter.checks.base import Response, ResponseCheck
from equirouter.errors import ConfigError
from equirouter.limited import run_limited, split_command


@dataclass(kw_only=True, eq=False)
class CommandCheck(ResponseCheck):
    """1 where a program ends with exit code 0, 0 with 1; the number from 0 to 1 that it prints.

    It gets an object of JSON on its standard input: query, text and finish_reason. No shell sees
    the command. What takes too long, ends in another way or prints something else is not known. The
    program runs with your rights: where it runs code out of responses, let it do so in a container.
    """

    run: str
    """The command with its arguments, such as "python tests_pass.py"."""
    seconds: PositiveFloat = 5.0
    """Longest time of one run; then all its processes are killed."""
    memory_mb: PositiveInt = 1024
    """Most memory of each of its processes; not held on Windows."""

    def __post_init__(self) -> None:
        self._command = split_command(self.run)
        if shutil.which(self._command[0]) is None:
            raise ConfigError(
                f"command: there is no program {self._command[0]!r} (no shell is used)"
            )

    def __call__(self, response: Response) -> float | None:
        """Run it."""
        seen = {
            "query": response.query,
            "text": response.text,
            "finish_reason": response.finish_reason,
        }
        given = json.dumps(seen)  # in ASCII, as half a character has no UTF-8
        ran = run_limited(self._command, given, seconds=self.seconds, memory_mb=self.memory_mb)
        if ran is None or ran.code not in (0, 1):
            return None
        printed = ran.printed.strip()
        if not printed:
            return 1.0 - ran.code
        try:
            value = float(printed)
        except ValueError:
            return None
        return value if ran.code == 0 and 0 <= value <= 1 else None

"""The gateway's clocks for `retrain` and `log score`, each in a process: so that nobody waits."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from equirouter.pipeline.versions import last_retraining
from equirouter.serve.settings import GatewaySettings

_LOG = logging.getLogger("equirouter.serve")

RetrainResult = Literal["promoted", "passed", "refused", "failed"]
_RESULTS: dict[int, RetrainResult] = {0: "promoted", 3: "refused"}
LONGEST_SLEEP_SECONDS = 600.0
"""The clock looks again: another process, or a person, may have retrained meanwhile."""


class RetrainClock:
    """Runs `equirouter retrain` when the last run is retrain.every ago.

    command: what is run; the tests give another. told: what each run came to. Of several workers
    the one that comes first runs it, and the others see by the time of the lock that it was run.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        told: Callable[[RetrainResult], None],
        command: list[str] | None = None,
    ) -> None:
        self._every = settings.retrain.every_seconds
        self._folder = settings.pipeline.path
        self._command = command or _command(settings, "retrain")
        self._told = told
        self.last: dict[str, object] | None = None
        """The latest run of this worker, for /admin/status."""

    async def run(self) -> None:
        """Wait and retrain, without end; returns at once where nothing is to be done."""
        if self._every is None or self._folder is None:
            return
        while True:
            left = last_retraining(self._folder) + self._every - time.time()
            if left > 0:
                await asyncio.sleep(min(left, LONGEST_SLEEP_SECONDS))
            else:
                self._tell(*await _run_apart(self._command))

    def _tell(self, code: int, out: bytes, last_line: str) -> None:
        result = _RESULTS.get(code, "failed")
        if result == "promoted":
            document = json.loads(out)
            last_line = f"version {document['current']} is current"
            if document["current"] != document["challenger"]:
                result = "passed"
                last_line = f"version {document['challenger']} is tried as a canary"
        level = logging.ERROR if result == "failed" else logging.INFO
        _LOG.log(level, "retraining, %s: %s", result, last_line)
        self.last = {"at": time.time(), "result": result, "said": last_line}
        self._told(result)


class ScoreClock:
    """Runs `equirouter log score` some minutes after shadows have answered.

    answered: how many have, of this worker; None where nobody scores them. command: see
    RetrainClock.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        answered: Callable[[], int] | None,
        *,
        command: Sequence[str] | None = None,
        every_seconds: float = 300.0,
    ) -> None:
        self._answered = answered if settings.shadow.score else None
        self._command = command or _command(settings, "log", "score")
        self._every = every_seconds
        self.last: dict[str, object] | None = None
        """The latest run of this worker, for /admin/status."""

    async def run(self) -> None:
        """Wait and score, without end; returns at once where nobody scores."""
        if self._answered is None:
            return
        seen = 0  # what another process left is scored with what comes
        while True:
            await asyncio.sleep(self._every)
            answered = self._answered()
            if answered == seen:
                continue
            code, out, last_line = await _run_apart(self._command)
            if code == 0:
                seen = answered
                document = json.loads(out)
                last_line = f"{document['scored']} of {document['answers']} answers have a score"
                if document["stopped"] is not None:
                    last_line += f"; {document['stopped']}"
            _LOG.log(logging.ERROR if code else logging.INFO, "scoring: %s", last_line)
            self.last = {"at": time.time(), "result": "failed" if code else "done"}
            self.last["said"] = last_line


def _command(settings: GatewaySettings, *words: str) -> list[str]:
    return [sys.executable, "-m", "equirouter", *words, str(settings.file), "--json", "--quiet"]


async def _run_apart(command: Sequence[str]) -> tuple[int, bytes, str]:
    """Run a command, which ends with the caller: exit code, output and the last line it said."""
    environment = {n: v for n, v in os.environ.items() if n != "PROMETHEUS_MULTIPROC_DIR"}
    child = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await child.communicate()
    except asyncio.CancelledError:  # the gateway stops
        with suppress(ProcessLookupError):
            child.terminate()
        raise
    code = -1 if child.returncode is None else child.returncode
    return code, out, err.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]

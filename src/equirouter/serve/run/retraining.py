"""The gateway's clock for `equirouter retrain`: in a process of its own, so that nobody waits."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from equirouter.pipeline.versions import last_retraining
from equirouter.serve.settings import GatewaySettings

__all__ = ["RetrainClock", "RetrainResult"]

_LOG = logging.getLogger("equirouter.serve")

RetrainResult = Literal["promoted", "refused", "failed"]
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
        self._command = command or [
            *(sys.executable, "-m", "equirouter", "retrain"),
            *(str(settings.file), "--json", "--quiet"),
        ]
        self._told = told
        self.last: dict[str, object] | None = None
        """The latest run of this worker, for /admin/status."""

    async def run(self) -> None:
        """Wait and retrain, without end; returns at once where nothing is to be done."""
        if self._every is None or self._folder is None:
            return
        while True:
            left = self._left(self._every, self._folder)
            if left > 0:
                await asyncio.sleep(min(left, LONGEST_SLEEP_SECONDS))
                continue
            await self._retrain()

    def _left(self, every: float, folder: Path) -> float:
        """Seconds until the next run."""
        return last_retraining(folder) + every - time.time()

    async def _retrain(self) -> None:
        environment = {n: v for n, v in os.environ.items() if n != "PROMETHEUS_MULTIPROC_DIR"}
        child = await asyncio.create_subprocess_exec(
            *self._command,
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
        self._tell(child.returncode, out, err.decode("utf-8", "replace").strip())

    def _tell(self, code: int | None, out: bytes, said: str) -> None:
        result = _RESULTS.get(-1 if code is None else code, "failed")
        last_line = said.rsplit("\n", 1)[-1]
        if result == "promoted":
            last_line = f"version {json.loads(out)['current']} is current"
        level = logging.ERROR if result == "failed" else logging.INFO
        _LOG.log(level, "retraining, %s: %s", result, last_line)
        self.last = {"at": time.time(), "result": result, "said": last_line}
        self._told(result)

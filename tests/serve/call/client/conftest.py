"""Every test of the client runs on asyncio's own loop and on uvloop's, which gateways have."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

uvloop = pytest.importorskip("uvloop")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS, autouse=True)
def _loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(main)

    monkeypatch.setattr(asyncio, "run", run)

"""A gateway is killed at every step at which it ends a canary: one whole version is served."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.pipeline import PipelineVersions
from equirouter.serve.learning_settings import CanarySettings
from equirouter.serve.money.store.log_columns import log_row
from equirouter.serve.money.store.migrate import migrate
from equirouter.serve.money.store.schema import log
from equirouter.serve.money.store.store import connected
from equirouter.serve.run.canary import CanaryKeeper
from equirouter.serve.settings import StoreSettings
from equirouter.serve.watch.prometheus import Metrics
from tests.pipeline.test_versions import Named, added, served
from tests.serve.stores import record

AT = 1_700_000_000.0  # before the history is written, which has no clock of ours
CHANGES = ("open", "os.rename", "os.remove", "os.chmod", "tempfile.mkstemp")


@dataclass
class Loaded:
    """What the keeper looks at in a pipeline: id and version."""

    id: str
    version: str | None = None


class Decider:
    """Version 0001, whose id is "old", decides; what is loaded is "new"."""

    loaded = Loaded("old", "0001")

    async def load(self, _: Path) -> Loaded:
        return Loaded("new")


def logged(connection: sa.Connection, at: float, pipelines: list[str], status: int) -> None:
    """Requests that these decided, each a conversation; those of the new end with this status."""
    for unit, pipeline in enumerate(pipelines):
        one = record(f"{at}-{unit}", started_at=at, cost_nusd=1000)
        assert one.plan is not None
        one.plan = replace(one.plan, pipeline=pipeline, unit=unit)
        one.status = status if pipeline == "new" else 200
        connection.execute(sa.insert(log).values(log_row(one)))


async def look(folder: Path, at: float, step: Callable[[], None] = lambda: None) -> None:
    """Let a gateway look after the canary 0002. step: called as it reads and writes the store."""
    settings = CanarySettings(version="0002", share=0.5, enough=100)
    async with connected(StoreSettings(url=f"sqlite:///{folder}/store.db")) as database:
        write = database.write

        async def stepping(*work: Any) -> Any:
            step()
            answer = await write(*work)
            step()
            return answer

        database.write = stepping  # type: ignore[method-assign, assignment]
        keeper = CanaryKeeper(
            settings,
            PipelineVersions(folder / "p"),
            SimpleNamespace(database=database),  # type: ignore[arg-type]
            Decider(),  # type: ignore[arg-type]
            SimpleNamespace(try_out=lambda *_: None),  # type: ignore[arg-type]
            Metrics(models=(), upstreams=()),
            clock=lambda: at,
        )
        await keeper.look()


def killed_at(folder: Path, last: int) -> None:
    """A look that is killed at its step number `last`; ends by itself where it has fewer."""
    left = last

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(lambda event, _: step() if event in CHANGES else None)
    asyncio.run(look(folder, AT + 100.0 * last, step))  # when no other worker is waited for


KILL = """
import os, signal, sys
from pathlib import Path
from tests.pipeline.test_versions import served
from tests.serve.run.test_canary_killed import killed_at

folder, last, status = Path(sys.argv[1]), 0, 1
while status:  # each time killed one step later, with what was left before
    last += 1
    child = os.fork()
    if child == 0:
        killed_at(folder, last)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    print(served(folder / "p"), flush=True)
"""


@pytest.mark.parametrize(
    ("status", "ends"), [(200, ("new", "promoted")), (500, ("old", "refused"))]
)
def test_whatever_a_kill_interrupts_the_canary_ends_once(
    status: int, ends: tuple[str, str], tmp_path: Path
) -> None:
    versions = added(tmp_path / "p", "old")
    versions.add(Named("new"), how="retrain")

    async def begin() -> None:
        async with connected(StoreSettings(url=f"sqlite:///{tmp_path}/store.db")) as database:
            await migrate(database)
            await database.write(logged, AT - 50, ["old"] * 100, 200)
            await look(tmp_path, AT)
            await database.write(logged, AT + 1, ["old", "new"] * 100, status)

    asyncio.run(begin())
    command = [sys.executable, "-c", KILL, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    names = ran.stdout.split()
    assert len(names) > 8
    assert set(names) <= {"old", ends[0]}
    asyncio.run(look(tmp_path, AT + 1e6))  # there is nothing left to do
    assert served(tmp_path / "p") == ends[0]
    events = [event.did for event in versions.history if event.how == "canary"]
    assert events == ["tried", ends[1]]

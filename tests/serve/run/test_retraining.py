"""The clock that retrains: in a process of its own, when it is time, and what it says of it."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import ConfigError
from equirouter.pipeline.versions import last_retraining, retraining
from equirouter.serve.run.retraining import RetrainClock, ScoreClock
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.settings_file import read_settings

POOL = '[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\n[models.small]\nupstream = "a"\n'

MADE = """print('{{"current": "{}", "challenger": "0002"}}')"""


def settings(folder: Path, every: str | None = "7d") -> GatewaySettings:
    text = f'[pipeline]\npath = "p"\n{POOL}'
    if every is not None:
        text = f'[retrain]\nevery = "{every}"\n{text}'
    (folder / "gateway.toml").write_text(text)
    (folder / "p").mkdir(exist_ok=True)
    return read_settings(folder / "gateway.toml")


async def once(folder: Path, script: str) -> tuple[list[str], dict[str, Any] | None]:
    """Run the clock until its command has been run once, then stop it."""
    told: list[str] = []
    done = asyncio.Event()

    def tell(result: str) -> None:
        told.append(result)
        done.set()

    with retraining(folder / "p"):
        pass  # the command does so
    os.utime(folder / "p" / "retrain.lock", (0, 0))  # long ago
    touch = f"import os; os.utime({str(folder / 'p' / 'retrain.lock')!r})\n"
    clock = RetrainClock(settings(folder), tell, [sys.executable, "-c", touch + script])
    running = asyncio.create_task(clock.run())
    await asyncio.wait_for(done.wait(), 30)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return told, clock.last


@pytest.mark.parametrize(
    ("script", "result", "says"),
    [
        (MADE.format("0002"), "promoted", "version 0002 is current"),
        (MADE.format("0001"), "passed", "version 0002 is tried as a canary"),
        ("import sys; sys.exit('it keeps less')", "failed", "it keeps less"),
        ("import sys; print('why not', file=sys.stderr); sys.exit(3)", "refused", "why not"),
    ],
)
def test_it_is_run_once_when_it_is_time(
    script: str, result: str, says: str, tmp_path: Path
) -> None:
    told, last = asyncio.run(once(tmp_path, script))
    assert told == [result]
    assert last is not None
    assert (last["result"], last["said"]) == (result, says)


def test_nothing_is_run_before_its_time_or_without_being_asked(tmp_path: Path) -> None:
    async def run() -> None:
        told: list[str] = []
        with retraining(tmp_path):
            pass
        assert last_retraining(tmp_path) == pytest.approx(time.time(), abs=60)
        (tmp_path / "p").mkdir()
        with retraining(tmp_path / "p"):
            pass  # another worker, or a person, a moment ago
        clock = RetrainClock(settings(tmp_path), told.append, ["false"])
        running = asyncio.create_task(clock.run())
        await asyncio.sleep(0.05)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await RetrainClock(settings(tmp_path, None), told.append, ["false"]).run()
        assert told == []

    asyncio.run(run())


def test_a_gateway_without_a_pipeline_has_nothing_to_retrain(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'[retrain]\nevery = "7d"\n{POOL}')
    with pytest.raises(ConfigError, match=r"retrain\.every needs a pipeline"):
        read_settings(path)
    path.write_text(f'[retrain]\nevery = "weekly"\n{POOL}')
    with pytest.raises(ConfigError, match=r"retrain\.every: String should match"):
        read_settings(path)


def test_shadow_answers_are_scored_when_there_are_new_ones(tmp_path: Path) -> None:
    made = settings(tmp_path)
    shadow = made.shadow.model_copy(update={"score": ("regex:pattern=x",)})
    runs = tmp_path / "runs"
    script = f"open({str(runs)!r}, 'a').write('x'); "
    script += 'print(\'{"answers": 4, "scored": 3, "stopped": null}\')'
    command = [sys.executable, "-c", script]
    answered = [0]

    async def run() -> None:
        scored = made.model_copy(update={"shadow": shadow})
        clock = ScoreClock(scored, lambda: answered[0], command=command, every_seconds=0.01)
        running = asyncio.create_task(clock.run())
        await asyncio.sleep(0.1)
        assert not runs.exists()  # nobody has answered
        answered[0] = 2
        async with asyncio.timeout(30):
            while clock.last is None:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert runs.read_text() == "x"
        assert (clock.last["result"], clock.last["said"]) == ("done", "3 of 4 answers have a score")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ScoreClock(made, lambda: 1, command=command).run()  # nobody scores them

    asyncio.run(run())

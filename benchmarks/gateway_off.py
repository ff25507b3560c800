"""What exploration, shadows, versions, canary and drift cost a request while all of them are off.

    python benchmarks/gateway_off.py [--seconds 300]

One gateway, all settings defaults but a key, is asked by a process of its own (gateway_load.py, 8
connections) before a provider that answers at once. After every 20 requests the functions with
their hooks are exchanged for those without (WITHOUT says what is cut), or back, in random order:
same process, same memory, same load. Printed is the ratio of the medians of processor time a
request, with by without, with its 95 % interval (bootstrap over pairs).
"""

import argparse
import asyncio
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np
from aiohttp import web
from bench_gateway import (
    GATEWAYS,
    HERE,
    TRAIN,
    UPSTREAM,
    Case,
    configuration,
    make_key,
    process,
    run_equirouter,
    wait_for,
)

from equirouter.serve.http.gateway import Gateway
from equirouter.serve.money.store import log_columns
from equirouter.serve.run.assembly import open_gateway
from equirouter.serve.run.server import make_runner
from equirouter.serve.settings_file import read_settings

BLOCK = 20
WITHOUT: dict[str, list[tuple[str, str]]] = {
    "http.endpoints": [
        ("    begin_shadows(gateway, request, chat, control, key, exchange.record)\n", "")
    ],
    "http.exchange": [
        (' and plan.decided_by != "explore"', ""),
        ("plan = self._gateway.explored(plan, self._chat, self._control, self._key)", "pass"),
        ('        if plan.decided_by == "explore":\n', "        if False:\n"),
        ("        if plan.version is not None:\n", "        if False:\n"),
    ],
    "http.controls": [('        explore=controls.get("explore", True),\n', "")],
    "watch.prometheus": [
        ('self._learning.get("" if record.plan is None else record.plan.decided_by)', "None")
    ],
    "plan.planner": [
        ("        canary = self._canary\n", "        canary = None\n"),
        ("            script=script_of(reading.text),\n", ""),
        (' = plan.decided_by == "explore"  # the', " = False  # the"),
        (" or plan.pipeline != served.loaded.id", ""),
    ],
    "plan.sessions": [("        version=loaded.version,\n        script=script,\n", "")],
}
"""Module of equirouter.serve -> what is cut, and what stands there then."""
LOGGED = {"chances", "version", "unit", "shadow_of", "script"}


def functions(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """The functions and methods of a module, by qualified name."""
    for const in code.co_consts:
        if isinstance(const, CodeType) and "<" not in const.co_qualname:
            yield const.co_qualname, const
            yield from functions(const)


def exchanged() -> list[tuple[FunctionType, CodeType, CodeType]]:
    """Each function that has a hook, its code, and that without."""
    pairs = []
    for name, cuts in WITHOUT.items():
        module = importlib.import_module(f"equirouter.serve.{name}")
        source = Path(str(module.__file__)).read_text()
        cut = source
        for old, new in cuts:
            if cut.count(old) != 1:
                raise SystemExit(f"{name} has {old!r} {cut.count(old)} times: change WITHOUT")
            cut = cut.replace(old, new)
        before, after = (dict(functions(compile(s, name, "exec"))) for s in (source, cut))
        for qualified, code in after.items():
            if code.co_code == before[qualified].co_code:
                continue
            found: object = module
            for part in qualified.split("."):
                found = getattr(found, part)
            if isinstance(found, FunctionType):
                pairs.append((found, found.__code__, code))
    return pairs


class Blocks:
    """Blocks of requests with the hooks and without, and their processor time."""

    def __init__(self, gateway: Gateway) -> None:
        self._pairs = exchanged()
        every = log_columns._PLAN_FIELDS
        self._columns = every, tuple(name for name in every if name not in LOGGED)
        self._n = 0
        gateway._listeners = (*gateway._listeners, self._count)

    def _count(self, _: object) -> None:
        self._n += 1

    async def us(self, *, without: bool) -> float:
        """Microseconds a request."""
        for function, with_hooks, cut in self._pairs:
            function.__code__ = cut if without else with_hooks
        log_columns._PLAN_FIELDS = self._columns[without]
        n, start = self._n, time.process_time()
        while self._n - n < BLOCK:
            await asyncio.sleep(0.01)
        return (time.process_time() - start) / (self._n - n) * 1e6


async def measured(config: Path, key: str, options: argparse.Namespace) -> list[list[float]]:
    """Pairs of [with, without], in microseconds."""
    port = GATEWAYS["lexical"]
    bodies = Case("off", port, "equirouter/auto").bodies(config.parent, stream=False)
    script = [sys.executable, str(HERE / "gateway_load.py"), "--port", str(port)]
    script += ["--concurrency", "8", "--seconds", str(options.seconds + 60)]
    script += ["--bodies", str(bodies), "--header", f"authorization: Bearer {key}"]
    rows = []
    async with open_gateway(read_settings(config)) as gateway:
        runner = make_runner(gateway)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        with process(script, config.parent / "load.log"):
            blocks, rng = Blocks(gateway), np.random.default_rng(0)
            for _ in range(5):
                await blocks.us(without=False)  # to get warm
            end = time.monotonic() + options.seconds
            while time.monotonic() < end:
                order = rng.permutation([False, True])
                pair = {bool(cut): await blocks.us(without=bool(cut)) for cut in order}
                rows.append([pair[False], pair[True]])
        await runner.cleanup()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What the loop costs while it is off.")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-gateway"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "lexical").exists():
        command = ["train", "simulated", *TRAIN["lexical"], "--quality", "0.9", "--quiet"]
        run_equirouter([*command, "--out", str(folder / "lexical")])
    config = configuration(folder, "lexical")
    script = [sys.executable, str(HERE / "gateway_upstream.py"), "--port", str(UPSTREAM)]
    with process(script, folder / "upstream.log"):
        wait_for(UPSTREAM, folder / "upstream.log")
        rows = asyncio.run(measured(config, make_key(config), options))
    us = np.array(rows)
    drawn = us[np.random.default_rng(0).integers(0, len(us), (2000, len(us)))]
    print(f"{len(us)} pairs, {np.median(us[:, 0]):.0f} us a request with hooks")
    with_hooks, without = np.median(us, axis=0)
    low, high = np.quantile(np.divide(*np.median(drawn, axis=1).T), (0.025, 0.975))
    print(f"ratio {with_hooks / without:.4f} [{low:.4f}, {high:.4f}]")


if __name__ == "__main__":
    main()

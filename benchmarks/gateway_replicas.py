"""Gateways behind a load balancer on one PostgreSQL: requests/s, and a database that goes away.

    python benchmarks/gateway_replicas.py [--replicas 2 4 8] [--seconds 5] [--concurrency 64]
    python benchmarks/gateway_replicas.py --replicas 2 --outage 3   gone for 3 s in the middle

Needs root: every gateway is one process in a network namespace of its own, all on one bridge. The
client (gateway_load.py) spreads its connections over them in turn, with one key. The provider
answers at once. The PostgreSQL is one of our own that waits for the disk at every commit.
Counted are changes of the key's only row in `accounts`, and the CPU that gateways and database take
for a request. At the end accounts and log must agree to the nano-USD, and nothing may be reserved.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from bench_gateway import HERE, make_key, process
from namespaces import NET, namespaces
from pages import record

sys.path.insert(0, str(HERE.parent))
from tests.serve.databases import Server, server

PORT, UPSTREAM = 8080, 19000
TICKS = os.sysconf("SC_CLK_TCK")


def configuration(folder: Path, postgresql: Server, address: str) -> Path:
    lines = [
        f'[server]\nhost = "{address}"\nport = {PORT}',
        f'[store]\nurl = "postgresql://tests@{NET}.1:{postgresql.port}/postgres"',
        f'[upstreams.fake]\nbase_url = "http://{NET}.1:{UPSTREAM}/v1"\nauth = "none"',
        '[models.small]\nupstream = "fake"\nprice = {input = 1.0, output = 4.0}',
    ]
    path = folder / f"{address}.toml"
    path.write_text("\n\n".join(lines) + "\n")
    return path


@contextmanager
def gateways(folder: Path, postgresql: Server, names: dict[str, str]) -> Iterator[list[int]]:
    """The process ids of gateways that answer."""
    with ExitStack() as stack:
        pids, log = [], folder / "gateways.log"
        for name, address in names.items():
            serve = [sys.executable, "-m", "equirouter", "serve"]
            command = ["ip", "netns", "exec", name, *serve]
            config = configuration(folder, postgresql, address)
            pids.append(stack.enter_context(process([*command, str(config)], log)))
        for address in names.values():
            is_ready(address)
        yield pids


def is_ready(address: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://{address}:{PORT}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{address} does not answer")


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(map(int, fields[11:15]))  # its own, and of those that it waited for
    return ticks / TICKS


def database_pids(postgresql: Server) -> list[int]:
    """The server and its processes; a connection's CPU goes to the server's when it ends."""
    parent = int(Path(f"{postgresql.folder}/data/postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]


def asked(postgresql: Server, question: str) -> tuple[Any, ...]:
    """The first row of an answer."""

    async def ask() -> tuple[Any, ...]:
        url = f"postgresql://tests@{NET}.1:{postgresql.port}/postgres"
        connection = await asyncpg.connect(url)
        try:
            return tuple(await connection.fetchrow(question))
        finally:
            await connection.close()

    return asyncio.run(ask())


def changes(postgresql: Server) -> int:
    """How often a row of `accounts` was changed."""
    time.sleep(1.1)  # PostgreSQL counts with a delay of up to a second
    count = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'accounts'"
    return int(asked(postgresql, count)[0])


def measured(
    folder: Path, postgresql: Server, names: dict[str, str], options: argparse.Namespace
) -> dict[str, Any]:
    run_ = [sys.executable, str(HERE / "gateway_load.py"), "--port", str(PORT)]
    run_ += ["--host", *names.values(), "--concurrency", str(options.concurrency)]
    run_ += ["--seconds", str(options.seconds), "--bodies", str(bodies(folder))]
    key = make_key(configuration(folder, postgresql, f"{NET}.1"))
    with gateways(folder, postgresql, names) as pids:
        before, cpu = changes(postgresql), cpu_seconds(pids)
        database_cpu = cpu_seconds(database_pids(postgresql))
        command = [*run_, "--header", f"authorization: Bearer {key}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as loading:
            if options.outage:
                begun = time.monotonic()
                time.sleep(options.seconds / 3)
                postgresql.stop()
                stopped = time.monotonic() - begun
                time.sleep(options.outage)
                postgresql.start()
                print(f"gone from {stopped:.1f} to {time.monotonic() - begun:.1f} s")
            found: dict[str, Any] = json.loads(loading.communicate()[0])
        n = sum(found["statuses"].values())
        found["cpu_us"] = 1e6 * (cpu_seconds(pids) - cpu) / n
        database_cpu = cpu_seconds(database_pids(postgresql)) - database_cpu
        found["database_cpu_us"] = 1e6 * database_cpu / n
        changed = changes(postgresql) - before
        found["changes_per_second"] = changed / (options.seconds + 0.5)  # with the warm-up
    question = (
        "SELECT (SELECT sum(spent_nusd) FROM accounts), (SELECT sum(reserved_nusd) FROM accounts), "
        "(SELECT sum(cost_nusd) FROM log), (SELECT count(*) FROM reservations)"
    )
    spent, reserved, logged, left = asked(postgresql, question)
    found["books"] = {"spent": int(spent), "logged": int(logged), "reserved": int(reserved)}
    found["agree"] = spent == logged and reserved == left == 0
    return found


def bodies(folder: Path) -> Path:
    message = {"role": "user", "content": "Which river is the longest?"}
    path = folder / "bodies.jsonl"
    path.write_text(json.dumps({"model": "small", "messages": [message], "max_tokens": 64}))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Gateways on one PostgreSQL.")
    parser.add_argument("--replicas", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--outage", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--folder", type=Path, default=Path("runs/replicas"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    settings = "-c listen_addresses=* -c max_connections=300"
    with namespaces(max(options.replicas)) as names, server(settings) as postgresql:
        with Path(f"{postgresql.folder}/data/pg_hba.conf").open("a") as access:
            access.write(f"host all all {NET}.0/24 trust\n")
        postgresql.stop()
        postgresql.start()
        script = [sys.executable, str(HERE / "gateway_upstream.py"), "--port", str(UPSTREAM)]
        with process([*script, "--host", f"{NET}.1"], folder / "upstream.log"):
            for n in options.replicas:
                postgresql.database()
                found = measured(folder, postgresql, dict([*names.items()][:n]), options)
                if set(found["statuses"]) != {"200"} or not found["agree"] or options.outage:
                    print(json.dumps(found, indent=1))
                if options.outage:
                    continue
                ms = found["latency_ms"]
                row = [n, f"{found['requests_per_second']:.0f}", f"{ms['p50']:.0f}"]
                row += [f"{ms['p99']:.0f}", f"{found['changes_per_second']:.0f}"]
                row += [f"{found['cpu_us']:.0f}", f"{found['database_cpu_us']:.0f}"]
                record("replicas", [row])


if __name__ == "__main__":
    main()

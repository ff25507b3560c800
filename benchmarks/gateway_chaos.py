"""Minutes of mixed load while providers fail and die: is every request answered, every cent right?

    python benchmarks/gateway_chaos.py [--minutes 10] [--clients 24] [--seed 0] [--workers 2]

Three providers of gateway_flaky.py fail in every way they can; one after the other is killed and
started again. Clients ask for named and virtual models, streaming and not, some hang up; one key
has money for little. Afterwards the gateway is stopped with SIGTERM and its store is held against
what the clients saw and what the providers wrote in their own books:

- every request ended in an answer: a status, a stream with [DONE], or one with an error event;
- the log has a row for every request, once;
- nothing is reserved any more, and what each key spent is the sum of its rows, to the nano-USD;
- no key spent more than its budget;
- nothing was charged that no provider can have charged for.
"""

import argparse
import asyncio
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from bench_gateway import HERE, resident, run_equirouter, train, wait_for

from equirouter.pipeline.versions import current_folder

GATEWAY = 19200
PROVIDERS = (19201, 19202, 19203)
POOR_USD = 0.05


class Providers:
    """The three processes; one is killed every few seconds, and started again later."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)  # noqa: S311  # chance, no secret
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.deaths = 0

    def start(self, port: int) -> None:
        books, log = self.folder / f"books-{port}.jsonl", self.folder / f"provider-{port}.log"
        script = [sys.executable, str(HERE / "gateway_flaky.py"), "--port", str(port)]
        script += ["--seed", str(self.rng.randrange(1 << 30)), "--books", str(books)]
        with log.open("ab") as out:
            self.running[port] = subprocess.Popen(script, stdout=out, stderr=out)

    def stop(self, port: int) -> None:
        started = self.running.pop(port)
        started.kill()
        started.wait()

    async def trouble(self, until: float) -> None:
        while time.monotonic() < until:
            await asyncio.sleep(self.rng.uniform(4, 10))
            port = self.rng.choice(PROVIDERS)
            self.stop(port)
            self.deaths += 1
            await asyncio.sleep(self.rng.uniform(1, 6))
            self.start(port)

    def books(self) -> Counter[str]:
        """Answers that each model's provider completed."""
        done: Counter[str] = Counter()
        for port in PROVIDERS:
            path = self.folder / f"books-{port}.jsonl"
            for line in path.read_text().splitlines() if path.exists() else ():
                done[json.loads(line)["model"]] += 1
        return done


class Clients:
    """Actions of users, and the answers they got."""

    def __init__(self, models: list[str], keys: dict[str, str], seed: int) -> None:
        self.models, self.keys = models, keys
        self.rng = random.Random(seed + 1)  # noqa: S311  # chance, no secret
        self.seen: Counter[str] = Counter()
        self.lost: list[str] = []
        self.sent = 0

    def request(self) -> tuple[dict[str, Any], dict[str, str], bool]:
        virtual = ["equirouter/auto", "equirouter/budget-0.01", "equirouter/lambda-5"]
        model = self.rng.choice(virtual if self.rng.random() < 0.6 else self.models)
        text = " ".join(self.rng.choice(("why", "river", "sum", "code")) for _ in range(12))
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 64,
        }
        if self.rng.random() < 0.5:
            body["stream"] = True
        key = "poor" if self.rng.random() < 0.1 else "rich"
        hang_up = self.rng.random() < 0.04
        return body, {"Authorization": f"Bearer {self.keys[key]}"}, hang_up

    async def go_on(self, session: aiohttp.ClientSession, until: float) -> None:
        while time.monotonic() < until:
            body, headers, hang_up = self.request()
            self.sent += 1
            url = f"http://127.0.0.1:{GATEWAY}/v1/chat/completions"
            try:
                async with session.post(url, json=body, headers=headers) as answer:
                    if hang_up:
                        answer.close()
                        self.seen["hung up"] += 1
                        continue
                    self.note(answer.status, await answer.read(), bool(body.get("stream")))
            except (aiohttp.ClientError, TimeoutError) as error:
                self.lost.append(f"{body['model']}: {type(error).__name__}: {error}")

    def note(self, status: int, content: bytes, stream: bool) -> None:
        if status != 200:
            json.loads(content)["error"]["message"]  # an error in OpenAI's form
            self.seen[f"status {status}"] += 1
        elif not stream:
            json.loads(content)["choices"]
            self.seen["answered"] += 1
        elif content.rstrip().endswith(b"data: [DONE]"):
            self.seen["streamed to the end"] += 1
        elif b'"error"' in content:
            self.seen["stream with an error event"] += 1
        else:
            self.lost.append(f"a stream that just ends: ...{content[-200:]!r}")


def configuration(folder: Path, workers: int) -> tuple[Path, list[str]]:
    described = json.loads((current_folder(folder / "static") / "pipeline.json").read_text())
    models = [str(model["name"]) for model in described["models"]]
    store = folder / "chaos.db"
    for path in folder.glob("chaos.db*"):
        path.unlink()
    lines = [f"[server]\nport = {GATEWAY}\nworkers = {workers}"]
    lines += [f'[pipeline]\npath = "{folder / "static"}"', f'[store]\nurl = "sqlite:///{store}"']
    for port in PROVIDERS:
        lines += [
            f'[upstreams.at{port}]\nbase_url = "http://127.0.0.1:{port}/v1"\nauth = "none"\n'
            "first_byte_seconds = 5\nbreaker_seconds = 2"
        ]
    for place, model in enumerate(models):
        lines += [f'[models."{model}"]\nupstream = "at{PROVIDERS[place % 3]}"']
    path = folder / "chaos.toml"
    path.write_text("\n\n".join(lines) + "\n")
    return path, models


def key_of(config: Path, name: str, budget: float) -> str:
    output = run_equirouter(
        ["keys", "create", str(config), "--name", name, "--budget-usd", str(budget), "--json"]
    )
    return str(json.loads(output)["key"])


def audit(store: Path, clients: Clients, books: Counter[str]) -> list[str]:
    """Disagreements; empty if there are none."""
    wrong = list(clients.lost)
    with sqlite3.connect(store) as db:

        def one(sql: str) -> Any:  # noqa: ANN401  # whatever the row holds
            return db.execute(sql).fetchone()[0]

        rows, distinct = (
            one("select count(*) from log"),
            one("select count(distinct request_id) from log"),
        )
        if not rows == distinct == clients.sent:
            wrong.append(f"{clients.sent} requests, {rows} rows, {distinct} request ids")
        for name, spent, reserved, logged, budget in db.execute(
            "select keys.name, spent_nusd, reserved_nusd, (select coalesce(sum(cost_nusd), 0) from "
            "log where log.key_id = keys.id), keys.budget_nusd from keys join accounts on "
            "accounts.key_id = keys.id"
        ):
            print(f"key {name}: spent {spent / 1e9:.9f} USD, the log's rows {logged / 1e9:.9f}")
            if spent != logged or reserved:
                wrong.append(f"key {name}: {spent} spent, {logged} logged, {reserved} reserved")
            if spent > budget:
                wrong.append(f"key {name}: {spent} spent of {budget}")
        if one("select count(*) from reservations"):
            wrong.append("reservations are left")
        charged = dict(
            db.execute(
                "select served_model, count(*) from log where cost_nusd > 0 and "
                "charged_by = 'usage' group by 1"
            ).fetchall()
        )
    for model, n in charged.items():
        if n > books[model]:
            wrong.append(
                f"{model}: {n} charged by its usage, {books[model]} in its provider's books"
            )
    return wrong


async def run(options: argparse.Namespace, folder: Path) -> int:
    config, models = configuration(folder, options.workers)
    keys = {"rich": key_of(config, "rich", 1000), "poor": key_of(config, "poor", POOR_USD)}
    providers, clients = Providers(folder, options.seed), Clients(models, keys, options.seed)
    for path in folder.glob("books-*.jsonl"):
        path.unlink()
    for port in PROVIDERS:
        providers.start(port)
        wait_for(port, folder / f"provider-{port}.log")
    log = folder / "chaos.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "equirouter", "serve", str(config)]
        gateway = subprocess.Popen(command, stdout=out, stderr=out)
    memory: list[float] = []
    try:
        wait_for(GATEWAY, log, "/readyz")
        until = time.monotonic() + options.minutes * 60
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            work = [clients.go_on(session, until) for _ in range(options.clients)]
            watch = asyncio.create_task(watched(gateway.pid, memory))
            await asyncio.gather(providers.trouble(until - 12), *work)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
    finally:
        gateway.send_signal(signal.SIGTERM)
        code = gateway.wait(60)
        for port in list(providers.running):
            providers.stop(port)
    wrong = audit(folder / "chaos.db", clients, providers.books())
    print(f"{clients.sent} requests, {providers.deaths} deaths of providers, exit code {code}")
    for what, n in clients.seen.most_common():
        print(f"  {what}: {n}")
    print("memory, MB: " + ", ".join(f"{one:.0f}" for one in memory[:: max(1, len(memory) // 20)]))
    for what in wrong[:20]:
        print(f"WRONG: {what}")
    return 1 if wrong or code else 0


async def watched(pid: int, memory: list[float]) -> None:
    while True:
        memory.append(resident(pid))
        await asyncio.sleep(5)


def main() -> None:
    parser = argparse.ArgumentParser(description="Load while providers fail and die.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-gateway"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    train(folder)
    sys.exit(asyncio.run(run(options, folder)))


if __name__ == "__main__":
    main()

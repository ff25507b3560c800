"""Cost of the store: a reservation, a logged request, the dashboard's queries on 1e6 rows.

    python benchmarks/bench_store.py [--url URL] [--rows N]

Reservations and log entries are written by one worker on an event loop that has nothing else to do,
by 1, 16 and 64 clients at a time; each client asks again as soon as it has settled.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

from pages import record

from equirouter.serve.money.api_keys import create_key
from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.store.reports import StoreReports
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Attempt, Candidate, Key, Plan, RequestRecord, Tokens
from equirouter.serve.settings import StoreSettings

MODELS = tuple(f"model-{i}" for i in range(5))
DAY = 86_400


def made_record(i: int, at: float, key_id: str) -> RequestRecord:
    candidates = tuple(Candidate(model, 1000 * (k + 1)) for k, model in enumerate(MODELS))
    plan = Plan(
        candidates,
        "policy",
        "quality",
        0.98,
        scores={one.model: 0.5 for one in candidates},
        predicted_costs_usd={one.model: 1e-4 for one in candidates},
        prompt_tokens=20,
        max_output_tokens=200,
        confidence=0.7,
        decision_ms=0.3,
        pipeline="0123456789abcdef",
    )
    model = MODELS[i % 5]
    return RequestRecord(
        f"req_{i:024x}",
        at,
        "chat.completions",
        "equirouter/auto",
        key_id=key_id,
        plan=plan,
        attempts=[Attempt(model, "provider", "ok", 200, 12.25, None, at)],
        served_model=model,
        tokens=Tokens(20, 100),
        cost_nusd=1234,
        strongest_nusd=5678,
        first_byte_ms=10.5,
        total_ms=10.0 + i % 97,
        status=200,
    )


async def reservations(store: Store, key: Key, clients: int, n: int) -> list[str]:
    waits: list[float] = []
    left = n

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            ticket = await store.ledger.reserve(key.id, 1000, tokens=220, request_id=f"{left}")
            waits.append(time.perf_counter() - begun)
            if not isinstance(ticket, Ticket):
                raise TypeError(f"refused: {ticket}")
            await asyncio.sleep(0)
            ticket.settle(900, tokens=120)
            store.writer.log(made_record(time.perf_counter_ns(), time.time(), key.id))

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    await store.writer.flush()
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    waits.sort()
    p50, p99 = waits[len(waits) // 2] * 1e3, waits[int(0.99 * len(waits))] * 1e3
    if store.writer.dropped:
        raise RuntimeError(f"{store.writer.dropped} log entries were dropped")
    times = [f"{p50:.3f}", f"{p99:.2f}", f"{cpu / n * 1e6:.0f}"]
    return [str(clients), f"{n / took:.0f}", *times]


async def timed(name: str, question: Awaitable[object], runs: list[tuple[str, float]]) -> None:
    begun = time.perf_counter()
    await question
    runs.append((name, (time.perf_counter() - begun) * 1e3))


async def questions(store: Store, now: float) -> dict[str, float]:
    reports = StoreReports(store.database)
    runs: list[tuple[str, float]] = []
    for _ in range(5):
        for period, step in ((3600, 60), (DAY, 1800), (30 * DAY, DAY // 2)):
            name = {3600: "1 h", DAY: "24 h", 30 * DAY: "30 d"}[period]
            since = now - period
            await timed(f"slices, {name}", reports.slices(since, now, step), runs)
            await timed(f"totals, {name}", reports.totals(since, now), runs)
            await timed(f"calls of upstreams, {name}", reports.calls(since, now), runs)
            await timed(f"latencies, {name}", reports.latencies(since, now), runs)
        await timed("50 newest requests", reports.recent(50), runs)
        await timed("50 requests before number 500,000", reports.recent(50, before=500_000), runs)
        await timed("one request by its id", reports.one(f"req_{12345:024x}"), runs)
    names = dict.fromkeys(name for name, _ in runs)
    return {
        name: statistics.median(took for other, took in runs if other == name) for name in names
    }


async def run(url: str, rows: int) -> None:
    store = await Store.open(StoreSettings(url=url, queue=10**7))
    _, key = await store.database.write(create_key, "bench", budget_nusd=10**17)
    kind = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    for clients, n in ((1, 4000), (16, 8000), (64, 16_000)):
        record("store", [[kind, *await reservations(store, key, clients, n)]], keys=(0, 1))
        await store.writer.flush()
    keys = [key.id, *(f"key_{i}" for i in range(9))]
    now = time.time() // 1800 * 1800
    begun = time.perf_counter()
    for start in range(0, rows, 5000):
        for i in range(start, min(start + 5000, rows)):
            at = now - 30 * DAY * (1 - i / rows)
            store.writer.log(made_record(i, at, keys[i % 10]))
        await store.writer.flush()
    print(f"\n{rows:,} log entries over 30 days in {time.perf_counter() - begun:.0f} s\n")
    for name, took in (await questions(store, now)).items():
        print(f"{name}: {took:.1f} ms, median of 5")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of an empty database; default: a SQLite file")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(arguments.url or f"sqlite:///{folder}/store.db", arguments.rows))
        for path in Path(folder).iterdir():
            print(f"\n{path.name}: {path.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()

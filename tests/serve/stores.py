"""What the tests of the store share."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from equirouter.serve.money.api_keys import create_key, list_keys
from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.store.schema import accounts, log, sums, workers
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Attempt, Candidate, Key, Plan, Removal, RequestRecord, Tokens
from equirouter.serve.settings import StoreSettings

T = TypeVar("T")
_numbers = itertools.count(1)


def with_store(
    url: str,
    work: Callable[[Store], Awaitable[T]],
    clock: Callable[[], float] = time.time,
    **settings: Any,
) -> T:
    """Open a store, do the work, close it."""

    async def run() -> T:
        store = await Store.open(StoreSettings(url=url, **settings), clock=clock)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def new_key(store: Store, **limits: Any) -> Key:
    return (await store.database.write(create_key, "test", **limits))[1]


async def money(store: Store, key: Key) -> tuple[int, int]:
    """What a key has spent, and reserved, in its running period."""
    await store.writer.flush()
    for stored in await store.database.read(list_keys):
        if stored.key.id == key.id:
            spend = stored.spend
            return (0, 0) if spend is None else (spend.spent_nusd, spend.reserved_nusd)
    raise AssertionError("the key is not there")


async def ask(store: Store, key: Key, n: int, amount: int = 10) -> list[Ticket]:
    """Ask n times at once; those that were let through."""
    answers = await asyncio.gather(
        *(
            store.ledger.reserve(key.id, amount, request_id=f"{store.worker}-{next(_numbers)}")
            for _ in range(n)
        )
    )
    return [answer for answer in answers if isinstance(answer, Ticket)]


def record(request_id: str | None = None, **changes: Any) -> RequestRecord:
    """A request that went well."""
    made = RequestRecord(
        request_id=request_id or f"req-{next(_numbers)}",
        started_at=1_800_000_000.25,
        endpoint="chat.completions",
        requested_model="equirouter/auto",
        plan=Plan(
            (Candidate("small", 900), Candidate("large", 9000)),
            "policy",
            "quality",
            0.98,
            removed={"blind": Removal("abilities", "vision")},
            scores={"small": 0.7, "large": 0.9},
            predicted_costs_usd={"small": 2e-7, "large": 4e-6},
            prompt_tokens=20,
            max_output_tokens=100,
            decision_ms=0.5,
        ),
        attempts=[Attempt("small", "here", "ok", 200, 12.5)],
        served_model="small",
        tokens=Tokens(20, 30, cached_input=5),
        cost_nusd=250,
        strongest_nusd=4000,
        first_byte_ms=11.0,
        total_ms=14.0,
        status=200,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


async def summed(store: Store, name: str) -> int:
    """A column of the sums over half hours; those over minutes must agree unless deleted."""
    found = {60: 0, 1800: 0}
    for row in await store.database.read(rows, sums):
        found[row["step"]] += row[name]
    assert found[60] in (0, found[1800])
    return found[1800]


def ids(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.select(log.c.request_id).order_by(log.c.id)).scalars())


def numbers(connection: sa.Connection) -> list[int]:
    return list(connection.execute(sa.select(workers.c.id)).scalars())


def agree(connection: sa.Connection) -> tuple[int, int]:
    """What the accounts say was spent, and what the log says."""
    spent = connection.execute(sa.select(sa.func.sum(accounts.c.spent_nusd))).scalar_one()
    logged = connection.execute(sa.select(sa.func.sum(log.c.cost_nusd))).scalar_one()
    return int(spent), int(logged)

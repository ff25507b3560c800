"""Reservations: granted on what the store knows, whatever the clock says."""

from equirouter.serve.money.keys import create_key
from equirouter.serve.money.limits import Refusal
from equirouter.serve.money.store.store import Store
from tests.serve.stores import ask, with_store


def test_a_clock_that_jumps_refills_nothing(store_url: str) -> None:
    now = [1_800_000_000.0]

    async def work(store: Store) -> None:
        _, key = await store.database.write(
            create_key, "a", budget_nusd=100, period="day", requests_per_minute=1000
        )
        assert len(await ask(store, key, 20)) == 10
        now[0] -= 3 * 86_400.0
        assert await ask(store, key, 20) == []
        now[0] += 4 * 86_400.0  # a day later than it was
        assert len(await ask(store, key, 20)) == 10
        now[0] -= 86_400.0
        refused = await store.ledger.reserve(key.id, 1, request_id="x")
        assert isinstance(refused, Refusal)
        assert refused.reason == "budget"
        now[0] += 400 * 86_400.0
        assert len(await ask(store, key, 20)) == 10  # once, while nobody can know better
        now[0] -= 400 * 86_400.0
        assert await ask(store, key, 20) == []
        now[0] += 2 * 86_400.0  # and the next day without an account is one as any other
        assert len(await ask(store, key, 20)) == 10

    with_store(store_url, work, lambda: now[0])

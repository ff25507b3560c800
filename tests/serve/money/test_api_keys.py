"""Keys: made under limits, found by their secret, named, revoked; what each spent."""

import re
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import ConfigError, UnknownNameError
from equirouter.serve.money.api_keys import (
    Spend,
    any_keys,
    create_key,
    find_key,
    find_named,
    hash_of,
    list_keys,
    revoke_key,
    spend_of,
)
from equirouter.serve.money.store.schema import accounts, keys
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Key
from tests.serve.stores import with_store

NOW = 1_800_000_000.0  # 2027-01-15
JANUARY, TODAY = 20_819, 20_833  # days since 1970-01-01


def test_a_key_comes_back_with_all_its_limits(store_url: str) -> None:
    async def work(store: Store) -> None:
        assert not await store.database.read(any_keys)
        secret, key = await store.database.write(
            create_key,
            "ada\0",
            is_admin=True,
            models=["b", "a", "a"],
            requests_per_minute=1,
            tokens_per_minute=2,
            budget_nusd=2**62 - 1,
            period="day",
        )
        assert await store.database.read(any_keys)
        assert re.fullmatch(r"eq-[\w-]{43}", secret)
        assert re.fullmatch(r"key_[0-9a-f]{16}", key.id)
        expected = Key(key.id, "ada\ufffd", True, frozenset("ab"), 1, 2, 2**62 - 1, "day")
        assert await store.database.read(find_key, hash_of(secret)) == (hash_of(secret), expected)
        assert await store.database.read(find_key, hash_of("eq-other")) is None
        (stored,) = await store.database.read(list_keys)
        assert (stored.key, stored.shown) == (expected, secret[:8])
        assert (stored.revoked_at, stored.spend) == (None, None)
        plain = (await store.database.write(create_key, "bob"))[1]
        assert plain == Key(plain.id, "bob")

    with_store(store_url, work)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute is 0: expected a number above 0"),
        ({"tokens_per_minute": -1}, "tokens_per_minute is -1"),
        ({"budget_nusd": 0}, "budget is 0"),
        ({"budget_nusd": 2**62}, "budget is 46"),
        ({"period": "year"}, "period is 'year': expected day or month"),
    ],
)
def test_limits_that_limit_nothing_are_refused(
    tmp_path: Any, limits: dict[str, Any], says: str
) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(ConfigError, match=says):
            await store.database.write(create_key, "ada", **limits)
        assert not await store.database.read(any_keys)

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_a_key_is_named_by_its_id_or_by_a_name_that_only_it_has(store_url: str) -> None:
    async def work(store: Store) -> None:
        first, second, other = [
            (await store.database.write(create_key, name))[1] for name in ("ada", "ada", "bob")
        ]
        assert (await store.database.read(find_named, first.id)).key == first
        assert (await store.database.read(find_named, "bob")).key == other
        with pytest.raises(UnknownNameError, match="2 keys have the name 'ada'") as both:
            await store.database.read(find_named, "ada")
        assert first.id in str(both.value)
        assert second.id in str(both.value)
        assert (await store.database.write(revoke_key, first.id)).revoked_at is not None
        with pytest.raises(UnknownNameError, match="or it is revoked"):
            await store.database.write(revoke_key, first.id)
        assert (await store.database.write(revoke_key, "ada")).key == second
        assert (await store.database.read(find_named, "bob")).revoked_at is None
        with pytest.raises(UnknownNameError, match="'eve': see"):
            await store.database.read(find_named, "eve")
        assert await store.database.read(any_keys)
        await store.database.write(revoke_key, "bob")
        assert await store.database.read(any_keys)  # there has been one
        assert len(await store.database.read(list_keys)) == 3

    with_store(store_url, work)


def test_a_revoked_key_is_not_found(store_url: str) -> None:
    async def work(store: Store) -> None:
        secret, key = await store.database.write(create_key, "ada")
        await store.database.write(revoke_key, key.id)
        assert await store.database.read(find_key, hash_of(secret)) is None

    with_store(store_url, work)


@pytest.mark.parametrize(
    ("period", "spent", "running"),
    [
        ("month", {("month", JANUARY): 5, ("month", JANUARY - 31): 7, ("day", TODAY): 9}, 5),
        ("day", {("day", TODAY): 9, ("month", JANUARY): 5}, 9),
        ("day", {("day", TODAY - 1): 9}, None),
        ("month", {("month", JANUARY - 31): 7}, None),
        ("day", {("day", TODAY + 62): 8, ("day", TODAY): 9}, 8),  # opened by a clock that was ahead
        ("day", {("day", TODAY + 63): 8, ("day", TODAY): 9}, 9),  # too far to be believed
    ],
)
def test_the_spending_of_the_running_period(
    tmp_path: Any, period: Any, spent: dict[tuple[str, int], int], running: int | None
) -> None:
    async def work(store: Store) -> None:
        key = (await store.database.write(create_key, "ada", period=period))[1]
        other = (await store.database.write(create_key, "bob", period=period))[1]
        rows = [
            {"key_id": key.id, "period": kind, "day": day, "spent_nusd": nusd, "reserved_nusd": 1}
            for (kind, day), nusd in spent.items()
        ]
        await store.database.write(lambda connection: connection.execute(sa.insert(accounts), rows))
        stored = {one.key.id: one.spend for one in await store.database.read(list_keys, now=NOW)}
        assert stored[other.id] is None
        spend = stored[key.id]
        assert (None if spend is None else (spend.spent_nusd, spend.reserved_nusd)) == (
            None if running is None else (running, 1)
        )
        expected = [Spend(kind, day, nusd, 1) for (kind, day), nusd in spent.items()]  # type: ignore[arg-type]
        order = sorted(expected, key=lambda spend: (-spend.day, spend.period))
        assert await store.database.read(spend_of, key.id) == order

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_the_oldest_key_comes_first(tmp_path: Any) -> None:
    def made(connection: sa.Connection, name: str, at: int) -> None:
        key = create_key(connection, name)[1]
        connection.execute(sa.update(keys).where(keys.c.id == key.id).values(created_at=at))

    async def work(store: Store) -> None:
        for name, at in (("b", 20), ("c", 30), ("a", 10)):
            await store.database.write(made, name, at)
        assert [one.key.name for one in await store.database.read(list_keys)] == ["a", "b", "c"]

    with_store(f"sqlite:///{tmp_path}/x.db", work)

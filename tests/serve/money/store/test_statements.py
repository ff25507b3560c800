"""Counters: added to rows that are there, and to rows that are not."""

from equirouter.serve.money.store.schema import accounts
from equirouter.serve.money.store.statements import add_up, summed
from equirouter.serve.money.store.store import Store
from tests.serve.stores import rows, with_store


def test_rows_are_in_the_order_of_their_keys() -> None:
    assert summed(accounts, {("b", "day", 2): (1, 2), ("a", "day", 3): (3, 4)}) == [
        {"key_id": "a", "period": "day", "day": 3, "spent_nusd": 3, "reserved_nusd": 4},
        {"key_id": "b", "period": "day", "day": 2, "spent_nusd": 1, "reserved_nusd": 2},
    ]
    assert summed(accounts, {}) == []


def test_adding_makes_a_row_or_adds_to_all_its_columns(store_url: str) -> None:
    async def work(store: Store) -> None:
        for added in (
            {},
            {("a", "day", 1): (5, -1)},
            {("a", "day", 1): (2, 3), ("a", "day", 2): (9, 9)},
        ):
            await store.database.write(add_up, accounts, added)
        found = await store.database.read(rows, accounts)
        assert [(row["day"], row["spent_nusd"], row["reserved_nusd"]) for row in found] == [
            *((1, 7, 2), (2, 9, 9))
        ]

    with_store(store_url, work)

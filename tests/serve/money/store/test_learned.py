"""What exploration and shadow answers cost and taught, by hand."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from equirouter.serve.money.store.learned import Learned, learned_in
from equirouter.serve.money.store.schema import feedback, grades
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import DecidedBy
from tests.serve.stores import record, with_store

AT = 1_800_000_000.25


def test_what_was_learned_of_each_model(store_url: str) -> None:
    def made(request_id: str, decided_by: DecidedBy, model: str, cost: int) -> Any:
        one = record(request_id, served_model=model, cost_nusd=cost)
        assert one.plan is not None
        one.plan = replace(one.plan, decided_by=decided_by)
        return one

    def said(connection: sa.Connection) -> None:
        at = round(AT * 1e6)
        for table, request_id, score, more in (
            (feedback, "1", 1.0, {"given_at_us": at, "model": "large"}),
            (feedback, "4", 0.0, {"given_at_us": at, "model": "small"}),
            (grades, "2", 0.5, {"claimed_at_us": at, "by": "judge"}),
            (grades, "3", None, {"claimed_at_us": at}),
        ):
            row = {"request_id": request_id, "at_us": at, "score": score, **more}
            connection.execute(sa.insert(table).values(row))

    async def work(store: Store) -> list[Learned]:
        for one in (
            made("1", "explore", "large", 700),
            made("2", "shadow", "large", 300),
            made("3", "shadow", "small", 20),
            made("4", "policy", "small", 9),
        ):
            store.writer.log(one)
        await store.writer.flush()
        await store.database.write(said)
        assert await store.database.read(learned_in, AT - 7200, AT - 3600) == []
        return await store.database.read(learned_in, AT - 3600, AT + 3600)

    assert with_store(store_url, work) == [
        Learned("large", 1, 1, 700, 300, 2, 0.75),
        Learned("small", 0, 1, 0, 20),
    ]

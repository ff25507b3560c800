"""What exploration and shadow answers cost and taught, by hand."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from equirouter.serve.money.store.learned import Learned, Learning, learned_in
from equirouter.serve.money.store.schema import feedback, grades
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import DecidedBy
from tests.serve.stores import record, with_store

AT = 1_800_000_000.25


def made(request_id: str, decided_by: DecidedBy, model: str, cost: int, **plan: Any) -> Any:
    """A request of which the router had predicted 0.7 for small and 0.9 for large."""
    one = record(request_id, served_model=model, cost_nusd=cost)
    assert one.plan is not None
    one.plan = replace(one.plan, decided_by=decided_by, **plan)
    return one


def said(connection: sa.Connection, *, users: dict[str, float], graders: dict[str, Any]) -> None:
    at = round(AT * 1e6)
    for table, scores, more in (
        (feedback, users, {"given_at_us": at, "model": "large"}),
        (grades, graders, {"claimed_at_us": at}),
    ):
        for request_id, score in scores.items():
            row = {"request_id": request_id, "at_us": at, "score": score, **more}
            connection.execute(sa.insert(table).values(row))


def test_what_was_learned_of_each_model(store_url: str) -> None:
    behind: dict[str, Any] = {"scores": {}}
    requests = (
        made("1", "explore", "large", 700),
        made("2", "policy", "small", 9),
        made("3", "shadow", "large", 300, shadow_of="2", **behind),
        made("4", "policy", "small", 9),  # its shadow has no score: it is not complete
        made("5", "shadow", "large", 300, shadow_of="4", **behind),
        made("6", "router_failure", "small", 9, **behind),  # nobody knows whom it could go to
        made("7", "shadow", "large", 20, shadow_of="6", candidates=(), **behind),
        made("8", "policy", "small", 9),
    )
    users = {"1": 1.0, "8": 0.0}
    graders = {"2": 0.0, "3": 0.5, "4": 1.0, "5": None, "6": 1.0, "7": 0.0}

    async def work(store: Store) -> Learning:
        for one in requests:
            store.writer.log(one)
        await store.writer.flush()
        await store.database.write(lambda c: said(c, users=users, graders=graders))
        assert await store.database.read(learned_in, AT - 7200, AT - 3600) == Learning([])
        return await store.database.read(learned_in, AT - 3600, AT + 3600)

    found = with_store(store_url, work)
    assert found == Learning([Learned("large", 1, 3, 700, 620, 3, 0.5, 0.9)], queries=3, complete=1)
    (large,) = found.document()["models"]
    assert (large["cost_usd"], large["mean"], large["predicted"]) == (1.32e-6, 0.5, 0.9)

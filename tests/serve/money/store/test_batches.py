"""Batches: a request is logged and added up once."""

from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tables import counts, log, sums, texts
from tests.serve.stores import record, rows, with_store


def test_a_request_is_logged_and_added_up(store_url: str) -> None:
    async def work(store: Store) -> None:
        store.log(record("a", prompt="what\0?", answer="thät"))
        store.log(record("b", served_model=None, cost_nusd=None, status=502, error="nobody"))
        await store.flush()
        logged = await store.database.read(rows, log)
        assert [row["request_id"] for row in logged] == ["a", "b"]
        first = logged[0]
        assert first["at_us"] == 1_800_000_000_250_000
        assert (first["served_model"], first["cost_nusd"], first["predicted_nusd"]) == (
            "small",
            250,
            200,
        )
        assert (first["decision_us"], first["total_us"], first["n_attempts"]) == (500, 14_000, 1)
        assert first["value"] == 0.98
        assert not first["stream"]
        (told,) = await store.database.read(rows, texts)
        assert (told["prompt"], told["answer"]) == ("what\ufffd?", "thät")
        added = [row for row in await store.database.read(rows, sums) if row["step"] == 60]
        assert {
            (row["model"], row["requests"], row["errors"], row["cost_nusd"]) for row in added
        } == {
            ("small", 1, 0, 250),
            ("", 1, 1, 0),
        }
        assert {row["start"] for row in added} == {1_800_000_000 - 1_800_000_000 % 60}
        counted = [row for row in await store.database.read(rows, counts) if row["step"] == 1800]
        assert {(row["kind"], row["name"], row["n"]) for row in counted} == {
            ("status", "200", 1),
            ("status", "502", 1),
            ("call", '["here","small","ok"]', 2),
        }

    with_store(store_url, work)

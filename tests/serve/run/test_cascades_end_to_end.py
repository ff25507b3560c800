"""Cascades with all parts real: a pipeline with plans, keys with budgets, ledger and log."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from equirouter.evaluation.train import train
from equirouter.policy.plans import Plans
from equirouter.policy.pool_plans import AgreementRule, PoolPlans
from equirouter.serve.money.log_export import export_log
from equirouter.serve.money.store.schema import accounts, feedback, log, reservations
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Attempt, CallRole, Pair, Plan, RequestRecord
from tests.pipeline.test_stored_plans import measured
from tests.policy.plans_by_hand import by_signal
from tests.serve import fake_upstream as fake
from tests.serve.assembled import Assembled, assembled
from tests.serve.http.test_cascade import saying
from tests.serve.pipelines import GatedEncoder
from tests.serve.stores import record, with_store
from tests.toys import HashingEncoder, make_table

AUTO = "equirouter/auto"
NAMES = {"small": "a", "middle": "b", "large": "c"}  # of the pipeline, and of their upstreams
# 1,000 nano-USD a token of prompt, 2,000 of the answer, of the large one ten times as much
COST = {"small": 20_000 + 10 * 2000, "middle": 20_000 + 20 * 2000, "large": 200_000 + 30 * 20_000}
BOTH, ALL = COST["small"] + COST["middle"], sum(COST.values())
PRICE = {"input": 1.0, "output": 2.0}
LARGE_PRICE = {"input": 10.0, "output": 20.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    GatedEncoder.gate.set()
    made = train(make_table(), GatedEncoder(), router="knn:k=5", quality=0.2, policy="utility")
    rule = PoolPlans("number@1", Plans(3), AgreementRule((0, 1), 2, 0.4))
    return replace(made, plans=rule).save(tmp_path_factory.mktemp("pipeline"))


@asynccontextmanager
async def cascading(
    folder: Path,
    store: Path,
    says: dict[str, str],
    *,
    more: dict[str, Any] | None = None,
    **sections: Any,
) -> AsyncIterator[Assembled]:
    models: dict[str, Any] = {
        name: {"upstream": place, "price": PRICE} for name, place in NAMES.items()
    }
    models["large"]["price"] = LARGE_PRICE
    models |= more or {}
    on = {"enabled": True, "audit_share": 0.0, **sections.pop("cascade", {})}
    async with assembled(
        store, models=models, pipeline={"path": folder}, cascade=on, **sections
    ) as here:
        for name, place in NAMES.items():
            here.upstream.answers(name, saying(place, says[name]))
        yield here


def chat(here: Assembled, key: str | None, text: str = "easy task1 query", **body: Any) -> Any:
    message = [{"role": "user", "content": text}]
    return here.chat(key=key, model=AUTO, messages=message, max_tokens=100, **body)


def reading(here: Assembled, statement: Any) -> Any:
    engine = sa.create_engine(here.gateway.settings.store.url)
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(statement).mappings()]
    engine.dispose()
    return found


async def written(here: Assembled, n: int) -> list[dict[str, Any]]:
    """The first n requests of the log, once they are there."""
    async with asyncio.timeout(20):
        while len(rows := reading(here, sa.select(log).order_by(log.c.id))) < n:
            await asyncio.sleep(0.01)
    return list(rows)


AGREE = {"small": "7", "middle": "It is 7", "large": "7"}
DIFFER = {"small": "7", "middle": "It is 8", "large": "9"}


def test_ledger_log_and_header_agree_to_the_nano_usd(folder: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with cascading(folder, tmp_path, DIFFER) as here:
            admin = await here.new_key(is_admin=True)
            key = await here.new_key(by=admin, budget_usd=1.0)
            for stream in (False, True):
                status, _ = await chat(here, key, stream=stream)
                assert status == 200
            here.upstream.answers("middle", saying("b", "7"))
            assert (await chat(here, key))[0] == 200
            rows = await written(here, 3)
            assert [row["cost_nusd"] for row in rows] == [ALL, ALL, BOTH]
            assert [row["served_model"] for row in rows] == ["large", "large", "small"]
            assert {row["decided_by"] for row in rows} == {"cascade"}
            assert [row["strongest_nusd"] for row in rows] == [
                COST["large"],
                COST["large"],
                200_000 + 10 * 20_000,  # the tokens of the small one's answer
            ]
            [account] = [row for row in reading(here, sa.select(accounts)) if row["spent_nusd"]]
            assert (account["spent_nusd"], account["reserved_nusd"]) == (2 * ALL + BOTH, 0)
            assert not reading(here, sa.select(reservations))
            _, summary = await here.ask("GET", "/admin/summary", key=admin, params={"period": "1h"})
            assert summary["cascades"]["ended"] == {"accepted": 1, "escalated": 2}
            assert summary["cascades"]["cost_usd"] == pytest.approx((2 * ALL + BOTH) / 1e9)

    asyncio.run(run())


def test_all_that_a_running_third_call_may_cost_is_reserved_durably(
    folder: Path, tmp_path: Path
) -> None:
    """So that a process that is killed there is charged no less than it may have spent."""

    async def run() -> None:
        async with cascading(folder, tmp_path, DIFFER) as here:
            key = await here.new_key(is_admin=True, budget_usd=1.0)
            until = asyncio.Event()
            here.upstream.answers("large", fake.silent(until))
            here.upstream.answers("middle", fake.silent(until))
            waiting = asyncio.ensure_future(chat(here, key))
            bound = await _reserved(here, 2) // 2
            prompt = (bound - 100 * 2000) // 1000  # tokens, counted on the safe side
            here.upstream.answers("middle", saying("b", "8"))
            until.set()
            await waiting
            until.clear()
            here.upstream.answers("large", fake.silent(until))
            waiting = asyncio.ensure_future(chat(here, key))
            assert await _reserved(here, 3) == BOTH + prompt * 10_000 + 100 * 20_000
            until.set()
            await waiting

    asyncio.run(run())


async def _reserved(here: Assembled, calls: int) -> int:
    """What is reserved when so many calls of the request are under way."""
    seen = len(here.upstream.seen)
    async with asyncio.timeout(20):
        while len(here.upstream.seen) < seen + calls:
            await asyncio.sleep(0.005)
    return sum(int(row["amount_nusd"]) for row in reading(here, sa.select(reservations)))


def test_a_key_that_cannot_pay_the_third_gets_the_cheap_answer(
    folder: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with cascading(folder, tmp_path, DIFFER) as here:
            admin = await here.new_key(is_admin=True)
            key = await here.new_key(by=admin, budget_usd=0.001)  # below the bound of the third
            message = [{"role": "user", "content": "easy task1 query"}]
            body = {"model": AUTO, "messages": message, "max_tokens": 100}
            headers = {"Authorization": f"Bearer {key}"}
            for n in range(1, 3):
                async with here.http.post(
                    "/v1/chat/completions", json=body, headers=headers
                ) as response:
                    assert response.status == 200
                    said = response.headers["x-equirouter-cascade"]
                assert said == "small,middle; disagree; large over budget"
                rows = await written(here, n)
                assert [row["cost_nusd"] for row in rows] == [BOTH] * n
            [account] = [row for row in reading(here, sa.select(accounts)) if row["spent_nusd"]]
            assert (account["spent_nusd"], account["reserved_nusd"]) == (2 * BOTH, 0)

    asyncio.run(run())


def test_the_exported_log_is_a_table_with_several_models_per_query(
    folder: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        on = {"audit_share": 1.0}
        async with cascading(folder, tmp_path, AGREE, cascade=on, log={"log_texts": True}) as here:
            for n in range(3):
                status, _ = await chat(here, None, f"easy task1 query {n}")
                assert status == 200
            rows = await written(here, 3)
            said = {"request_id": rows[0]["request_id"], "score": 1.0}
            assert (await here.ask("POST", "/v1/feedback", json=said))[0] == 200
            engine = sa.create_engine(here.gateway.settings.store.url)
            with engine.connect() as connection:
                table = export_log(connection, unrated=True).table
            engine.dispose()
            assert table.models == ("large", "middle", "small")
            assert table.answers is not None
            assert table.answers_by == "number@1"
            assert table.answers.to_lists() == [["7", "7", "7"]] * 3
            # of equal answers all are as good
            np.testing.assert_array_equal(table.performance[0], [1.0, 1.0, 1.0])
            np.testing.assert_allclose(
                np.asarray(table.cost_usd[0]) * 1e9,
                [float(COST[name]) for name in ("large", "middle", "small")],
            )
            assert json.loads(rows[0]["attempts"])[2][8] == "audit"

    asyncio.run(run())


def test_plans_are_trained_on_an_exported_log(tmp_path: Path) -> None:
    """Audited pairs that agree, with feedback: what all three said is known to be right or not."""
    table = make_table()
    right = {"small": 0.6, "middle": 0.7, "large": 0.9}
    rng = np.random.default_rng(0)

    roles: tuple[tuple[str, CallRole], ...] = (
        ("small", "first"),
        ("middle", "first"),
        ("large", "audit"),
    )

    def logged(n: int) -> RequestRecord:
        is_right = bool(rng.random() < right["middle"])
        calls = [
            Attempt(
                *(model, "here", "ok", 200, 5.0), cost_nusd=COST[model], role=role,
                input_tokens=20, output_tokens=10, answer_id=1, answer=str(n),
            )
            for model, role in roles
        ]  # fmt: skip
        plan = replace(
            record().plan or Plan((), "cascade"),
            pair=Pair(("small", "middle"), 1e-6, 0.4, False, "number@1"),
        )
        text = f"{table.texts[n % len(table)]} number {n}"
        made = record(
            str(n), plan=plan, attempts=calls, served_model="small", cost_nusd=ALL,
            prompt=json.dumps([{"role": "user", "content": text}]), charged_by="usage",
        )  # fmt: skip
        scores[made.request_id] = float(is_right)
        return made

    scores: dict[str, float] = {}

    async def work(store: Store) -> Any:
        for n in range(450):
            store.writer.log(logged(n))
        await store.writer.flush()
        for request_id, score in scores.items():
            await store.database.write(_rate, request_id, score)
        return (await store.database.read(export_log)).table

    exported = with_store(f"sqlite:///{tmp_path}/x.db", work)
    assert exported.is_complete.all()
    made = train(exported, HashingEncoder(), router="knn:k=5", quality=0.9, resamples=0)
    # those who always say the same are as good, and the cheapest alone is enough: no plan gains
    assert made.plans is None
    assert "plans" in made.provenance.test_metrics


def _rate(connection: sa.Connection, request_id: str, score: float) -> None:
    row = {"request_id": request_id, "at_us": 0, "given_at_us": 0, "score": score}
    connection.execute(sa.insert(feedback).values(row))


def judged(folder: Path) -> Path:
    """A pipeline whose plans learned with a judge."""
    GatedEncoder.gate.set()
    made = train(make_table(), GatedEncoder(), router="knn:k=5", quality=0.2, policy="utility")
    learned = by_signal("judge")
    plans = replace(measured("learned"), extractor="exact@1", learned=learned, rule=None)
    return replace(made, plans=plans).save(folder / "judged")


def test_judges_of_both_replies_are_reserved_charged_and_left_out_of_the_exported_table(
    tmp_path: Path,
) -> None:
    folder = judged(tmp_path)
    told = {"small": "Blue.", "middle": "Blue.", "large": "Blue, as it scatters."}

    async def run() -> None:
        # the strongest costs some .0001 USD a call in the table
        price = {"input": 0.001, "output": 0.002}
        judge = {"upstream": "a", "price": price, "max_output_tokens": 16}
        sections = {"log": {"log_texts": True}, "cascade": {"judge": "judge", "enabled": True}}
        async with cascading(folder, tmp_path, told, more={"judge": judge}, **sections) as here:
            admin = await here.new_key(is_admin=True)
            key = await here.new_key(by=admin, budget_usd=1.0)
            marked = fake.document(fake.completion("10", usage=fake.USAGE))
            here.upstream.answers("judge", marked)
            control = {"lambda": 10_000.0}  # .95 less the price of the large one
            assert (await chat(here, key, equirouter=control))[0] == 200
            [row] = await written(here, 1)
            each = 20 * 1 + 10 * 2
            assert row["cost_nusd"] == BOTH + 2 * each
            attempts = [Attempt(*one) for one in json.loads(row["attempts"])]
            assert [(one.model, one.cost_nusd) for one in attempts if one.role == "check"] == [
                ("judge", each)
            ] * 2
            [account] = [one for one in reading(here, sa.select(accounts)) if one["spent_nusd"]]
            assert (account["spent_nusd"], account["reserved_nusd"]) == (BOTH + 2 * each, 0)
            rated = {"request_id": row["request_id"], "score": 1.0}
            assert (await here.ask("POST", "/v1/feedback", key=key, json=rated))[0] == 200
            engine = sa.create_engine(here.gateway.settings.store.url)
            with engine.connect() as connection:
                table = export_log(connection).table
            engine.dispose()
            assert table.models == ("middle", "small")
            judged = {
                name: values.tolist()
                for name, values in table.signals.items()
                if not name.startswith("user.")
            }
            assert judged == {"judge": [[1.0, 1.0]], "judge.cost_usd": [[each / 1e9] * 2]}
            assert table.cost_usd.tolist() == [[COST["middle"] / 1e9, COST["small"] / 1e9]]

    asyncio.run(run())


def test_a_pipeline_that_learned_with_a_check_that_is_not_here_says_so_when_it_is_taken(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with cascading(folder, tmp_path, AGREE) as here:
            assert "no check gives here" not in caplog.text
            await here.gateway.planner.reload(judged(tmp_path), force=True)
            assert "learned with signals that no check gives here: judge" in caplog.text

    asyncio.run(run())

"""Shadow answers scored by themselves: through a gateway, into its log, out as complete rows."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import ConfigError
from equirouter.labelling import log_scoring
from equirouter.labelling.log_scoring import LogScored, score_log
from equirouter.serve.money.log_export import Exported, export_log
from equirouter.serve.money.store.schema import day_spending, grades
from equirouter.serve.money.store.store import Store, connected
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.settings_file import read_settings
from tests.cli.invoke import invoke_process
from tests.serve import fake_upstream as fake
from tests.serve.stores import record

LATER = 1_800_000_100.0
"""A minute and a half after all requests."""

CONFIG = """
[upstreams.a]
base_url = "{url}"
[models.small]
upstream = "a"
price = {{ input = 1.0, output = 1.0 }}
[models.large]
upstream = "a"
price = {{ input = 10.0, output = 10.0 }}
[models.judge]
upstream = "a"
price = {{ input = 1000.0, output = 1000.0 }}
[log]
log_texts = true
[shadow]
share = 1.0
score = ["{grader}"]
limit_usd_per_day = {limit}
"""
ANSWERS = {"small": ("no idea", "RIGHT 7"), "large": ("RIGHT 4", "RIGHT 7")}


def configured(
    folder: Path, grader: str, *, url: str = "http://127.0.0.1:1/v1", limit: float = 1.0
) -> Path:
    path = folder / "gateway.toml"
    path.write_text(CONFIG.format(url=url, grader=grader, limit=limit))
    return path


def logged(settings: GatewaySettings, at: float = LATER - 90) -> None:
    """Two requests that small answered, and large behind it; and one without a shadow."""

    async def work() -> None:
        store = await Store.open(settings.store)
        for number in range(3):
            prompt = json.dumps([{"role": "user", "content": f"question {number}"}])
            for model, answers in ANSWERS.items():
                if number == 2 and model == "large":
                    continue
                name = f"{model}-{number}"
                one = record(name, prompt=prompt, served_model=model, answer=answers[number % 2])
                one.started_at = at
                if model == "large":
                    assert one.plan is not None
                    one.plan = replace(one.plan, decided_by="shadow", shadow_of=f"small-{number}")
                store.writer.log(one)
        await store.close()

    asyncio.run(work())


def asked(settings: GatewaySettings, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with connected(settings.store) as database:
            return await work(database)

    return asyncio.run(run())


def exported(settings: GatewaySettings) -> Exported:
    found: Exported = asked(settings, lambda database: database.read(export_log))
    return found


def spent_nusd(settings: GatewaySettings) -> int | None:
    def read(connection: sa.Connection) -> int | None:
        return connection.execute(sa.select(day_spending.c.spent_nusd)).scalar()

    found: int | None = asked(settings, lambda database: database.read(read))
    return found


def with_answers(folder: Path) -> tuple[Path, GatewaySettings]:
    """A gateway whose log has answers that a grader without a model can score."""
    config = configured(folder, "regex:pattern=^RIGHT")
    settings = read_settings(config)
    logged(settings)
    return config, settings


def test_answers_to_one_query_get_scores_once(tmp_path: Path) -> None:
    config, settings = with_answers(tmp_path)
    assert score_log(config, settings, now=1_800_000_010.0) == LogScored()  # may still be coming
    found = score_log(config, settings, now=LATER)
    assert (found.answers, found.scored, found.spent_usd) == (4, 4, 0.0)
    assert score_log(config, settings, now=LATER) == LogScored()
    table = exported(settings).table
    assert (table.texts, table.models) == (("question 0", "question 1"), ("large", "small"))
    assert table.performance.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert table.is_complete.all()
    assert table.scored_by is not None
    assert table.scored_by.to_lists() == [["regex", "regex"]] * 2


def test_the_store_can_be_written_while_answers_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, settings = with_answers(tmp_path)
    looks: list[int] = []

    def looked(connection: sa.Connection, now: float) -> Any:
        path = connection.engine.url.database
        with closing(sqlite3.connect(str(path), timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # raises where a transaction holds the lock
            found = waiting(connection, now)
        looks.append(len(found))
        return found

    waiting = log_scoring._waiting
    monkeypatch.setattr(log_scoring, "_waiting", looked)
    assert score_log(config, settings, now=LATER).scored == looks[0] == 4


def test_an_answer_that_another_process_claims_meanwhile_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, settings = with_answers(tmp_path)
    looked_for = log_scoring._waiting
    ran: list[int] = []

    def looked(connection: sa.Connection, now: float) -> Any:
        found = looked_for(connection, now)
        if not ran:  # the other process looks, claims and scores between our look and our claim
            ran.append(len(found))
            with ThreadPoolExecutor(1) as other:
                ran.append(other.submit(score_log, config, settings, now=now).result().scored)
        return found

    monkeypatch.setattr(log_scoring, "_waiting", looked)
    assert score_log(config, settings, now=LATER) == LogScored()
    assert ran == [4, 4]


def test_answers_to_one_query_are_claimed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, settings = with_answers(tmp_path)
    claim, claims = log_scoring._claimed, []

    def claimed(connection: sa.Connection, found: Any, now: float) -> Any:
        claims.append([answer.request_id for answer in found])
        return claim(connection, found, now)

    monkeypatch.setattr(log_scoring, "_claimed", claimed)
    monkeypatch.setattr(log_scoring, "_IN_ONE_TRANSACTION", 1)
    assert score_log(config, settings, now=LATER).scored == 4
    assert claims == [["small-0", "large-0"], ["small-1", "large-1"]]


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    config = configured(tmp_path, "regex:pattern=^RIGHT")
    logged(read_settings(config), time.time() - 90)
    ran = invoke_process("log", "score", str(config))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "4 of 4 answers have a score now, for 0.000000 USD\n"
    document = json.loads(invoke_process("log", "score", str(config), "--json").out)
    assert (document["answers"], document["stopped"]) == (0, None)
    (tmp_path / "gateway.toml").write_text(config.read_text().replace("regex:", "nothing:"))
    ran = invoke_process("log", "score", str(config))
    assert ran.code == 2
    assert "nothing" in ran.err


def judged(folder: Path, limit: float, said: str = "Score: 7") -> tuple[LogScored, GatewaySettings]:
    """A run with a model as the judge, and how often it was asked."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}

    async def run() -> tuple[LogScored, GatewaySettings]:
        async with fake.fake_upstream() as upstream:
            upstream.answers("judge", fake.document(fake.completion(said, usage=usage)))
            config = configured(folder, "judge:model=judge", url=upstream.url, limit=limit)
            settings = read_settings(config)
            await asyncio.to_thread(logged, settings)
            found = await asyncio.to_thread(score_log, config, settings, now=LATER)
            return found, settings

    return asyncio.run(run())


def test_a_judge_is_paid_out_of_the_money_of_the_day(tmp_path: Path) -> None:
    found, settings = judged(tmp_path, 100.0)
    # 110 tokens at 1000 USD per million: 0.11 USD a verdict; the two answers "RIGHT 7" are one
    assert (found.answers, found.scored) == (4, 4)
    assert found.spent_usd == pytest.approx(0.33)
    assert spent_nusd(settings) == 330_000_000
    table = exported(settings).table
    assert set(table.performance.ravel()) == {0.7}
    assert table.scored_by is not None
    assert table.scored_by.to_lists()[0] == ["judge:judge", "judge:judge"]


def test_answers_wait_where_the_money_is_used_up(tmp_path: Path) -> None:
    found, settings = judged(tmp_path, 0.001)
    assert (found.answers, found.scored, found.spent_usd) == (4, 0, 0.0)
    assert found.stopped is not None
    assert spent_nusd(settings) == 0
    left = asked(settings, lambda database: database.read(_n_grades))
    assert left == 0


def test_a_judge_that_says_nothing_is_not_paid_again(tmp_path: Path) -> None:
    found, settings = judged(tmp_path, 100.0, said="I would rather not say")
    assert (found.answers, found.scored) == (4, 0)
    assert found.spent_usd > 0
    assert asked(settings, lambda database: database.read(_n_grades)) == 4


def _n_grades(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(grades)).scalar_one())


def test_what_a_killed_process_had_claimed_is_scored_after_an_hour(tmp_path: Path) -> None:
    config, settings = with_answers(tmp_path)

    def claim(connection: sa.Connection) -> None:
        for name in ("small-0", "large-0"):
            row = {"request_id": name, "at_us": 1_800_000_000_000_000}
            row["claimed_at_us"] = round(LATER * 1e6)
            connection.execute(sa.insert(grades).values(row))

    asked(settings, lambda database: database.write(claim))
    assert score_log(config, settings, now=LATER + 60).answers == 2
    assert score_log(config, settings, now=LATER + 3700).answers == 2


def test_without_a_grader_nothing_is_scored(tmp_path: Path) -> None:
    config = configured(tmp_path, "x")
    config.write_text(config.read_text().replace('score = ["x"]', ""))
    with pytest.raises(ConfigError, match="names no grader"):
        score_log(config, read_settings(config), now=time.time())

"""`log export`: from the gateway's log to a pipeline that is trained on it."""

import asyncio
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from equirouter.data.outcomes import Outcomes
from equirouter.data.tables import read_table
from equirouter.serve.money.feedback import Feedback
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import RequestRecord, Tokens, UserFeedback, nusd
from equirouter.serve.settings_file import read_settings
from tests.cli.invoke import invoke
from tests.serve.stores import record
from tests.toys import make_table

CONFIG = """
[upstreams.a]
base_url = "http://127.0.0.1:1/v1"
[models.small]
upstream = "a"
[models.middle]
upstream = "a"
[models.large]
upstream = "a"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    return path


def keep(config: Path, requests: Iterable[tuple[RequestRecord, float | None]]) -> None:
    """Log requests, some with a score."""

    async def work() -> None:
        store = await Store.open(read_settings(config).store)
        said = []
        for one, score in requests:
            store.writer.log(one)
            if score is not None:
                said.append(UserFeedback(one.request_id, score))
        await store.writer.flush()
        for words in said:
            await Feedback(store).give(None, words)
        await store.close()

    asyncio.run(work())


def prompt(text: str) -> str:
    return json.dumps(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Earlier."},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": [{"type": "text", "text": text}]},
        ]
    )


def simulated(table: Outcomes) -> Iterable[tuple[RequestRecord, float | None]]:
    """Every known cell of a table as a request that a client rated."""
    for i, text in enumerate(table.texts):
        for k, model in enumerate(table.models):
            if np.isfinite(table.cost_usd[i, k]):
                yield (
                    record(
                        f"r{i}-{model}",
                        served_model=model,
                        prompt=prompt(text),
                        cost_nusd=nusd(float(table.cost_usd[i, k])),
                        tokens=Tokens(10 + i, 20 + k),
                    ),
                    float(table.performance[i, k]),
                )


def test_a_log_becomes_a_table_that_a_pipeline_is_trained_on(config: Path, tmp_path: Path) -> None:
    table = make_table()
    keep(config, simulated(table))
    out = tmp_path / "log.parquet"
    ran = invoke("log", "export", config, out)
    assert (ran.code, ran.err) == (0, ""), ran.err
    assert ran.out == f"{out}: 120 queries, 3 models, from 356 requests\n"

    found = read_table(out)
    assert found.texts == table.texts
    order = [found.models.index(model) for model in table.models]
    known = np.isfinite(table.cost_usd)
    assert np.array_equal(found.performance[:, order][known], table.performance[known])
    assert np.allclose(found.cost_usd[:, order], table.cost_usd, atol=1e-9, equal_nan=True)
    assert found.tokens is not None
    assert found.tokens[0][5, order[0]] == 15

    trained = invoke("train", out, "--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3",
                     "--out", tmp_path / "pipeline")  # fmt: skip
    assert trained.code == 0, trained.err


def test_what_only_reads_is_in_no_gateways_way(config: Path, tmp_path: Path) -> None:
    keep(config, [(record("1", served_model="small", prompt=prompt("why?"), cost_nusd=5), 1.0)])
    assert invoke("keys", "create", config, "--name", "k").code == 0
    gateway = sqlite3.connect(tmp_path / "equirouter-gateway.db", isolation_level=None)
    gateway.execute("BEGIN IMMEDIATE")  # it serves, and writes just now
    for command in (
        ("log", "export", config, tmp_path / "log.csv"),
        ("keys", "list", config),
        ("keys", "show-spend", config, "k"),
    ):
        ran = invoke(*command)
        assert ran.code == 0, ran.err
    gateway.close()


def test_requests_of_one_text_and_model_are_averaged(config: Path, tmp_path: Path) -> None:
    def asked(i: int, model: str, cost: int) -> RequestRecord:
        return record(f"{i}", served_model=model, prompt=prompt("why?"), cost_nusd=cost)

    keep(
        config,
        [
            (asked(0, "small", 1000), 0.0),
            (asked(1, "small", 3000), 1.0),
            (asked(2, "small", 8000), None),
            (asked(3, "large", 50_000), 1.0),
            (record("4", prompt=None), 1.0),
            (record("5", served_model=None, status=502), None),
        ],
    )
    out = tmp_path / "log.jsonl"
    ran = invoke("log", "export", config, out, "--json")
    assert json.loads(ran.out) == {
        "written": str(out),
        "n_queries": 1,
        "n_models": 2,
        "n_complete": 1,
        "n_explored": 0,
        "requests": 3,
        "rated": 4,
        "unrated": 1,
        "without_text": 1,
    }
    table = read_table(out)
    assert table.texts == ("why?",)
    small = table.models.index("small")
    assert (table.performance[0, small], table.cost_usd[0, small]) == (0.5, 2e-6)

    said = invoke("log", "export", config, out).err
    assert "1 request was left out: logged without texts" in said
    assert "1 request was left out: nobody gave feedback" in said
    assert "1 query has an outcome of every model; a promise of quality 0.98 needs 95" in said

    invoke("log", "export", config, out, "--unrated", "--scope", "first_user")
    table = read_table(out)
    assert table.texts == ("Earlier.",)
    assert table.cost_usd[0, table.models.index("small")] == pytest.approx(4e-6)


def test_a_period_is_exported(config: Path, tmp_path: Path) -> None:
    keep(
        config,
        [
            (
                record(
                    f"{day}", started_at=1_800_000_000.0 + day * 86_400, prompt=prompt(f"{day}")
                ),
                1,
            )
            for day in range(4)  # 1_800_000_000 is 2027-01-15T08:00
        ],
    )
    out = tmp_path / "log.csv"
    period = ["--since", "2027-01-16", "--until", "2027-01-17T08:00:00Z"]
    assert invoke("log", "export", config, out, *period).code == 0
    assert read_table(out).texts == ("1",)
    ran = invoke("log", "export", config, out, "--since", "yesterday")
    assert ran.code == 2
    assert "expected a date such as" in ran.err


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        ([], "no request was answered"),
        ([(record("a", prompt=prompt("x")), None)], "none of the 1 answered requests has feedback"),
        ([(record("a", prompt=None), 1.0)], "Set log_texts = true"),
    ],
)
def test_nothing_to_export_says_what_is_missing(
    config: Path, tmp_path: Path, requests: list[tuple[RequestRecord, float | None]], says: str
) -> None:
    keep(config, requests)
    ran = invoke("log", "export", config, tmp_path / "log.csv")
    assert ran.code == 2
    assert says in ran.err
    assert not (tmp_path / "log.csv").exists()

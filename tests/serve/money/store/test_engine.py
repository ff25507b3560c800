"""Databases: opening one, and URLs that name none."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from equirouter.errors import ConfigError
from equirouter.serve.money.store.engine import Database
from equirouter.serve.settings import read_settings
from tests.serve.stores import with_store


def _mode(connection: sa.Connection) -> str:
    return str(connection.execute(sa.text("PRAGMA journal_mode")).scalar())


def test_a_new_file_to_which_another_worker_writes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    first.execute("CREATE TABLE t (x INTEGER)")
    first.execute("BEGIN IMMEDIATE")  # in it SQLite refuses WAL mode at once
    waited: list[float] = []

    def written(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            first.execute("COMMIT")

    monkeypatch.setattr("equirouter.serve.money.store.engine.time.sleep", written)

    async def run() -> None:
        database = Database(f"sqlite:///{tmp_path / 'new.db'}")
        assert await database.read(_mode) == "wal"
        await database.close()

    asyncio.run(run())
    first.close()
    assert len(waited) == 2


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "not a URL"),
        ("mysql://host/db", "begins with mysql"),
        ("sqlite://", "names no file"),
        ("sqlite:////no/such/folder/x.db", "cannot be opened"),
        ("postgresql://someone:secret@127.0.0.1:1/x", r"someone:\*\*\*@127.*cannot be opened"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        with_store(url, lambda store: store.flush())


def test_a_sqlite_file_lies_beside_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    lines = '[upstreams.a]\nbase_url = "http://h/v1"\n[models.m]\nupstream = "a"\n'
    config.write_text(lines)
    assert read_settings(config).store.url == f"sqlite:///{tmp_path}/equirouter-gateway.db"
    config.write_text(lines + '[store]\nurl = "sqlite:////var/x.db"\n')
    assert read_settings(config).store.url == "sqlite:////var/x.db"

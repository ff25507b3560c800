"""Databases: opening one, and URLs that name none."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from equirouter.errors import ConfigError, StoreGoneError
from equirouter.serve.money.store.engine import Database, Durability, is_gone, said_gone
from equirouter.serve.settings_file import read_settings
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
        (
            "sqlite:////no/such/folder/x.db",
            "/no/such/folder does not exist, or this user may not write it",
        ),
        ("postgresql://someone:secret@127.0.0.1:1/x", r"someone:\*\*\*@127.*cannot be opened"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        with_store(url, lambda store: store.writer.flush())


def test_a_sqlite_file_lies_beside_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    lines = '[upstreams.a]\nbase_url = "http://h/v1"\n[models.m]\nupstream = "a"\n'
    config.write_text(lines)
    assert read_settings(config).store.url == f"sqlite:///{tmp_path}/equirouter-gateway.db"
    config.write_text(lines + '[store]\nurl = "sqlite:////var/x.db"\n')
    assert read_settings(config).store.url == "sqlite:////var/x.db"


class LostError(Exception):
    """An error of PostgreSQL's driver."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def coded(code: int) -> sqlite3.Error:
    error = sqlite3.DatabaseError("x")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (OSError("no route"), True),
        (TimeoutError(), True),
        (sqlite3.OperationalError("disk I/O error"), True),
        (coded(sqlite3.SQLITE_CORRUPT), True),
        (coded(sqlite3.SQLITE_NOTADB), True),
        (coded(sqlite3.SQLITE_MISMATCH), False),
        (ValueError("a bug"), False),
        (sqlite3.IntegrityError("twice"), False),
        (OperationalError("SELECT", {}, Exception()), True),
        (InterfaceError("SELECT", {}, Exception()), True),
        (DBAPIError("SELECT", {}, Exception(), connection_invalidated=True), True),
        (DBAPIError("SELECT", {}, coded(sqlite3.SQLITE_CORRUPT)), True),
        (DBAPIError("SELECT", {}, coded(sqlite3.SQLITE_MISMATCH)), False),
        (DBAPIError("SELECT", {}, LostError("08006")), True),
        (DBAPIError("SELECT", {}, LostError("53100")), True),
        (DBAPIError("SELECT", {}, LostError("57P01")), True),
        (DBAPIError("SELECT", {}, LostError("58030")), True),
        (DBAPIError("SELECT", {}, LostError("23505")), False),
        (DBAPIError("SELECT", {}, Exception()), False),
    ],
)
def test_which_errors_say_that_the_database_is_gone(error: Exception, gone: bool) -> None:
    assert is_gone(error) is gone
    with pytest.raises(StoreGoneError if gone else type(error)) as caught, said_gone():
        raise error
    if gone:
        assert str(caught.value)


def test_a_pool_without_a_free_connection_is_gone_too() -> None:
    with pytest.raises(StoreGoneError, match="QueuePool"), said_gone():
        raise sa.exc.TimeoutError("QueuePool limit")


def test_a_transaction_that_only_reads_takes_no_lock_and_a_failed_one_is_undone(
    tmp_path: Path,
) -> None:
    def fail(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        raise ValueError("a bug")

    async def run() -> None:
        database = Database(f"sqlite:///{tmp_path}/x.db")
        assert database.path == tmp_path / "x.db"
        assert database.dialect == "sqlite"
        await database.write(lambda c: c.execute(sa.text("CREATE TABLE t (x INTEGER)")))
        with pytest.raises(ValueError, match="a bug"):
            await database.write(fail)
        other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        count = sa.text("SELECT count(*) FROM t")
        assert await database.read(lambda c: c.execute(count).scalar()) == 0
        other.execute("ROLLBACK")
        other.close()
        with pytest.raises(TypeError):
            database.async_engine  # noqa: B018
        await database.close()

    asyncio.run(run())


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
def test_durability_is_how_often_sqlite_waits_for_the_disk(
    tmp_path: Path, durability: Durability, level: int
) -> None:
    async def run() -> None:
        database = Database(f"sqlite:///{tmp_path}/x.db", durability=durability)
        pragma = sa.text("PRAGMA synchronous")
        assert await database.read(lambda c: c.execute(pragma).scalar()) == level
        await database.close()

    asyncio.run(run())

"""Migrations: the tables of a database are those that the code uses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import ConfigError
from equirouter.serve.money.api_keys import create_key
from equirouter.serve.money.store import migrate as migrations
from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.migrate import HEAD, migrate
from equirouter.serve.money.store.schema import metadata
from tests.serve.stores import with_store


def version_of(connection: sa.Connection) -> str:
    version: str = connection.execute(
        sa.text("SELECT version_num FROM alembic_version")
    ).scalar_one()
    return version


def test_a_new_database_has_the_newest_version(store_url: str) -> None:
    async def work() -> str:
        database = Database(store_url)
        await migrate(database)
        await migrate(database)
        version = await database.read(version_of)
        await database.close()
        return version

    assert asyncio.run(work()) == HEAD


NEXT = f"{int(HEAD) + 1:04d}"
LATER = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{NEXT}", "{HEAD}"


def upgrade() -> None:
    op.add_column("keys", sa.Column("colour", sa.Text(), nullable=True))
"""


def test_older_tables_are_brought_up_to_date_and_keep_their_rows(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in migrations._VERSIONS.glob("v*.py"):
        (tmp_path / step.name).write_text(step.read_text("utf-8"), "utf-8")
    (tmp_path / f"v{NEXT}_colour.py").write_text(LATER, "utf-8")

    def colours(connection: sa.Connection) -> list[Any]:
        return list(connection.execute(sa.text("SELECT name, colour FROM keys")))

    async def work() -> tuple[str, list[Any]]:
        database = Database(store_url)
        await migrate(database)
        await database.write(create_key, "first")
        monkeypatch.setattr(migrations, "_VERSIONS", tmp_path)
        monkeypatch.setattr(migrations, "HEAD", NEXT)
        await migrate(database)
        version, rows = await database.read(version_of), await database.read(colours)
        await database.close()
        return version, rows

    assert asyncio.run(work()) == (NEXT, [("first", None)])


def test_workers_that_start_together_migrate_once(store_url: str) -> None:
    async def work() -> None:
        databases = [Database(store_url) for _ in range(4)]
        await asyncio.gather(*map(migrate, databases))
        for database in databases:
            await database.close()

    asyncio.run(work())


def test_tables_of_a_newer_version_are_refused(store_url: str) -> None:
    def newer(connection: sa.Connection) -> None:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with_store(store_url, lambda store: store.database.write(newer))
    with pytest.raises(ConfigError, match=r"version 9999.*knows up to"):
        with_store(store_url, lambda store: store.writer.flush())


def test_only_these_columns_may_be_without_a_value(store_url: str) -> None:
    async def work() -> dict[str, set[str]]:
        database = Database(store_url)
        await migrate(database)
        empty = await database.read(
            lambda connection: {
                name: {
                    column["name"]
                    for column in sa.inspect(connection).get_columns(name)
                    if column["nullable"]
                }
                for name in metadata.tables
                if name != "log"
            }
        )
        await database.close()
        return empty

    assert {name: columns for name, columns in asyncio.run(work()).items() if columns} == {
        "keys": {"models", "requests_per_minute", "tokens_per_minute", "budget_nusd", "revoked_at"},
        "workers": {"gone_at"},
        "texts": {"prompt", "answer"},
        "feedback": {"key_id", "model", "comment"},
        "grades": {"score", "by", "note"},
        "canaries": {"ended_at_us", "verdict", "why"},
    }

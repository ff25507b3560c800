"""Migrations: the tables of a database are those that the code uses."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import ConfigError
from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.migrate import HEAD, differences, migrate
from tests.serve.stores import with_store


def test_the_migrations_make_the_tables_that_the_code_uses(store_url: str) -> None:
    async def work() -> tuple[list[Any], str]:
        database = Database(store_url)
        await migrate(database)
        await migrate(database)
        found = await database.read(differences)
        version = await database.read(
            lambda connection: connection.execute(
                sa.text("SELECT version_num FROM alembic_version")
            ).scalar_one()
        )
        await database.close()
        return found, version

    assert asyncio.run(work()) == ([], HEAD)


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
        with_store(store_url, lambda store: store.flush())

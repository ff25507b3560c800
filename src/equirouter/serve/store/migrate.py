"""Brings a database to the version that this package needs, one worker at a time."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from equirouter.errors import ConfigError
from equirouter.serve.store.engine import Database
from equirouter.serve.store.tables import metadata

__all__ = ["HEAD", "differences", "migrate"]

HEAD = "0001"
"""The newest step in versions/."""

_LOCK = 0x6571_7569  # of PostgreSQL's advisory locks: any number that nobody else takes


async def migrate(database: Database) -> None:
    """Make the tables, or bring older ones up to date; does nothing where they are.

    Workers that start together wait for the first of them. Raises ConfigError for a database that
    a newer version has written, StoreGoneError when it cannot be opened.
    """
    # Alembic takes a quarter of a second to import: not at every start.
    if await database.read(_found) != HEAD:
        await database.write(_upgrade)


def _found(connection: sa.Connection) -> str | None:
    """The version of the tables, None where there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: sa.Connection) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    if connection.dialect.name == "postgresql":  # SQLite's transaction has the lock already
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    script = ScriptDirectory(str(Path(__file__).parent), version_locations=[_versions()])
    found = _found(connection)
    try:
        if found is not None:
            script.get_revision(found)
    except CommandError as error:
        raise ConfigError(
            f"the store's tables are of version {found}, which this equirouter does not know: it "
            f"knows up to {HEAD}. Install the version that wrote them, or name another store.url"
        ) from error
    _environment(connection, script).run_migrations()


def _environment(connection: sa.Connection, script: Any) -> Any:  # noqa: ANN401  # Alembic's
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    def steps(revision: Any, _: object) -> Any:  # noqa: ANN401
        return script._upgrade_revs(HEAD, revision)

    environment = EnvironmentContext(Config(), script, fn=steps)
    environment.configure(connection=connection, target_metadata=metadata)
    return environment


def _versions() -> str:
    return str(Path(__file__).parent / "versions")


def differences(connection: sa.Connection) -> list[Any]:
    """How the tables of a database differ from tables.py; empty when they agree."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))

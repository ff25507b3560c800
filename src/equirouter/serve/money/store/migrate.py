"""Brings a database to the version that this package needs, one worker at a time.

A new database gets the tables of schema.py; the steps in versions/ bring older tables to the same.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from equirouter.errors import ConfigError
from equirouter.serve.money.store.engine import Database, check_not_lost, said_gone
from equirouter.serve.money.store.schema import metadata

_VERSIONS = Path(__file__).parent / "versions"
HEAD = max(path.stem[1:5] for path in _VERSIONS.glob("v*.py"))
"""The newest step in versions/: 0001 of v0001_initial.py."""

_LOCK = 0x6571_7569  # of PostgreSQL's advisory locks: any number that nobody else takes


async def migrate(database: Database) -> None:
    """Make the tables, or bring older ones up to date; does nothing where they are.

    Workers that start together wait for the first of them. Raises ConfigError for a database that
    a newer version has written, one with keys that was lost, and a file of SQLite that cannot be
    written; StoreGoneError when it cannot be opened.
    """
    _check_place(database)
    # Alembic takes a quarter of a second to import: not at every start.
    if await database.read(_found) != HEAD:
        await database.write(_upgrade)


async def check_store(database: Database) -> None:
    """Look whether `migrate` could do its work, and change nothing.

    Raises as `migrate`.
    """
    _check_place(database)
    path = database.path
    if path is None:
        _check_known(await database.read(_found))
    elif path.exists():
        with said_gone():
            _check_known(_found_in(path))


def _check_place(database: Database) -> None:
    """Raise ConfigError where a file of SQLite with keys was lost, or cannot be written."""
    path = database.path
    if path is None:
        return
    check_not_lost(path)
    place = path if path.exists() else path.absolute().parent
    if not os.access(place, os.W_OK):
        raise ConfigError(
            f"the store {database.shown} cannot be opened: {place} does not exist, or this user "
            "may not write it. Set store.url to a file where it may: sqlite:////FOLDER/gateway.db"
        )


def _found_in(path: Path) -> str | None:
    """The version of the tables in a file, which stays as it is, and so does all beside it."""
    # Even a connection that only reads makes files of a write-ahead log, unless told not to.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    uri = f"{path.absolute().as_uri()}?{how}"
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True))
    try:
        with engine.connect() as connection:
            return _found(connection)
    finally:
        engine.dispose()


def _found(connection: sa.Connection) -> str | None:
    """The version of the tables, None where there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: sa.Connection) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    if connection.dialect.name == "postgresql":  # SQLite's transaction has the lock already
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    version, script = _found(connection), _script()
    _check_known(version)
    steps = {"fn": lambda current, _: script._upgrade_revs(HEAD, current)}
    context = MigrationContext.configure(connection, opts=steps)
    if version is None:
        metadata.create_all(connection)
        context.stamp(script, HEAD)
    else:
        with Operations.context(context):
            context.run_migrations()


def _script() -> Any:  # noqa: ANN401  # Alembic's
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent), version_locations=[str(_VERSIONS)])


def _check_known(version: str | None) -> None:
    """Refuse the tables of a newer version."""
    if version in (None, HEAD):
        return
    from alembic.util.exc import CommandError

    try:
        _script().get_revision(version)
    except CommandError as error:
        raise ConfigError(
            f"the store's tables are of version {version}, which this equirouter does not know: it "
            f"knows up to {HEAD}. Install the version that wrote them, or name another store.url"
        ) from error

"""Databases for the tests of the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve import databases


@pytest.fixture(scope="session", autouse=True)
def _registered(registered: None) -> None:
    """Pipelines are saved and loaded in most of these tests."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[databases.Server]:
    """A PostgreSQL server; tests that need it skip where none is installed."""
    try:
        with databases.server() as server:
            yield server
    except databases.MissingError as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: databases.Server = request.getfixturevalue("postgresql")
    return server.database()

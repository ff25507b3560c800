"""The files of a SQLite store: whether they are still those that were opened, and had keys.

What is written into a file that was deleted, moved or replaced is lost with it, and the next
process would find another one. And an empty store in the place of a lost one would have no keys and
nothing spent: so a file beside a store says that it has had keys, and none is made while it lies
there alone.
"""

import os
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from equirouter.errors import ConfigError, StoreGoneError

_NOTE = """\
The store beside this file has had API keys, so nobody is answered without one, even if the store is
lost. Delete this file only to begin again with an empty store, without keys and nothing spent.
"""


class OpenFiles:
    """A database file and its write-ahead log, which must stay what they were when opened."""

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), f"{path}-wal")
        self._opened: dict[str, tuple[int, int]] = {}

    def remember(self) -> None:
        """A connection was opened: from now on its files must stay."""
        for path in self._paths:
            with suppress(FileNotFoundError):
                self._opened.setdefault(path, _identity(path))

    def lost(self) -> str | None:
        """How a file was lost, None while all are there."""
        for path, opened in self._opened.items():
            try:
                is_there = _identity(path) == opened
            except OSError as error:
                return f"the store's file {path} is gone: {error.strerror or error}"
            if not is_there:
                return f"the store's file {path} was replaced by another one"
        return None

    def check(self) -> None:
        """Raise StoreGoneError where a file is not the one that was opened."""
        lost = self.lost()
        if lost is not None:
            raise StoreGoneError(lost)


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116  # before every transaction: a Path takes twice as long
    return status.st_dev, status.st_ino


def keys_were_made(connection: sa.Connection) -> None:
    """Note beside a store of SQLite that it has had keys. Raises OSError."""
    note = _note_of(connection)
    if note is not None and not note.exists():
        note.write_text(_NOTE, "utf-8")


def has_had_keys(connection: sa.Connection) -> bool:
    """Whether there is such a note: the keys may be in a store that was lost."""
    note = _note_of(connection)
    return note is not None and note.exists()


def check_not_lost(path: Path) -> None:
    """Raise ConfigError where a store that has had keys is not there any more."""
    note = _note_beside(path)
    if note.exists() and not path.exists():
        raise ConfigError(
            f"the store {path} is not there, and {note.name} beside it says that it has had keys: "
            f"put the store back, from a backup if it is lost; or delete {note} to begin with an "
            "empty one, without keys and with nothing spent"
        )


def _note_of(connection: sa.Connection) -> Path | None:
    file = connection.engine.url.database
    is_file = connection.dialect.name == "sqlite" and file is not None
    return _note_beside(Path(str(file))) if is_file else None


def _note_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.had-keys")

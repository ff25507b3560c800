"""Files and folders, on this machine or at any address that fsspec knows."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from equirouter.errors import ConfigError, DataError, OutputError
from equirouter.output import atomic_write, make_folder


@dataclass(frozen=True)
class Place:
    """A file or folder: a file system of fsspec, and the path in it."""

    system: Any
    path: str

    def __str__(self) -> str:
        return self.path if self.is_local else str(self.system.unstrip_protocol(self.path))

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return isinstance(self.system, LocalFileSystem)

    def under(self, name: str) -> "Place":
        """The place of that name in this folder."""
        return Place(self.system, f"{self.path.rstrip('/')}/{name}")

    def lies_in(self, folder: "Place") -> bool:
        """Whether it is that folder or below it."""
        return self.system == folder.system and f"{self.path.rstrip('/')}/".startswith(
            f"{folder.path.rstrip('/')}/"
        )

    def open(self) -> IO[bytes]:
        """The file, to be read. Raises DataError."""
        with self.errors():
            stream: IO[bytes] = self.system.open(self.path, "rb")
            return stream

    def content(self) -> bytes | None:
        """All that is in the file; None where there is no such file. Raises DataError."""
        with self.errors():
            try:
                content: bytes = self.system.cat_file(self.path)
            except FileNotFoundError:
                return None
            return content

    def sizes(self) -> dict[str, int]:
        """Bytes by name of the files in this folder; none where there is no folder."""
        self.system.invalidate_cache()
        try:
            listing = self.system.ls(self.path, detail=True)
        except FileNotFoundError:
            return {}
        return {Path(entry["name"]).name: entry["size"] for entry in listing}

    @contextmanager
    def written(self) -> Iterator[IO[bytes]]:
        """A stream whose content is there, whole, when the block is done, and not before.

        Raises OutputError.
        """
        if self.is_local:
            make_folder(Path(self.path).parent)
            with atomic_write(self.path, "wb") as stream:
                yield stream
            return
        folder, _, name = self.path.rpartition("/")
        unfinished = f"{folder}/.{name}.{uuid.uuid4().hex}"
        with tempfile.TemporaryFile() as kept:
            yield kept
            kept.seek(0)
            try:
                self.system.makedirs(folder, exist_ok=True)
                with self.system.open(unfinished, "wb") as target:
                    shutil.copyfileobj(kept, target, 2**22)
                self.system.mv(unfinished, self.path)
            except Exception as error:  # every file system has errors of its own
                raise OutputError(f"{self}: could not be written: {error}") from error

    def remove_unfinished(self, beginning: str) -> None:
        """Delete what writers of such files left in this folder when they were killed."""
        for name in self.sizes():
            if name.startswith(f".{beginning}"):
                self.system.rm_file(self.under(name).path)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of a file system, as a DataError that names the place."""
        try:
            yield
        except (DataError, GeneratorExit):
            raise
        except FileNotFoundError as error:
            raise DataError(f"{self}: there is no such file; check the path") from error
        except Exception as error:  # every file system has errors of its own
            raise DataError(f"{self}: could not be read: {error}") from error


def place_of(address: str) -> Place:
    """A path, or an address as s3://bucket/folder. Raises ConfigError for an unknown kind."""
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise ConfigError(f"{address}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{address}: no such kind of address: {error}") from error
    return Place(system, path)

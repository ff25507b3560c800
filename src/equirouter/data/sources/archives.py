"""The files of a data set, whether they lie in a folder, in a tar or in a zip."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from equirouter.errors import DataError
from equirouter.output import make_folder

Parts: TypeAlias = tuple[str, ...]

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    OSError,
    RuntimeError,  # zipfile's for a password, and a compression that it does not know
    UnicodeDecodeError,
    lzma.LZMAError,
    zlib.error,
)


@dataclass(frozen=True)
class Member:
    """One file: its place for messages, its path within folder or archive, and what it holds."""

    place: str
    parts: Parts
    content: bytes


def members(path: Path, suffix: str, wanted: Callable[[Parts], bool]) -> Iterator[Member]:
    """The files with this suffix in a folder, a .tar.gz or a .zip, or the file itself, one by one.

    wanted: told the path of a file within folder or archive, says whether it is read. Files of a
    folder and of a zip come in the order of their names, those of a tar as they lie in it: it is
    read once, from front to end. Hidden files (.name) are not of the data. Raises DataError for a
    path that is not there, another kind of file, and a damaged archive.
    """

    def is_wanted(parts: Parts) -> bool:
        return parts[-1].endswith(suffix) and parts[-1][0] != "." and wanted(parts)

    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the path")
    if path.is_dir():
        for file in sorted(path.rglob(f"*{suffix}")):
            if is_wanted(parts := file.relative_to(path).parts):
                yield Member(str(file), parts, _read(file))
    elif path.name.endswith(suffix):
        yield Member(str(path), path.parts, _read(path))
    elif path.name.endswith((".tar.gz", ".tgz", ".tar", ".zip")):
        yield from _archived(path, is_wanted)
    else:
        raise DataError(
            f"{path}: expected a folder, a .tar.gz, a .zip or a {suffix} file; found "
            f"{path.suffix or 'no suffix'!r}"
        )


def unpack_tar(archive: Path, folder: Path) -> Path:
    """The folder with all that is in a tar, unpacked unless it is there already.

    The folder appears whole or not at all. Members that would lie outside it, and links and devices
    that point there, are refused. Raises DataError for those and for a damaged archive.
    """
    if folder.is_dir():
        return folder
    partial = make_folder(folder.with_name(folder.name + ".partial"))
    try:
        with tarfile.open(archive) as tar:
            _unpack(tar, partial)
        partial.rename(folder)
    except _DAMAGED as error:
        raise DataError(f"{archive}: could not be unpacked to {folder}: {error}") from error
    return folder


def _unpack(tar: tarfile.TarFile, folder: Path) -> None:
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    # Python before 3.11.4 has no filter: folders and files within alone are taken
    for entry in tar:
        inside = (folder / entry.name).resolve().is_relative_to(folder.resolve())
        if not (inside and (entry.isfile() or entry.isdir())):
            raise tarfile.TarError(f"{entry.name!r} is no file or folder within the archive")
        tar.extract(entry, folder)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error


def _archived(path: Path, is_wanted: Callable[[Parts], bool]) -> Iterator[Member]:
    read = _zip_members if path.suffix == ".zip" else _tar_members
    try:
        yield from read(path, is_wanted)
    except _DAMAGED as error:
        raise DataError(
            f"{path}: the archive is damaged, or cannot be read here ({error}); fetch it anew"
        ) from error


def _tar_members(path: Path, is_wanted: Callable[[Parts], bool]) -> Iterator[Member]:
    with tarfile.open(path, "r|*") as tar:
        for entry in tar:
            parts = Path(entry.name).parts
            stream = tar.extractfile(entry) if entry.isfile() and is_wanted(parts) else None
            if stream is not None:
                yield Member(f"{path}: {entry.name}", parts, stream.read())


def _zip_members(path: Path, is_wanted: Callable[[Parts], bool]) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            parts = Path(name).parts
            if parts and is_wanted(parts):
                yield Member(f"{path}: {name}", parts, archive.read(name))

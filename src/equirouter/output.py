"""Files that are written whole or not at all, and the folder for what can be made again."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

from equirouter.errors import OutputError


@contextmanager
def atomic_write(path: str | Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that takes the place of path only when all of it was written.

    Text is UTF-8 with Unix line ends. On any failure the old file, if there is one, stays as it is
    and the half-written one is removed. A link stays one: the file that it names is written.
    Raises OutputError, naming path, when the system refuses: no space, no permission, a folder of
    that name; and for a pipe or a device, which a file would take the place of.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OutputError(f"{path}: this is a pipe or a device, and not a file; name a file")
    path = Path(os.path.realpath(path))
    text = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, mode, **text) as stream:  # type: ignore[call-overload]
            yield stream
        finished = Path(temporary)
        finished.chmod(0o666 & ~_umask())  # mkstemp gives 0600; results are for others too
        finished.replace(path)
        temporary = None
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path}: could not be written: {error.strerror or error}; "
            "free space or permission is needed there, or another place"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents unless they are there. Raises OutputError when refused."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: no folder can be made there: {error.strerror}") from error
    return path


@contextmanager
def reserved_folder(path: str | Path) -> Iterator[Path]:
    """A folder made before the work whose results it is for, so that a place is refused early.

    If the work fails before anything was written, what was made here is taken away again.
    Raises OutputError when refused.
    """
    path = Path(path)
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path)
    try:
        yield path
    except BaseException:
        with suppress(OSError):  # not empty: it holds something, and stays
            for folder in new:
                folder.rmdir()
        raise


def cache_dir() -> Path:
    """The folder for files that can be made or fetched again; it may not exist yet.

    EQUIROUTER_CACHE_DIR names another place than the user's cache folder of the system.
    """
    named = os.environ.get("EQUIROUTER_CACHE_DIR")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("equirouter"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

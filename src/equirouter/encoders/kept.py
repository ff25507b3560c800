"""Files that can be made again, in the user's cache folder."""

from pathlib import Path

from equirouter.cachedir import cache_dir
from equirouter.errors import OutputError
from equirouter.output import atomic_write, make_folder

__all__ = ["forget_oldest", "kept_path", "write_kept"]


def kept_path(kind: str, name: str) -> Path:
    """Where a file of that kind and name is kept; neither the file nor its folder may exist."""
    return cache_dir() / kind / name


def write_kept(path: Path, content: bytes) -> None:
    """Put a file there in one step, its folder too. Raises OutputError with the way out."""
    try:
        make_folder(path.parent)
        with atomic_write(path, "wb") as stream:
            stream.write(content)
    except OutputError as error:
        raise OutputError(
            f"{path}: the cache folder could not be written ({error.__cause__}); set "
            "EQUIROUTER_CACHE_DIR to a folder with space where you may write"
        ) from error


def forget_oldest(kind: str, pattern: str, n_kept: int) -> None:
    """Delete all files of that kind whose names fit the pattern but the n_kept newest."""
    found = kept_path(kind, "").glob(pattern)
    times = {path: _written(path) for path in found}
    for path in sorted(times, key=lambda path: times[path], reverse=True)[n_kept:]:
        path.unlink(missing_ok=True)  # another process may have been quicker


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # deleted meanwhile by another process
        return 0

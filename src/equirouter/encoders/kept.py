"""Files that can be made again, in the user's cache folder."""

from pathlib import Path

from equirouter.cachedir import cache_dir
from equirouter.errors import OutputError
from equirouter.output import atomic_write, make_folder

__all__ = ["kept_path", "write_kept"]


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

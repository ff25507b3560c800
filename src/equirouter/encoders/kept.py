"""Files that can be made again, in the user's cache folder, and digests of files."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from equirouter.errors import OutputError
from equirouter.output import atomic_write, cache_dir, make_folder


def kept_path(kind: str, name: str) -> Path:
    """Where a file of that kind and name is kept; neither the file nor its folder may exist."""
    return cache_dir() / kind / name


def kept_file(kind: str, name: str, make: Callable[[], bytes]) -> Path:
    """The file of that kind and name; made and kept there if it is not there yet.

    A file whose SHA-256 is not the one noted beside it is made again. Two processes may do this at
    once: each writes a whole file and then moves it into place, and what they write is the same.
    Raises OutputError when the cache folder cannot be written.
    """
    path = kept_path(kind, name)
    note = path.with_suffix(".sha256")
    if path.is_file() and note.is_file():
        noted = note.read_text("ascii", errors="replace").strip()
        if digest_of(path) == noted:
            return path
    write_kept(path, make())
    write_kept(note, digest_of(path).encode("ascii"))
    return path


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


def short_digest(parts: Mapping[str, object] | Sequence[str]) -> str:
    """The first 16 hex digits of the SHA-256 of what JSON can hold: what fingerprints end in."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def digest_of(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits; remembered, so that an unchanged file is read once.

    Unchanged means: same path, size and modification time in nanoseconds.
    """
    path = path.resolve()
    status = path.stat()
    known = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    note = kept_path("digests", hashlib.sha256(str(path).encode()).hexdigest()[:32] + ".json")
    remembered = _read_note(note)
    if {key: remembered.get(key) for key in known} == known and "sha256" in remembered:
        return str(remembered["sha256"])
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    write_kept(note, json.dumps(known | {"sha256": digest}).encode())
    return digest


def _read_note(note: Path) -> dict[str, object]:
    """The remembered digest, or nothing: a note that cannot be read costs another look."""
    try:
        content = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def forget_oldest(kind: str, pattern: str, n_kept: int) -> None:
    """Delete all files of that kind whose names fit the pattern but the n_kept newest."""
    for path in newest_first(kept_path(kind, "").glob(pattern))[n_kept:]:
        path.unlink(missing_ok=True)  # another process may have been quicker


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """The files by the time they were changed, without those that another process deletes."""
    times = {}
    for path in paths:
        with suppress(FileNotFoundError):
            times[path] = path.stat().st_mtime_ns
    return sorted(times, key=lambda path: (times[path], path), reverse=True)

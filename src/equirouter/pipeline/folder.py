"""The folder of a saved pipeline: two files, every byte under a digest, replaced together.

The description ends with the SHA-256 of all that stands before it, and holds that of the weights.
New weights are written beside the old ones, under a name of their own. The new description, put in
place by one rename, makes them count; only then do they take the place of the old ones. So a
process may be killed at any moment, and the folder holds the old pipeline or the new one.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from equirouter.errors import OutputError, PipelineError
from equirouter.output import atomic_write, make_folder

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

DESCRIPTION_FILE = "pipeline.json"
WEIGHTS_FILE = "weights.safetensors"
_OPEN_END = "\n}"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def write_folder(folder: str | Path, description: Mapping[str, Any], weights: bytes) -> Path:
    """Write both files into a folder, which is made if needed; another writer waits for its turn.

    description: without its digests. Raises OutputError; the old pipeline is there then.
    """
    digest = hashlib.sha256(weights).hexdigest()
    document = {**description, "weights_sha256": digest}
    text = json.dumps(document, indent=2, allow_nan=False).removesuffix(_OPEN_END)
    return _write(make_folder(folder), text.encode(), weights, digest)


def copy_folder(source: Path, folder: Path) -> Path:
    """Write what is in one folder into another, bit for bit. Raises PipelineError, OutputError."""
    description, weights = read_folder(source)
    text = description.removesuffix(_OPEN_END.encode())
    return _write(make_folder(folder), text, weights, hashlib.sha256(weights).hexdigest())


def _write(folder: Path, text: bytes, weights: bytes, digest: str) -> Path:
    with locked(folder):
        _settle(folder)
        try:
            with atomic_write(_weights_beside(folder, digest), "wb") as stream:
                stream.write(weights)
            with atomic_write(folder / DESCRIPTION_FILE, "wb") as stream:
                stream.write(text + _seal(text))
        finally:
            _settle(folder)
    return folder


def read_folder(folder: Path) -> tuple[bytes, bytes]:
    """The description without its seal, and the weights; both are whole and belong together.

    Raises PipelineError.
    """
    description = read_description(folder)
    while True:
        try:
            return description, _weights_of(folder, description)
        except PipelineError:
            now = read_description(folder)
            if now == description:
                raise
            description = now  # a new pipeline was saved in between


def read_description(folder: Path) -> bytes:
    """The description, a JSON document, without its seal. Raises PipelineError."""
    path = folder / DESCRIPTION_FILE
    content = _read(path)
    text = content[: -len(_seal(b""))]
    if content != text + _seal(text):
        raise PipelineError(
            f"{path}: its last field must be the SHA-256 of what stands before it, and is not: the "
            "file is damaged, cut, or was edited; copy it again or train again"
        )
    return text + _OPEN_END.encode()


def digest_of_description(description: bytes) -> str:
    """The SHA-256 that ends the file of a description: it names the content of both files."""
    return hashlib.sha256(description.removesuffix(_OPEN_END.encode())).hexdigest()


def _seal(text: bytes) -> bytes:
    """The end of a description that begins with this text."""
    return f',\n  "sha256": "{hashlib.sha256(text).hexdigest()}"\n}}\n'.encode()


def _weights_of(folder: Path, description: bytes) -> bytes:
    path, expected = folder / WEIGHTS_FILE, _weights_digest(folder, description)
    try:  # they are there while a save goes on, or where one was killed
        content = _weights_beside(folder, expected).read_bytes()
    except OSError:
        content = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise PipelineError(
            f"{path}: SHA-256 is {digest}, expected {expected} as {DESCRIPTION_FILE} says: "
            "the file is damaged or belongs to another pipeline; copy it again or train again"
        )
    return content


def _weights_digest(folder: Path, description: bytes) -> str:
    try:
        document = json.loads(description)
    except (ValueError, RecursionError):
        document = None
    digest = document.get("weights_sha256") if isinstance(document, dict) else None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):  # it becomes a file's name
        raise PipelineError(
            f"{folder / DESCRIPTION_FILE}: weights_sha256: expected the SHA-256 of {WEIGHTS_FILE}; "
            "this was written by another program: train again"
        )
    return digest


def _weights_beside(folder: Path, digest: str) -> Path:
    return folder / f".{WEIGHTS_FILE}.{digest[:16]}"


def _settle(folder: Path) -> None:
    """Put weights that count in their place, and take away those that do not."""
    try:
        counts = _weights_digest(folder, read_description(folder))
    except PipelineError:
        counts = ""
    unfinished = folder.glob(f"..{WEIGHTS_FILE}.*")
    for path in (*folder.glob(f".{WEIGHTS_FILE}.*"), *unfinished):
        try:
            if path == _weights_beside(folder, counts):
                path.replace(folder / WEIGHTS_FILE)
            else:
                path.unlink()
        except OSError as error:
            raise OutputError(f"{path}: could not be moved: {error.strerror or error}") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it no other process writes the folder: one that wants to waits."""
    if fcntl is None:
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:  # some network file systems lock no folders
            logging.getLogger(__name__).warning(
                "%s: cannot be locked (%s): do not save into it from two processes at once",
                folder,
                error.strerror,
            )
        yield
    finally:
        os.close(handle)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Within it no other process is within it; ends with the process, however that ends.

    path: a file, made if needed and left there. Raises BlockingIOError at once where another
    process is.
    """
    with path.open("ab") as stream:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        other = path.with_name(WEIGHTS_FILE if path.name == DESCRIPTION_FILE else DESCRIPTION_FILE)
        if other.exists():
            raise PipelineError(
                f"{path}: {error.strerror}, though {other.name} is there: copy the folder again or "
                "train again"
            ) from error
        raise PipelineError(
            f"{path.parent}: no pipeline there ({path.name}: {error.strerror}); "
            f"`equirouter train DATASET --out {path.parent}` makes one"
        ) from error

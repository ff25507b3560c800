"""Files of the Hugging Face hub, fetched once, at a fixed commit, and checked ever after."""

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equirouter.data.sources.reach import hub_address, why_unreachable
from equirouter.errors import DownloadError
from equirouter.output import atomic_write, cache_dir, make_folder
from equirouter.progress import Progress, silent

_RECORD = "lock.json"


@dataclass(frozen=True)
class HubFile:
    """One file of a data set on the hub, at one commit.

    repo: "owner/name". commit: 40 hex digits, so that the file can never change. sha256: 64 hex
    digits of its content where they are known; else those of the first download are recorded in
    the cache and every later use is checked against them (trust on first use).
    """

    repo: str
    filename: str
    commit: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{40}", self.commit):
            raise ValueError(f"commit is {self.commit!r}, expected 40 hex digits")

    @property
    def page(self) -> str:
        """Where a person can download it."""
        return f"https://huggingface.co/datasets/{self.repo}/blob/{self.commit}/{self.filename}"


def fetch(
    file: HubFile,
    *,
    progress: Progress = silent,
) -> Path:
    """The file in the cache folder, downloaded if it is not there yet, its SHA-256 checked.

    A download that was cut off goes on where it stopped. With HF_HUB_OFFLINE=1 nobody is asked;
    HF_ENDPOINT names another server than huggingface.co. progress: in bytes, of the download and of
    the check.
    Raises DownloadError when the file cannot be had, or is not the one that was promised or
    recorded, with the way out.
    """
    record = _read_record(file)
    path = _folder(file) / record["path"] if record else None
    if path is None or not path.is_file():
        path = _download(file, progress)
    digest = _sha256(path, progress)
    promised = file.sha256 or (record["sha256"] if record else None)
    if promised is not None and digest != promised:
        raise DownloadError(
            f"{path}: the SHA-256 of the file is {digest}, expected {promised}: it was damaged or "
            f"changed. Delete the folder {_folder(file)} and run this again to fetch it anew"
        )
    if record is None:
        _write_record(file, path, digest)
    return path


def _folder(file: HubFile) -> Path:
    """Where all that belongs to one file at one commit is kept, so that it can be deleted."""
    name = f"{file.repo.replace('/', '--')}--{file.filename}--{file.commit[:12]}"
    return cache_dir() / "hub" / name


def _read_record(file: HubFile) -> dict[str, str] | None:
    path = _folder(file) / _RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        return {key: str(record[key]) for key in ("commit", "sha256", "path")}
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise DownloadError(
            f"{path}: the record of the download cannot be read ({error}); delete the folder "
            f"{_folder(file)} and run this again"
        ) from error


def _write_record(file: HubFile, path: Path, sha256: str) -> None:
    record = {
        "repo": file.repo,
        "file": file.filename,
        "commit": file.commit,
        "sha256": sha256,
        "path": path.relative_to(_folder(file)).as_posix(),
    }
    with atomic_write(_folder(file) / _RECORD, "w") as stream:
        json.dump(record, stream, indent=2)


def _download(file: HubFile, progress: Progress) -> Path:
    address = hub_address()
    reason = why_unreachable(address)
    if reason is not None:
        raise DownloadError(
            f"{file.filename} of {file.repo} could not be downloaded: {address} cannot be reached "
            f"({reason}). {_way_out(file)}"
        )
    import huggingface_hub as hub

    folder = make_folder(_folder(file))
    try:
        path = hub.hf_hub_download(
            file.repo,
            file.filename,
            repo_type="dataset",
            revision=file.commit,
            cache_dir=folder,
            endpoint=address,
            tqdm_class=_bar(f"download {file.filename}", progress),
        )
    except fetching_failures() as error:
        cause = error.__cause__ or error
        raise DownloadError(
            f"{file.filename} of {file.repo} could not be downloaded "
            f"({type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}). "
            f"{_way_out(file)}"
        ) from error
    return Path(path)


def fetching_failures() -> tuple[type[Exception], ...]:
    """Errors of a download: of the system, of huggingface_hub, and of its HTTP library."""
    loaded = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (OSError, RuntimeError, *(library.HTTPError for library in loaded))


def _bar(stage: str, progress: Progress) -> type:
    """Makes huggingface_hub report progress instead of drawing its own bar."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            super().__init__(*args, **(kwargs | {"disable": True}))

        def update(self, n: float = 1) -> None:
            self.n += n
            progress(stage, int(self.n), int(self.total or 0))

    return Bar


def _sha256(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
            done += len(block)
            progress(f"check {path.name}", done, total)
    return digest.hexdigest()


def _way_out(file: HubFile) -> str:
    return (
        f"Without a network: download it elsewhere from {file.page} and give its path, "
        "NAME:path=FILE; HF_ENDPOINT=https://... names a mirror; offline use needs one download "
        "beforehand"
    )

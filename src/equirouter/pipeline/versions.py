"""The versions of a pipeline in one folder: sealed folders beside each other, one of them current.

    DIR/versions/0007/   a pipeline as `save` writes it; never changed once it is there
    DIR/current.json     which version is current, and the history

A version appears when its folder, complete, is given its name, and becomes current when a complete
current.json takes the old one's place. So a process may be killed at any moment: the version that
was current is, or the new one. Writers wait for each other.
"""

import getpass
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE
from typing import Annotated, Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from equirouter.errors import ConfigError, OutputError, PipelineError
from equirouter.output import atomic_write, make_folder
from equirouter.pipeline.folder import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    copy_folder,
    exclusive,
    locked,
)

CURRENT_FILE = "current.json"
RETRAIN_FILE = "retrain.lock"
_FOLDER = "versions"
_NAME = re.compile(r"[0-9]{4,9}")
_UNFINISHED = ".new-"


Did: TypeAlias = Literal[
    "added", "passed", "promoted", "refused", "rolled back", "tried", "withdrawn"
]


MOVES = frozenset({"promoted", "rolled back"})
"""What makes a version current."""


class Event(BaseModel):
    """One change of a version: added, promoted, refused, rolled back to, or tried by a gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    by: str
    """The user whose process did it."""
    did: Did
    """refused: by the gate or as a canary, so that another version went on. passed: the gate, to be
    tried as a canary. tried: as one, and withdrawn: no more, with nothing found."""
    version: str
    over: str | None
    """The version that was current before."""
    how: str
    """The command."""
    forced: bool = False
    """Whether it was made current against the rules, or without asking them."""
    why: str = ""
    figures: dict[str, Any] | None = None
    """The comparison with the version before, where there was one."""


class _State(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    current: Annotated[str, Field(pattern="^[0-9]{4,9}$")] | None = None
    history: tuple[Event, ...] = ()


class _Saves(Protocol):
    def save(self, folder: Path) -> object:
        """Write a pipeline into a folder."""


class PipelineVersions:
    """The versions in a folder, which may not exist yet.

    A folder that holds one pipeline without versions is read as it is; before anything is added,
    `adopt` makes the pipeline there a version.
    Raises ConfigError for the folder of a version, which is never changed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        parent = self.folder.absolute().parent
        if parent.name == _FOLDER and (parent.parent / CURRENT_FILE).exists():
            raise ConfigError(
                f"{folder}: this is one version of a pipeline, and stays as it is; give "
                f"{self.folder.parent.parent}"
            )

    @property
    def names(self) -> list[str]:
        """The versions, oldest first."""
        try:
            folders = [path.name for path in (self.folder / _FOLDER).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted((name for name in folders if _NAME.fullmatch(name)), key=int)

    @property
    def current(self) -> str | None:
        """The version that is served; None where there is none, and for one without versions."""
        return _state(self.folder).current

    @property
    def history(self) -> tuple[Event, ...]:
        """All changes of the versions here, oldest first."""
        return _state(self.folder).history

    @property
    def is_empty(self) -> bool:
        """Whether there is no pipeline to be served."""
        return self.current is None and not (self.folder / DESCRIPTION_FILE).exists()

    def path(self, name: str | None = None) -> Path:
        """The folder of a version, None for the current one. Raises ConfigError where it is not."""
        if name is None:
            return current_folder(self.folder)
        if name not in self.names:
            known = ", ".join(self.names) or "none"
            raise ConfigError(f"{self.folder}: there is no version {name!r}; there are: {known}")
        return self.folder / _FOLDER / name

    def adopt(self) -> str | None:
        """Make a pipeline without versions that lies here the first one; returns the current one.

        The folder is made if needed. Raises PipelineError where that pipeline is damaged,
        OutputError.
        """
        make_folder(self.folder)
        with self._alone() as state:
            if not (self.folder / DESCRIPTION_FILE).exists():
                return state.current
            if state.current is None:
                name = self._put(lambda folder: copy_folder(self.folder, folder))
                self._write(state, _event("promoted", name, None, "it was here already"))
            for name in (WEIGHTS_FILE, DESCRIPTION_FILE):  # copies by now
                (self.folder / name).unlink(missing_ok=True)
            return self.current

    def add(self, pipeline: _Saves, *, how: str) -> str:
        """Save a pipeline as the next version, which is not current yet; returns its name.

        how: the command, for the history. Raises OutputError, and what `save` raises.
        """
        self.adopt()
        with self._alone() as state:
            name = self._put(pipeline.save)
            self._write(state, _event("added", name, state.current, how))
        return name

    def promote(
        self,
        name: str,
        *,
        over: str | None,
        how: str,
        forced: bool = False,
        why: str = "",
        figures: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a version current, in place of the one that it was held against.

        over: that one, None where there was none. Raises ConfigError where it is current already,
        or another one is by now, OutputError.
        """
        self.path(name)
        with self._alone() as state:
            if state.current == name:
                raise ConfigError(f"{self.folder}: {name} is current already")
            if state.current != over:
                instead = "" if over is None else f" in place of {over}"
                raise ConfigError(
                    f"{self.folder}: meanwhile {state.current} became current{instead}; "
                    f"{name} is there, and not current: run the command again"
                )
            event = _event("promoted", name, over, how, forced=forced, why=why, figures=figures)
            self._write(state, event)

    def note(
        self,
        name: str,
        did: Literal["passed", "refused", "tried", "withdrawn"],
        *,
        how: str,
        why: str,
        figures: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what happened to a version that is not made current, and why."""
        with self._alone() as state:
            self._write(state, _event(did, name, state.current, how, why=why, figures=figures))

    def refusal(self, name: str) -> Event | None:
        """By the gate or as a canary, where nothing was done with a version since."""
        events = [event for event in self.history if event.version == name]
        return events[-1] if events and events[-1].did == "refused" else None

    def is_tried(self, name: str) -> bool:
        """Whether a gateway tries a version beside the current one."""
        events = [event.did for event in self.history if event.version == name]
        return bool(events) and events[-1] == "tried"

    def to_be_tried(self) -> str | None:
        """The first version that passed the gate since one became current and was not tried yet."""
        last: dict[str, Did] = {}
        for event in self.history:
            if event.did in MOVES:  # all were held against the version before
                last.clear()
            else:
                last[event.version] = event.did
        return next((name for name, did in last.items() if did in ("passed", "tried")), None)

    def previous(self) -> Path:
        """The folder of the version before the current one. Raises ConfigError if it is not."""
        return self._previous(_state(self.folder))

    def _previous(self, state: _State) -> Path:
        came = [e for e in state.history if e.did == "promoted" and e.version == state.current]
        if state.current is None or not came or came[-1].over is None:
            raise ConfigError(
                f"{self.folder}: no version was current before {state.current}; "
                f"`equirouter pipeline list {self.folder}` shows what there is"
            )
        return self.path(came[-1].over)

    def roll_back(self, *, how: str) -> tuple[str, str]:
        """Make the version current that was before the current one; returns (now, before).

        Raises ConfigError where there was none.
        """
        with self._alone() as state:
            before, now = self._previous(state).name, str(state.current)
            self._write(state, _event("rolled back", before, now, how, forced=True))
        return before, now

    @contextmanager
    def _alone(self) -> Iterator[_State]:
        """The state, which no other process changes within."""
        if not self.folder.is_dir():
            raise PipelineError(f"{self.folder}: no such folder")
        with locked(self.folder):
            yield _state(self.folder)

    def _put(self, save: Any) -> str:  # noqa: ANN401  # Callable[[Path], object]
        """A folder filled by save, under the next free name."""
        within = make_folder(self.folder / _FOLDER)
        for left in within.glob(f"{_UNFINISHED}*"):  # of a process that was killed
            shutil.rmtree(left)
        try:
            new = Path(tempfile.mkdtemp(dir=within, prefix=_UNFINISHED))
            new.chmod(S_IMODE(self.folder.stat().st_mode))  # mkdtemp makes it for this user alone
        except OSError as error:
            raise OutputError(
                f"{within}: no version can be made there: {error.strerror}"
            ) from error
        try:
            save(new)
            name = f"{max((int(name) for name in self.names), default=0) + 1:04d}"
            new.rename(within / name)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return name

    def _write(self, state: _State, event: Event) -> None:
        moves = event.did in MOVES
        after = _State(
            current=event.version if moves else state.current,
            history=(*state.history, event),
        )
        with atomic_write(self.folder / CURRENT_FILE) as stream:
            stream.write(after.model_dump_json(indent=1) + "\n")


@contextmanager
def retraining(folder: Path) -> Iterator[None]:
    """Within it no other process retrains the pipeline in a folder.

    Raises ConfigError where one does: it takes minutes, so that nobody waits for it.
    """
    path = make_folder(folder) / RETRAIN_FILE
    try:
        with exclusive(path):
            os.utime(path)  # see last_retraining
            yield
    except BlockingIOError as error:
        raise ConfigError(
            f"{folder}: another process is retraining this pipeline; try again when it is done"
        ) from error


def last_retraining(folder: Path) -> float:
    """When the pipeline in a folder was last retrained or, if never, made; Unix seconds, or 0."""
    try:
        return (folder / RETRAIN_FILE).stat().st_mtime
    except OSError:
        added = [event.at.timestamp() for event in _state(folder).history if event.did == "added"]
        return added[-1] if added else 0.0


def current_version(folder: Path) -> tuple[str | None, bool]:
    """The current version in a folder, None without versions, and whether it needs no evidence.

    It needs none where the gate passed it, or somebody forced it.
    """
    state = _state(folder)
    came = [e for e in state.history if e.did in MOVES]
    is_vouched = bool(came) and (came[-1].forced or came[-1].figures is not None)
    return state.current, is_vouched and came[-1].version == state.current


def current_since(folder: Path) -> float:
    """When the current version in a folder became so; Unix seconds, 0 where that is not known."""
    state = _state(folder)
    came = [e for e in state.history if e.did in MOVES and e.version == state.current]
    return came[-1].at.timestamp() if came else 0.0


def current_folder(folder: str | Path) -> Path:
    """The folder of the pipeline that a folder means: its current version, or itself.

    Raises PipelineError where it has versions and none is current, or the current one is missing.
    """
    folder = Path(folder)
    current = _state(folder).current
    is_plain = current is None and (folder / DESCRIPTION_FILE).exists()
    names = [] if is_plain else PipelineVersions(folder).names
    if current in names:
        return folder / _FOLDER / current
    if current is not None:
        known = ", ".join(names) or "none"
        raise PipelineError(
            f"{folder}: {CURRENT_FILE} names version {current}, which is not there; there are: "
            f"{known}. Copy it there again, or `equirouter pipeline promote {folder} VERSION`"
        )
    if names:
        raise PipelineError(
            f"{folder}: it has the versions {', '.join(names)}, and none is current: "
            f"`equirouter pipeline promote {folder} {names[-1]}` makes one so"
        )
    return folder


def _state(folder: Path) -> _State:
    path = folder / CURRENT_FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return _State()
    except OSError as error:
        raise PipelineError(f"{path}: {error.strerror or error}") from error
    try:
        return _State.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the document"
        raise PipelineError(
            f"{path}: {place}: {first['msg']}; take the file from a copy, or write "
            '{"schema": 1, "current": "0001"} with the name of a version into it'
        ) from error


def _event(
    did: Did,
    version: str,
    over: str | None,
    how: str,
    **more: Any,  # noqa: ANN401  # the other fields of Event
) -> Event:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name for this user id, as in a container
        user = "unknown"
    now = datetime.now(UTC).replace(microsecond=0)
    return Event(at=now, by=user, did=did, version=version, over=over, how=how, **more)

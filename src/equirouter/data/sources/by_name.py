"""The contract of a data set, and from what a user types to one: NAME[:key=value ...]."""

import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError, DataError
from equirouter.extras import Need
from equirouter.progress import Progress, silent
from equirouter.registry import DATASETS, setting_value
from equirouter.words import did_you_mean, number_of


@runtime_checkable
class Dataset(Protocol):
    """A class registered in registry.DATASETS, made with keyword arguments that all have defaults.

    They are the settings that a user writes as NAME:key=value (make_dataset), except path.
    """

    @property
    def name(self) -> str:
        """The name that a user types."""

    @property
    def description(self) -> str:
        """One line: what it holds, how large it is, where it comes from."""

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table, from a local copy if path is given.

        Raises DataError for a copy that is not what it should be, DownloadError when the files can
        not be fetched.
        """


_NEXT_SETTING = re.compile(r":(?=[a-z_]+=)")  # so that a path may hold a colon, as in C:\data


def make_dataset(spec: str) -> tuple[Dataset, Path | None]:
    """A data set and the local copy it is to be read from, None if it is to be fetched.

    spec: a registered name, then settings as key=value with JSON values or bare words, for example
    "mixinstruct:metric=bleurt:path=~/mix". path is known to every data set; the others are the
    keyword arguments of its class. Raises UnknownNameError for the name, ConfigError for a setting,
    both with the known names.

    >>> dataset, path = make_dataset("simulated:n_queries=80:seed=1")
    >>> dataset.name, path
    ('simulated', None)
    """
    name, *parts = _NEXT_SETTING.split(spec)
    made = DATASETS.load(name)
    known = [*inspect.signature(made).parameters, "path"]
    settings: dict[str, Any] = {}
    path = None
    for part in parts:
        key, _, text = part.partition("=")
        if key not in known:
            raise ConfigError(
                f"{name} has no setting {key!r}: {did_you_mean(key, known)}known: "
                f"{', '.join(known)}"
            )
        if key == "path":
            path = _path(text)
        else:
            settings[key] = setting_value(text)
    dataset: Dataset = made(**settings)
    return dataset, path


def load_named(spec: str, *, progress: Progress = silent) -> Outcomes:
    """The table of a registered data set. Raises what make_dataset and Dataset.load raise."""
    dataset, path = make_dataset(spec)
    return dataset.load(path, progress=progress)


def needs_of_dataset(spec: str) -> tuple[Need, ...]:
    """Packages beside the core that a data set needs, `needs` of its class; () for a file."""
    name = _NEXT_SETTING.split(spec)[0]
    return () if name not in DATASETS.names() else getattr(DATASETS.load(name), "needs", ())


def is_encoded(spec: str) -> bool:
    """Whether a data set has embeddings in place of texts, `is_encoded` of its class."""
    name = _NEXT_SETTING.split(spec)[0]
    return name in DATASETS.names() and getattr(DATASETS.load(name), "is_encoded", False)


def decoded(place: str, content: str | bytes) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """A JSON document. Raises DataError, which names its place."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: this is not JSON: {error}") from error


def with_note_on_missing(outcomes: Outcomes) -> Outcomes:
    """The table with a note on how many queries lack outcomes, if one does."""
    missing = int((~outcomes.is_complete).sum())
    lacking = number_of(missing, "query lacks", "queries lack")
    note = f"{lacking} outcomes of some models; measures leave them out"
    return replace(outcomes, notes=(*outcomes.notes, note)) if missing else outcomes


def check_choice(setting: str, value: object, known: tuple[str, ...]) -> str:
    """The value if it is one of those known. Raises ConfigError, with the nearest one, if not."""
    if isinstance(value, str) and value in known:
        return value
    hint = did_you_mean(str(value), known)
    raise ConfigError(f"{setting} is {value!r}: {hint}known: {', '.join(known)}")


def _path(text: str) -> Path:
    if not text:
        raise ConfigError("path is empty: expected path=FILE or path=FOLDER")
    return Path(text).expanduser()

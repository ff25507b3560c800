"""The contract of a data set: a name that gives an outcomes table."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from equirouter.data.outcomes import Outcomes
from equirouter.data.sources.hub import HubFile
from equirouter.progress import Progress, silent


@runtime_checkable
class Dataset(Protocol):
    """A class registered in registry.DATASETS, made with keyword arguments that all have defaults.

    They are the settings that a user writes as NAME:key=value (make.py), except path.
    """

    @property
    def name(self) -> str:
        """The name that a user types."""

    @property
    def description(self) -> str:
        """One line: what it holds, how large it is, where it comes from."""

    @property
    def files(self) -> tuple[HubFile, ...]:
        """The files that are downloaded when no path is given; none if it needs none."""

    def load(self, path: Path | None = None, *, progress: Progress = silent) -> Outcomes:
        """The outcomes table, from a local copy if path is given.

        Raises DataError for a copy that is not what it should be, DownloadError when the files can
        not be fetched.
        """

"""Outcomes tables: what they are, how they are read, written, fetched and split.

    outcomes.py     Outcomes, the table, and its Description
    tables.py       read_table, write_table: parquet, CSV, JSON lines, pandas pickles
    split.py        split_outcomes -> Split: train, validation and test part
    sources/        data sets by name: the simulations, published benchmarks, downloads
    reading/        the steps of read_table, and both layouts

Importing this package reads no files and loads neither pandas nor huggingface_hub.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equirouter.data.outcomes import Description, Outcomes
from equirouter.errors import UnknownNameError
from equirouter.progress import Progress, silent

if TYPE_CHECKING:
    from equirouter.data.sources.base import Dataset as Dataset
    from equirouter.data.split import Split as Split
    from equirouter.data.split import split_outcomes as split_outcomes
    from equirouter.data.tables import read_table as read_table
    from equirouter.data.tables import write_table as write_table

_LAZY = {
    "Dataset": "equirouter.data.sources.base",
    "Split": "equirouter.data.split",
    "read_table": "equirouter.data.tables",
    "split_outcomes": "equirouter.data.split",
    "write_table": "equirouter.data.tables",
}

__all__ = ["Description", "Outcomes", "load_dataset", *_LAZY]


def load_dataset(
    name_or_path: str | Path,
    *,
    performance_range: tuple[float, float] = (0.0, 1.0),
    progress: Progress = silent,
) -> Outcomes:
    """The outcomes table of a registered data set, or in a file.

    name_or_path: a name of registry.DATASETS, which goes first, with settings as make_dataset reads
    them ("mixinstruct:metric=bleurt:path=FOLDER"), or the path of a file that read_table reads.
    performance_range: of a file; a registered data set knows its own.
    Raises UnknownNameError when it is neither, ConfigError for a setting, DataError for a damaged
    file, DownloadError.
    """
    from equirouter.data.sources.make import load_named
    from equirouter.data.tables import read_table
    from equirouter.registry import DATASETS

    name = str(name_or_path)
    if name.partition(":")[0] in DATASETS.names():
        return load_named(name, progress=progress)
    if os.path.exists(name):  # noqa: PTH110  # Path.exists raises on a name that is too long
        return read_table(name, performance_range=performance_range)
    if name.endswith(
        (".parquet", ".csv", ".jsonl", ".ndjson", ".pkl", ".pickle")
    ):  # a file is meant
        raise UnknownNameError(
            f"{name}: no file of that path was found; data sets that are known by a name are "
            f"{', '.join(DATASETS.names())}"
        )
    try:
        DATASETS.load(name.partition(":")[0])
    except UnknownNameError as error:
        raise UnknownNameError(f"{name}: no file of that path was found, and {error}") from None
    raise AssertionError("a name that is not registered was loaded")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

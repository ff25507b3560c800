"""A table of outcomes from whatever names or holds one."""

import os
from pathlib import Path

from equirouter.answers import make_extractor
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.files import RECOGNISED, read_frame
from equirouter.data.reading.layouts import from_columns
from equirouter.data.sources.by_name import load_named
from equirouter.data.table_checks import check_range
from equirouter.data.tables import read_table
from equirouter.errors import ConfigError, UnknownNameError
from equirouter.progress import Progress, silent
from equirouter.registry import DATASETS


def as_outcomes(
    table: object,
    *,
    name: str = "table",
    performance_range: tuple[float, float] = (0.0, 1.0),
    answers_by: str | None = None,
    progress: Progress = silent,
) -> Outcomes:
    """An outcomes table from what a caller has.

    table: an Outcomes, which is returned as it is; the name of a data set or the path of a file, as
    load_dataset takes them; or a pandas, polars or pyarrow table, or a mapping of column -> cells,
    wide or long, with the columns of an outcomes file (docs/data-format.md). Tables in memory are
    read through the Arrow PyCapsule interface, `__arrow_c_stream__`, so no library is needed.
    name: of such a table, for messages and results. performance_range: the worst and the best
    performance in a file or such a table. answers_by: of one too, see read_table.
    Raises the errors of load_dataset; DataError that names row (counted from 1) and column.

    >>> as_outcomes({"query": ["2 + 2?"], "query_id": ["a"], "m": [1.0], "m|total_cost": [0.01]})
    Outcomes 'table': 1 query, 1 model, 1 task
      model  performance    cost_usd
      m           1.0000    0.010000
      tasks: all 1
      note: there is no column 'task' (or 'eval_name'): all queries are of one task, 'all'
    """
    if isinstance(table, Outcomes):
        return table
    if isinstance(table, str | Path):
        return load_dataset(
            table, performance_range=performance_range, answers_by=answers_by, progress=progress
        )
    check_range(*performance_range)
    extractor = None if answers_by is None else make_extractor(answers_by)
    return from_columns(
        read_frame(table, name, responses=extractor is not None),
        name=name,
        performance_range=performance_range,
        extractor=extractor,
    )


def load_dataset(
    name_or_path: str | Path,
    *,
    performance_range: tuple[float, float] = (0.0, 1.0),
    answers_by: str | None = None,
    progress: Progress = silent,
) -> Outcomes:
    """The outcomes table of a registered data set, or in a file.

    name_or_path: a name of registry.DATASETS, which goes first, with settings as make_dataset reads
    them ("mixinstruct:metric=bleurt:path=FOLDER"), or the path of a file that read_table reads.
    performance_range: of a file; a registered data set knows its own. answers_by: of a file, see
    read_table; ConfigError for a registered one.
    Raises UnknownNameError when it is neither, ConfigError for a setting, DataError for a damaged
    file, DownloadError.

    >>> load_dataset("simulated:n_queries=80").n_queries
    80
    """
    name = str(name_or_path)
    if name.partition(":")[0] in DATASETS.names():
        if answers_by is not None:
            raise ConfigError(
                f"answers are read by {answers_by!r} out of a file, and {name} is the name of a "
                "data set: give the path of a file, or the data set's own setting answers_by"
            )
        return load_named(name, progress=progress)
    if os.path.exists(name):  # noqa: PTH110  # Path.exists raises on a name that is too long
        return read_table(name, performance_range=performance_range, answers_by=answers_by)
    if name.lower().endswith(RECOGNISED):  # a file is meant
        raise UnknownNameError(
            f"{name}: no file of that path was found; data sets that are known by a name are "
            f"{', '.join(DATASETS.names())}"
        )
    try:
        DATASETS.load(name.partition(":")[0])
    except UnknownNameError as error:
        raise UnknownNameError(f"{name}: no file of that path was found, and {error}") from None
    raise AssertionError("a name that is not registered was loaded")

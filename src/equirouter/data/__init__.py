"""Outcomes tables: what they are, how they are read, written, fetched and split.

    outcomes.py       Outcomes, the table; description.py: it in figures, as text and HTML;
                      cells.py: its columns; table_checks.py: its checks when it is made
    logged.py         what of a log means are taken over
    strength.py       the strongest model, and those that are as strong within noise
    table_warnings.py what looks wrong in a table
    tables.py         read_table, write_table: parquet, CSV, JSON lines, pandas pickles;
                      load_dataset: a name or a file; as_outcomes: those, or a table in memory
    query_table.py    what was asked: AskedQuery, read_queries, write_queries
    pools.py          models that have queries in common
    merging.py        merge_tables: several tables as one
    repeats.py        queries that are equal, or nearly so
    split.py          split_outcomes -> Split: train, validation and test part
    sources/          data sets by name: the simulations, published benchmarks, downloads
    reading/          the steps of read_table, and both layouts
    logs/             logs of requests in many formats, as requests

Importing this package reads no files and loads neither pandas nor huggingface_hub.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from equirouter.data.description import Description
from equirouter.data.outcomes import Outcomes

if TYPE_CHECKING:
    from equirouter.data.merging import merge_tables as merge_tables
    from equirouter.data.sources.by_name import Dataset as Dataset
    from equirouter.data.split import Split as Split
    from equirouter.data.split import split_outcomes as split_outcomes
    from equirouter.data.tables import as_outcomes as as_outcomes
    from equirouter.data.tables import load_dataset as load_dataset
    from equirouter.data.tables import read_table as read_table
    from equirouter.data.tables import write_table as write_table

_LAZY = {
    "as_outcomes": "equirouter.data.tables",
    "load_dataset": "equirouter.data.tables",
    "merge_tables": "equirouter.data.merging",
    "Dataset": "equirouter.data.sources.by_name",
    "Split": "equirouter.data.split",
    "read_table": "equirouter.data.tables",
    "split_outcomes": "equirouter.data.split",
    "write_table": "equirouter.data.tables",
}

__all__ = ["Description", "Outcomes", *_LAZY]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

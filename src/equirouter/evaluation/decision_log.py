"""decisions.parquet: every choice of a run, so that anybody can compute the metrics again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.output import atomic_write

ROWS_AT_ONCE = 2**20
"""Rows of the file that are made before they are written, some 60 bytes each."""


@dataclass(frozen=True, eq=False)
class DecisionLog:
    """Writes one row per router, seed, operating point and test query."""

    writer: Any
    stream: IO[bytes]
    outcomes: Outcomes
    setting: str

    def add(
        self,
        router: str,
        seed: int,
        rows: IntArray,
        points: FloatArray,
        chosen: IntArray,
        spent_usd: FloatArray | None = None,
    ) -> None:
        """One router's sweep: rows (n,) of the table, points (T,), chosen (n, T) columns.

        spent_usd (n, T): of all calls, where there are more than that of the chosen model.
        """
        import pyarrow as pa

        n, n_points = chosen.shape
        names = {
            "router": pa.array([router]),
            "query_id": pa.array([self.outcomes.query_ids[row] for row in rows]),
            "chosen_model": pa.array(list(self.outcomes.models)),
        }
        at_once = max(1, ROWS_AT_ONCE // n)
        dictionary = pa.DictionaryArray.from_arrays
        for first in range(0, n_points, at_once):
            part = np.arange(first, min(first + at_once, n_points), dtype=np.int32)
            columns = chosen[:, part].T.ravel()  # point by point: long runs compress well
            queries = np.tile(np.arange(n, dtype=np.int32), len(part))
            repeated = np.tile(rows, len(part))
            point = np.repeat(part, n)
            arrays = [
                dictionary(pa.array(np.zeros(len(columns), np.int32)), names["router"]),
                pa.array(np.full(len(columns), seed, np.int64)),
                pa.array(point),
                pa.array(points[point]),
                dictionary(pa.array(queries), names["query_id"]),
                dictionary(pa.array(columns.astype(np.int32)), names["chosen_model"]),
                pa.array(self.outcomes.performance[repeated, columns]),
                pa.array(
                    self.outcomes.cost_usd[repeated, columns]
                    if spent_usd is None
                    else spent_usd[:, part].T.ravel()
                ),
            ]
            self.writer.write_table(pa.Table.from_arrays(arrays, schema=_schema(self.setting)))

    def finish(self) -> None:
        """Write what is still to be written, so that a full disk is known of now."""
        self.writer.close()
        self.stream.flush()


@contextmanager
def decision_log(path: str | Path, outcomes: Outcomes, setting: str) -> Iterator[DecisionLog]:
    """Open decisions.parquet for writing; it appears at path when all of it is written."""
    import pyarrow.parquet as pq

    with (
        atomic_write(path, "wb") as stream,
        pq.ParquetWriter(stream, _schema(setting), compression="zstd") as writer,
    ):
        log = DecisionLog(writer, stream, outcomes, setting)
        yield log
        log.finish()


def _schema(setting: str) -> Any:  # noqa: ANN401  # pyarrow is not typed
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("router", text),
            ("seed", pa.int64()),
            ("point", pa.int32()),
            (setting, pa.float64()),
            ("query_id", text),
            ("chosen_model", text),
            ("performance", pa.float64()),
            ("cost_usd", pa.float64()),
        ]
    )

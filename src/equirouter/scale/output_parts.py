"""One piece of the input decided, and written as one part of the output."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equirouter.errors import DataError
from equirouter.pipeline.decision import ByModel, Decision
from equirouter.places import Place
from equirouter.scale.asked_rows import Asking, decided_at
from equirouter.scale.lines import decided_lines
from equirouter.scale.pieces import Piece, asked_columns, lines_of, open_parquet

ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Done:
    """A part that is written."""

    number: int
    n_rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Work:
    """Work on every piece of a run. keep: fields of a row to write, None for all."""

    asking: Asking
    output: Place
    keep: tuple[str, ...] | None

    def __call__(self, piece: Piece) -> Done:
        """Decide a piece and write its part, whole or not at all.

        Raises DataError for what is damaged in it, and OutputError.
        """
        with self.output.under(piece.part).written() as stream:
            counted = _Counted(stream)
            n_rows = self.decide(piece, counted)
        return Done(piece.number, n_rows, counted.size, counted.digest.hexdigest())

    def decide(self, piece: Piece, stream: Any, most_rows: int | None = None) -> int:  # noqa: ANN401
        """Write the decisions on a piece, or on its first rows, to a stream; how many there are."""
        write = self._parquet if piece.kind == "parquet" else self._lines
        return write(piece, stream, most_rows)

    def _lines(self, piece: Piece, stream: Any, most_rows: int | None) -> int:  # noqa: ANN401
        n_rows = 0
        decide = self.asking.pipeline.decide_each
        for block in decided_lines(lines_of(piece), self.asking, decide, self.keep):
            stream.write(b"".join(block))
            n_rows += len(block)
            if most_rows is not None and n_rows >= most_rows:
                break
        return n_rows

    def _parquet(self, piece: Piece, stream: Any, most_rows: int | None) -> int:  # noqa: ANN401
        n_rows = 0
        tables = self._tables(piece)
        first = next(tables)
        sink = pa.PythonFile(stream, mode="w")
        with pq.ParquetWriter(sink, first.schema, compression="zstd") as writer:
            for table in chain([first], tables):
                writer.write_table(table)
                n_rows += table.num_rows
                if most_rows is not None and n_rows >= most_rows:
                    break
        return n_rows

    def _tables(self, piece: Piece) -> Iterator[pa.Table]:
        """The rows of a piece, each with its decision, block by block."""
        with open_parquet(piece.address) as file:
            names = file.schema_arrow.names
            kept = names if self.keep is None else self.keep
            asked = asked_columns(names, self.asking.text)
            wanted = [name for name in names if name in {*asked, *kept}]
            for first, batch in _batches(file, piece, wanted):
                rows = batch.select(asked).to_pylist()
                places = [f"{piece.address}: row {first + i + 1}" for i in range(len(rows))]
                asks = [self.asking.ask(row, at) for row, at in zip(rows, places, strict=True)]
                decisions = decided_at(places, asks, self.asking.pipeline.decide_each)
                columns = dict(zip(kept, batch.select(kept).columns, strict=True))
                yield pa.table(columns | _columns(decisions, self.asking.pipeline.models))


class _Counted:
    """A stream that is written to, with the size and SHA-256 of what was."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, content: Any) -> int:  # noqa: ANN401  # bytes, or a buffer of pyarrow
        self._stream.write(content)
        self.digest.update(content)
        length = memoryview(content).nbytes
        self.size += length
        return length

    def flush(self) -> None:
        """Nothing: whoever opened the stream closes it."""


def _batches(
    file: pq.ParquetFile, piece: Piece, columns: list[str]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of a piece, some at a time, each time with the number of the first."""
    groups, ends, end = [], [], 0
    for number in range(file.metadata.num_row_groups):
        end += file.metadata.row_group(number).num_rows
        ends.append(end)
        if end > piece.start and end - file.metadata.row_group(number).num_rows < piece.stop:
            groups.append(number)
    at = ends[groups[0]] - file.metadata.row_group(groups[0]).num_rows
    batches = file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns)
    while at < piece.stop:
        try:
            batch = next(batches)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{piece.address}: damaged at or behind row {at + 1} "
                f"({str(error).splitlines()[0]}); make the file anew"
            ) from error
        begin, stop = max(piece.start - at, 0), min(piece.stop - at, batch.num_rows)
        if stop > begin:
            yield at + begin, batch.slice(begin, stop - begin)
        at += batch.num_rows


def _columns(decisions: Sequence[Decision], models: Sequence[str]) -> dict[str, pa.Array]:
    """The fields of decisions as columns; scores and costs have a field per model."""
    fields = dict(zip(Decision._fields, zip(*decisions, strict=True), strict=True))
    kinds = {
        "model": pa.string(),
        "predicted_cost_usd": pa.float64(),
        "setting": pa.string(),
        "value": pa.float64(),
        "fits": pa.bool_(),
        "fallbacks": pa.list_(pa.string()),
        "confidence": pa.float64(),
        "far": pa.bool_(),
    }
    columns = {name: pa.array(fields[name], kind) for name, kind in kinds.items()}
    for name in ("scores", "predicted_costs_usd"):
        columns[name] = _by_model(fields[name], models)
    reasons = [list(removed.items()) for removed in fields["removed"]]
    columns["removed"] = pa.array(reasons, pa.map_(pa.string(), pa.string()))
    return columns


def _by_model(numbers: Sequence[Mapping[str, float]], models: Sequence[str]) -> pa.StructArray:
    """A column per model. A query that was decided alone has a dict of the same float32 numbers."""
    rows = [of.row if isinstance(of, ByModel) else [of[name] for name in models] for of in numbers]
    table = np.array(rows, dtype=np.float32)
    return pa.StructArray.from_arrays([pa.array(column) for column in table.T], list(models))

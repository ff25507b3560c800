"""The input of a run cut into pieces, each of which becomes one part of the output."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from equirouter.errors import DataError
from equirouter.places import Place, place_of
from equirouter.scale.asked_rows import CONSTRAINTS, CONTROLS, FIELDS, IMAGE, Asking
from equirouter.scale.lines import read_line

Kind = Literal["parquet", "jsonl"]

ROWS_PER_PIECE = 20_000
BYTES_PER_PIECE = 2**22
"""Of a parquet file, and of JSON lines: some seconds of work."""

_KINDS: dict[str, Kind] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True)
class InputFile:
    """A file of queries. modified: as its file system says, None where it does not."""

    address: str
    kind: Kind
    size_bytes: int
    modified: str | None


@dataclass(frozen=True)
class Piece:
    """Some rows of a file, from start to before stop; of JSON lines, bytes in which they begin.

    number: from 0, in the order of the input.
    """

    number: int
    address: str
    kind: Kind
    start: int
    stop: int

    @property
    def part(self) -> str:
        """The name of the file that its decisions are written to."""
        return f"part-{self.number:06d}.{self.kind}"


def find_files(source: Place) -> list[InputFile]:
    """The files of queries at a place, a file or a folder, in the order of their names.

    Hidden ones are left out, and those whose names begin with _. Raises DataError where there is
    none, and for a single file of another kind.
    """
    with source.errors():
        is_folder = source.system.isdir(source.path)
        listing = source.system.find(source.path, detail=True) if is_folder else None
        if listing is None:
            listing = {source.path: source.system.info(source.path)}
        files = [
            InputFile(str(Place(source.system, path)), kind, info["size"], _modified(source, path))
            for path, info in sorted(listing.items())
            if (kind := _KINDS.get(PurePosixPath(path).suffix.lower())) is not None
            and not (is_folder and _is_hidden(path[len(source.path) :]))
        ]
    if not files:
        what = "no file of queries in the folder" if is_folder else "the file is of another kind"
        raise DataError(f"{source}: {what}; expected one of {', '.join(_KINDS)}")
    return files


def cut(files: list[InputFile], asking: Asking, keep: tuple[str, ...] | None) -> list[Piece]:
    """The pieces of all files, in order; every file is opened, its columns or first line checked.

    keep: fields of a row that the output has, None for all. Raises DataError that names the file.
    """
    pieces: list[Piece] = []
    for file in files:
        if file.kind == "parquet":
            size, step = _checked_rows(file.address, asking.text, keep), ROWS_PER_PIECE
        else:
            size, step = file.size_bytes, BYTES_PER_PIECE
            for place, line in lines_of(Piece(0, file.address, "jsonl", 0, 1)):
                if line.strip():
                    asking.ask(read_line(line, place, asking.text), place)
        for start in range(0, size, step):
            stop = min(start + step, size)
            pieces.append(Piece(len(pieces), file.address, file.kind, start, stop))
    return pieces


def open_parquet(address: str) -> pq.ParquetFile:
    """A parquet file, read piece by piece. Raises DataError."""
    place = place_of(address)
    try:
        return pq.ParquetFile(place.open(), pre_buffer=False, buffer_size=2**20)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{place}: not a whole parquet file ({str(error).splitlines()[0]}); make it anew"
        ) from error


def _checked_rows(address: str, text: str, keep: tuple[str, ...] | None) -> int:
    with open_parquet(address) as file:
        names = file.schema_arrow.names
        n_rows: int = file.metadata.num_rows
    kept = names if keep is None else keep
    lacks = [name for name in (text, *kept) if name not in names]
    if lacks:
        raise DataError(f"{address}: no column {lacks[0]!r}; found {', '.join(names):.200}")
    taken = [name for name in kept if name in FIELDS]
    if taken:
        raise DataError(
            f"{address}: column {taken[0]!r} would stand beside the decision's own; rename it, "
            "or leave it out of --keep"
        )
    return n_rows


def asked_columns(names: list[str], text: str) -> list[str]:
    """The columns of a parquet file that say what is asked."""
    return [name for name in (text, IMAGE, *CONTROLS, *CONSTRAINTS) if name in names]


def _is_hidden(path: str) -> bool:
    return any(name.startswith((".", "_")) for name in PurePosixPath(path).parts)


def _modified(source: Place, path: str) -> str | None:
    try:
        return str(source.system.modified(path))
    except (NotImplementedError, KeyError):
        return None


def lines_of(piece: Piece) -> Iterator[tuple[str, bytes]]:
    """The lines of a piece of JSON lines, each with its place."""
    place = place_of(piece.address)
    with place.errors(), place.open() as stream:
        at = piece.start
        if at:
            stream.seek(at - 1)  # a line that begins before it belongs to the piece before
            at += len(stream.readline()) - 1
        while at < piece.stop and (line := stream.readline()):
            yield f"{place}: the line at byte {at}", line
            at += len(line)

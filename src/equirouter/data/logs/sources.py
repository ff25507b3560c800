"""Files and folders of a log, plain or compressed, as records one after the other.

What a file is follows from its bytes: gzip and zstd are unpacked on the way; parquet, JSON (a
document, or one per line) and tables of separated columns are told apart by how they begin. Bytes
that are not UTF-8 are read as halves of characters, which no UTF-8 has, and cost no more than the
record that they are in.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from equirouter.data.logs.base import Fields, Record, Wrong
from equirouter.errors import DataError

TEXT_FILE = "text of a file"
"""The field of the record that a file of plain text is."""

_TEXT_SUFFIXES = (".txt", ".md")
_LOG_SUFFIXES = (".jsonl", ".ndjson", ".json", ".log", ".csv", ".tsv", ".parquet", ".gz", ".zst")
_SEPARATORS = ",;\t"
_IS_NO_UTF8 = "this is not valid UTF-8"
_LONGEST_CELL = 2**27
_ROWS_AT_ONCE = 1024

Told = Callable[[int], None]
"""Called with the bytes of the file that were read since it was last called."""


def files_of(paths: Iterable[str | Path]) -> list[Path]:
    """The files of a log: those named, and of folders all that may be one, by name.

    A folder of nothing but .txt and .md files is a file per query. Raises DataError for what is not
    there, and for a folder without such files.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if file.is_file() and _is_shown(file, path)
            )
            logs = [file for file in inside if file.suffix.lower() in _LOG_SUFFIXES]
            texts = [file for file in inside if file.suffix.lower() in _TEXT_SUFFIXES]
            if not (logs or texts):
                raise DataError(
                    f"{path}: no file in this folder is a log ({', '.join(_LOG_SUFFIXES)}) or a "
                    f"query ({', '.join(_TEXT_SUFFIXES)})"
                )
            files += logs or texts
        elif not path.exists():
            raise DataError(f"{path}: there is no such file or folder; check the path")
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _is_shown(file: Path, folder: Path) -> bool:
    return not any(part.startswith(".") for part in file.relative_to(folder).parts)


def records_of(path: Path, told: Told | None = None) -> Iterator[Record | Wrong]:
    """The records of a file, in its order, and in the place of each that is damaged a Wrong.

    Lines and rows are read one at a time; a JSON document that is not of lines is read whole.
    Raises DataError for a file that cannot be opened or unpacked, or is empty.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes), a log is expected")
        with path.open("rb") as raw:
            start = raw.read(4)
        if start == b"PAR1":
            yield from _parquet(path)
            return
        with open_text(path, told) as stream:
            yield from _of_text(path, stream)
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: could not be read: {error}") from error


@contextmanager
def open_text(path: Path, told: Told | None = None) -> Iterator[IO[str]]:
    """A file as text, unpacked if it is gzip or zstd. told: see Told."""
    with path.open("rb") as raw:
        start = raw.peek(4)[:4]  # a buffered reader
        source: Any = _Counted(raw, told) if told is not None else raw
        if start[:2] == b"\x1f\x8b":
            source = gzip.GzipFile(fileobj=source)
        elif start == b"\x28\xb5\x2f\xfd":
            source = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
        with io.TextIOWrapper(source, "utf-8-sig", errors="surrogateescape", newline="") as text:
            yield text


class _Counted(io.BufferedIOBase):
    """A file that says how many of its bytes were read."""

    def __init__(self, raw: IO[bytes], told: Told) -> None:
        self._raw, self._told = raw, told

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        block = self._raw.read(-1 if size is None else size)
        self._told(len(block))
        return block

    read1 = read


def _of_text(path: Path, stream: IO[str]) -> Iterator[Record | Wrong]:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst")]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in _TEXT_SUFFIXES:
        text = stream.read()
        if _is_no_utf8(text):
            yield Wrong(f"{path}: {_IS_NO_UTF8}")
        else:
            yield Record(str(path), Fields({TEXT_FILE: text, "task": path.parent.name}))
        return
    number, line = next(((i, text) for i, text in enumerate(stream, 1) if text.strip()), (0, ""))
    if not line:
        raise DataError(f"{path}: there is nothing in this file but white space")
    if suffix not in (".csv", ".tsv") and line.lstrip()[0] in "{[":
        yield from _json(path, number, line, stream)
    elif suffix in (".csv", ".tsv"):
        yield from _table(path, line, stream)
    elif _is_no_utf8(line):
        raise DataError(f"{path}: line {number}: {_IS_NO_UTF8}; save the file as UTF-8")
    else:
        raise DataError(
            f"{path}: this log cannot be read: it is neither JSON nor parquet, and a table of "
            "columns is named .csv or .tsv, a query .txt"
        )


def _is_no_utf8(text: str) -> bool:
    """Whether there is a byte in it that was not UTF-8: half a character, which has no UTF-8."""
    try:
        text.encode()  # a tenth of the time of a search
    except UnicodeEncodeError:
        return True
    return False


def _json(path: Path, number: int, line: str, stream: IO[str]) -> Iterator[Record | Wrong]:
    """JSON lines, or one document: all of the file if its first line is not one by itself."""
    document = _parsed(line)
    if document is not None:
        rest = enumerate(stream, start=number + 1)
        more = next((after for after in rest if not after[1].isspace()), None)
        if more is None:
            yield from _records_in(path, document)
        else:
            yield from _lines(path, chain([(number, line), more], rest))
        return
    text = line + stream.read()
    document = _parsed(text)
    if document is not None:
        yield from _records_in(path, document)
        return
    lines = list(enumerate(io.StringIO(text, newline=""), start=number))  # as the file has them
    if not any(_parsed(after) for _, after in lines[1:]):
        wrong = next((place for place, after in lines if _is_no_utf8(after)), None)
        if wrong is not None:
            raise DataError(f"{path}: line {wrong}: {_IS_NO_UTF8}; save the file as UTF-8")
        raise DataError(f"{path}: this is neither a JSON document nor one per line")
    yield from _lines(path, lines)


def _lines(path: Path, numbered: Iterable[tuple[int, str]]) -> Iterator[Record | Wrong]:
    for place, line in numbered:
        if line.isspace() or not line:
            continue
        document = _parsed(line)
        if isinstance(document, dict):
            yield Record(f"{path}: line {place}", Fields(document))
        elif _is_no_utf8(line):
            yield Wrong(f"{path}: line {place}: {_IS_NO_UTF8}")
        else:
            what = "this is not JSON" if document is None else "a JSON object is expected"
            yield Wrong(f"{path}: line {place}: {what}")


def _parsed(text: str) -> Any:  # noqa: ANN401
    """A JSON document that is an object or a list, None for any other text."""
    if _is_no_utf8(text):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict | list) else None


def _records_in(path: Path, document: Any) -> Iterator[Record | Wrong]:  # noqa: ANN401
    """The records of a whole document: a list of them, {"data": [...]}, or one record."""
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        yield Record(f"{path}: line 1", Fields(document))
        return
    for place, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            yield Record(f"{path}: element {place}", Fields(row))
        else:
            yield Wrong(f"{path}: element {place}: an object is expected")


def _table(path: Path, header: str, stream: IO[str]) -> Iterator[Record | Wrong]:
    """The rows of a CSV or TSV file; texts may hold line ends within quotes."""
    separator = max(_SEPARATORS, key=header.count)
    csv.field_size_limit(_LONGEST_CELL)
    rows = csv.reader(chain((header,), stream), delimiter=separator)
    names = next(rows)
    if _is_no_utf8(header):
        raise DataError(
            f"{path}: the line of column names is not valid UTF-8; save the file as UTF-8"
        )
    number = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}: this is not a whole CSV file: {error}") from error
        if not row:
            continue
        number += 1
        place = f"{path}: data row {number}"
        if any(map(_is_no_utf8, row)):
            yield Wrong(f"{place}: {_IS_NO_UTF8}")
        elif len(row) != len(names):
            yield Wrong(
                f"{place}: {len(row)} cells, the line of column names has {len(names)}; is a "
                "separator or a quote missing there?"
            )
        else:
            yield Record(place, Fields(zip(names, row, strict=True)))


def _parquet(path: Path) -> Iterator[Record | Wrong]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            for row in _rows(batch):
                number += 1
                place = f"{path}: data row {number}"
                if row is None:
                    yield Wrong(f"{place}: {_IS_NO_UTF8}")
                else:
                    yield Record(place, Fields(row))


def _rows(batch: pa.RecordBatch) -> Iterable[Mapping[str, Any] | None]:
    """The rows; None in the place of one with a text that is not UTF-8."""
    try:
        rows: list[Mapping[str, Any] | None] = batch.to_pylist()
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            return [None]
        middle = batch.num_rows // 2
        return chain(_rows(batch.slice(0, middle)), _rows(batch.slice(middle)))
    return rows


def first_records(path: Path, n: int) -> list[Record]:
    """The first n records of a file that can be read."""
    return [record for record in islice(records_of(path), n) if isinstance(record, Record)]

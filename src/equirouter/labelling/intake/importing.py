"""A log of requests in any known format, made into a table of queries."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from equirouter.arrays import FloatArray
from equirouter.conversation import Scope, read_scope
from equirouter.data.logs.base import NO_TEXT, Found, LeftOut, LoggedRequest, Wrong
from equirouter.data.logs.recognise import format_of, known_formats
from equirouter.data.logs.sources import files_of, records_of
from equirouter.data.query_table import AskedQuery, write_queries
from equirouter.errors import ConfigError, DataError, UnknownNameError
from equirouter.labelling.intake.alike import AlikeTexts, Folded, key_of, last_turn
from equirouter.labelling.intake.redaction import Redactor
from equirouter.labelling.intake.sampling import clustered, drawn
from equirouter.labelling.intake.summary import LogSummary
from equirouter.progress import Progress, silent
from equirouter.words import number_of

_NAMED_ERRORS = 5
_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The outcome of an import.

    summary: the whole log. n_written: queries in the table. redacted: what was replaced and what
    was not, None where nothing was asked to be. hints: how what is missing comes into the log.
    """

    summary: LogSummary
    n_written: int
    redacted: str | None
    hints: tuple[str, ...]


def import_log(
    logs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    format_name: str | None = None,
    sample: int | None = None,
    redact: bool = False,
    scope: Scope = "last_user",
    window_turns: int = 8,
    seed: int = 42,
    progress: Progress = silent,
) -> ImportReport:
    """Read logs of requests and write a table of queries, which collect reads.

    logs: files and folders, plain or as gzip or zstd; each file's format is told by its first
    records. out: a .parquet file, see data/query_table.py. format_name: of LOG_FORMATS, for all
    files. sample: write about that many queries that look like the whole, with their weights.
    redact: replace personal data, see Redactor. scope, window_turns: what of a conversation is
    routed on, as the gateway has them. The texts pass through a file in the folder for temporary
    ones; in memory are a few numbers per query.
    Raises DataError, which names lines, where a request cannot be read, the format is not known, or
    no request has a text: nothing is written then.

    >>> from equirouter import import_log
    >>> with open("log.jsonl", "w") as log:
    ...     _ = log.write('{"messages": [{"role": "user", "content": "What is 2 + 2?"}]}')
    >>> import_log("log.jsonl", "queries.parquet").n_written
    1
    """
    if sample is not None and sample < 1:
        raise ConfigError(f"sample is {sample}, expected a number of queries of at least 1")
    if Path(out).suffix.lower() != ".parquet":
        raise DataError(f"{out}: a table of queries is written as .parquet; name the file so")
    redactor = Redactor() if redact else None  # said before the work if it cannot be had
    given = [logs] if isinstance(logs, str | Path) else logs
    intake = _Intake(scope, window_turns)
    by_format = _by_format(files_of(given), format_name)
    with tempfile.TemporaryDirectory(prefix="equirouter-import-") as folder:
        spool = Path(folder) / "queries.parquet"
        write_queries(intake.queries(by_format, progress), spool)
        hints = intake.check(by_format)
        rows = {query.row: query for query in intake.queries_found}
        weights = _weights(spool, rows, sample, seed)
        n_written = write_queries(_finished(spool, rows, weights, redactor, intake), out)
    redacted = None if redactor is None else redactor.said()
    return ImportReport(intake.summary, n_written, redacted, hints)


def _by_format(files: Sequence[Path], name: str | None) -> dict[str, list[Path]]:
    """Name of a format -> its files."""
    if name is not None and name not in known_formats():
        raise UnknownNameError(f"no log format {name!r}; known: {', '.join(known_formats())}")
    files_of: dict[str, list[Path]] = {}
    for file in files:
        files_of.setdefault(name or format_of(file), []).append(file)
    return files_of


class _Intake:
    """One import: what was found so far."""

    def __init__(self, scope: Scope, window_turns: int) -> None:
        self.scope, self.window_turns = scope, window_turns
        self.summary = LogSummary()
        self.queries_found: list[Folded] = []
        self._folded: dict[bytes, Folded] = {}
        self._alike = AlikeTexts()
        self.wrong: list[str] = []
        self.n_wrong = 0
        self.n_without_text: dict[str, int] = {}

    def queries(self, by_format: dict[str, list[Path]], progress: Progress) -> Iterator[AskedQuery]:
        """Every request that stands for a query when it is read; a later one may take its place."""
        total = sum(file.stat().st_size for files in by_format.values() for file in files)
        done = 0

        def told(n_bytes: int) -> None:
            nonlocal done
            done += n_bytes
            progress("read", min(done, total), total)

        row = 0
        for name, files in by_format.items():
            self.summary.n_files[name] = len(files)
            records = chain.from_iterable(records_of(file, told) for file in files)
            for request in known_formats()[name].found(self._readable(records)):
                asked = self._taken(name, request, row)
                if asked is not None:
                    yield asked
                    row += 1
        progress("read", total, total)

    def _readable(self, records: Iterable[Any]) -> Iterator[Any]:
        for record in records:
            if isinstance(record, Wrong):
                self._add_wrong(record.why)
            else:
                yield record

    def _add_wrong(self, why: str) -> None:
        self.n_wrong += 1
        if len(self.wrong) < _NAMED_ERRORS:
            self.wrong.append(why)

    def _taken(self, name: str, record: Found, row: int) -> AskedQuery | None:
        """Count what was found; the request where it stands for its query from now on."""
        if isinstance(record, Wrong):
            self._add_wrong(record.why)
            return None
        if isinstance(record, LeftOut):
            self.summary.left_out[record.why] += 1
            if record.why == NO_TEXT:
                self.n_without_text[name] = self.n_without_text.get(name, 0) + 1
            return None
        reading = read_scope(record.messages, self.scope, self.window_turns)
        if not reading.text:
            why = "with a picture and no text" if reading.image else "without a text to route on"
            self.summary.left_out[why] += 1
            return None
        self.summary.add(record, reading.text)
        key = key_of(record.messages)
        known = self._known(key, record)
        if known is None:
            self._folded[key] = Folded(row, record.answer is not None)
            self.queries_found.append(self._folded[key])
            self.summary.n_queries += 1
        else:
            known.count += 1
            if known.is_answered or record.answer is None:
                return None
            known.row, known.is_answered = row, True  # the first that was answered
        return _asked(record, reading.text, key.hex()[:16])

    def _known(self, key: bytes, record: LoggedRequest) -> Folded | None:
        """The query that a record repeats, None for a new one."""
        known = self._folded.get(key)
        if known is not None:
            self.summary.n_same_words += 1
            return known
        new = len(self.queries_found)
        number = self._alike.find_or_add(*last_turn(record.messages), new)
        if number == new:
            return None
        self.summary.n_alike += 1
        self._folded[key] = self.queries_found[number]
        return self._folded[key]

    def check(self, by_format: dict[str, list[Path]]) -> tuple[str, ...]:
        """Hints on what was left out. Raises DataError where the log cannot be used as it is."""
        readers = known_formats()
        if self.wrong:
            more = self.n_wrong - len(self.wrong)
            raise DataError(
                f"{number_of(self.n_wrong, 'record')} cannot be read, so nothing was written:\n  "
                + "\n  ".join(self.wrong)
                + (f"\n  and {more} more" if more else "")
                + "\nRepair or remove them, or name the format with --format if another was meant"
            )
        hints = tuple(
            f"{number_of(n, 'request')} of {name} without the text that was asked: "
            f"{readers[name].keeps_texts}"
            for name, n in self.n_without_text.items()
        )
        if not self.summary.n_requests:
            files = ", ".join(str(file) for files in by_format.values() for file in files[:3])
            why = "; ".join(f"{n} {why}" for why, n in self.summary.left_out.most_common())
            advice = "".join(f"\n{hint}" for hint in hints)
            raise DataError(
                f"{files}: read as {', '.join(by_format)}, and there is no request with a text in "
                f"it: {why or 'it has no records'}{advice}"
            )
        return hints


def _asked(request: LoggedRequest, text: str, name: str) -> AskedQuery:
    """The request as a row; what both name alike is taken over."""
    alike = {field.name for field in fields(AskedQuery)} & {f.name for f in fields(LoggedRequest)}
    known = {field: _whole(getattr(request, field)) for field in alike} | {
        "messages": _json(request.messages),
        "parameters": _json(request.parameters) if request.parameters else None,
        "disagreed": None if request.disagreed is None else int(request.disagreed),
    }
    return AskedQuery(query_id=name, query=_whole(text), **known)


def _json(value: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    return str(_whole(json.dumps(value, ensure_ascii=False)))


def _whole(value: Any) -> Any:  # noqa: ANN401  # of a field
    """A value; halves of characters in a text, which no file holds, become question marks."""
    is_text = isinstance(value, str) and not value.isascii()
    return value.encode("utf-8", "replace").decode("utf-8") if is_text else value


def _spooled(spool: Path) -> Iterator[AskedQuery]:
    with pq.ParquetFile(spool) as file:
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            for cells in batch.to_pylist():
                yield AskedQuery(**cells)


def _weights(
    spool: Path, rows: dict[int, Folded], sample: int | None, seed: int
) -> dict[int, float]:
    """Row -> the requests that it stands for, of the queries that are written."""
    standing = sorted(rows)
    counts = np.array([rows[row].count for row in standing], dtype=np.int64)
    if sample is None or sample >= len(standing):
        return dict(zip(standing, counts.astype(np.float64).tolist(), strict=True))
    rng = np.random.default_rng(seed)

    def written() -> Iterator[AskedQuery]:
        return (asked for row, asked in enumerate(_spooled(spool)) if row in rows)

    def blocks() -> Iterator[list[str]]:
        texts = (asked.query for asked in written())
        while block := list(islice(texts, _ROWS_AT_ONCE)):
            yield block

    tasks = [asked.task or "" for asked in written()]
    clusters = clustered(blocks, len(standing), sample, rng)
    weights: FloatArray = drawn(counts, tasks, clusters, sample, rng)
    return {row: weight for row, weight in zip(standing, weights.tolist(), strict=True) if weight}


def _finished(
    spool: Path,
    rows: dict[int, Folded],
    weights: dict[int, float],
    redactor: Redactor | None,
    intake: _Intake,
) -> Iterator[AskedQuery]:
    """The queries of the table with their counts and weights, in the order of the log."""
    for row, asked in enumerate(_spooled(spool)):
        if row in weights:
            done = replace(asked, count=rows[row].count, weight=weights[row])
            yield done if redactor is None else _redacted(done, redactor, row, intake)


def _redacted(asked: AskedQuery, redactor: Redactor, row: int, intake: _Intake) -> AskedQuery:
    """A copy without personal data. Its name is its place: one made of a text can be guessed."""
    messages = redactor.tree(json.loads(asked.messages))
    parameters = redactor.parameters(json.loads(asked.parameters)) if asked.parameters else None
    return replace(
        asked,
        query_id=f"query-{row}",
        query=read_scope(messages, intake.scope, intake.window_turns).text,
        messages=_json(messages),
        parameters=_json(parameters) if parameters else None,
        answer=None if asked.answer is None else redactor.text(asked.answer),
    )

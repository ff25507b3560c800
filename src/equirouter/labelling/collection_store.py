"""The folder of a collection: queries, answers, grades, labels and money, in one SQLite file.

A call is entered with the most that it may cost before it is made, and an answer with what it did
cost in one transaction, flushed to the disk: a process that is killed loses only the answers that
were on their way, and these are counted at their bound. Money is whole nano-USD.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from equirouter.errors import DataError, OutputError
from equirouter.output import make_folder

FILE = "answers.sqlite"
_LOCK = "writing.sqlite"
VERSION = 3

State = Literal["answered", "logged", "failed", "impossible"]
"""answered: by a call; logged: taken from the log; failed: called in vain; impossible: never asked,
as the model cannot take the request. An answer that the provider's filter cut or kept back is
answered, and its finish_reason says so."""

_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queries (
    query_id TEXT PRIMARY KEY, place INTEGER NOT NULL, query TEXT NOT NULL, body TEXT NOT NULL,
    task TEXT, weight REAL NOT NULL, feedback REAL, feedback_model TEXT, reference TEXT);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY, purpose TEXT NOT NULL, model TEXT NOT NULL, began REAL NOT NULL,
    reserved_nusd INTEGER NOT NULL, cost_nusd INTEGER);
CREATE TABLE IF NOT EXISTS answers (
    query_id TEXT NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL, answer TEXT,
    message TEXT, finish_reason TEXT, input_tokens INTEGER, output_tokens INTEGER,
    cost_nusd INTEGER, charged_by TEXT, latency_seconds REAL, attempts INTEGER NOT NULL,
    status INTEGER, error TEXT, asked_at REAL, PRIMARY KEY (query_id, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grades (
    grader TEXT NOT NULL, query_id TEXT NOT NULL, model TEXT NOT NULL, score REAL, note TEXT,
    cost_nusd INTEGER, PRIMARY KEY (grader, query_id, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (
    person TEXT NOT NULL, query_id TEXT NOT NULL, model TEXT NOT NULL, score REAL NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (person, query_id, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY, upstream TEXT NOT NULL, model TEXT NOT NULL, began REAL NOT NULL,
    file_id TEXT, batch_id TEXT, is_over INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS batch_calls (
    call INTEGER PRIMARY KEY, batch INTEGER NOT NULL, query_id TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class KeptQuery:
    """A query of the collection. body: the request as JSON, a chat completion without a model.

    feedback: from 0 to 1, what users said of the answer of feedback_model, None where nothing.
    reference: a right answer, None where there is none.
    """

    query_id: str
    place: int
    query: str
    body: str
    task: str | None
    weight: float
    feedback: float | None
    feedback_model: str | None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The answer of a model, or why there is none; a row of the collection.

    answer: its text, None where there is none. message: the whole message as JSON, with calls of
    tools. attempts: calls that it took. status: HTTP's, of a call that failed.
    """

    query_id: str
    model: str
    state: State
    answer: str | None = None
    message: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nusd: int | None = None
    charged_by: str | None = None
    latency_seconds: float | None = None
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    asked_at: float | None = None

    @property
    def is_answer(self) -> bool:
        """Whether the model answered, though it may have said nothing."""
        return self.state in ("answered", "logged")


@dataclass(frozen=True, slots=True)
class KeptGrade:
    """The score, from 0 to 1, that a grader gave an answer; None: it could not say, see note.

    cost_nusd: of the call for it, None where that was not kept.
    """

    grader: str
    query_id: str
    model: str
    score: float | None
    note: str | None = None
    cost_nusd: int | None = None


class Collection:
    """A collection that is open. Make one with `create` or `open`. base: its file."""

    def __init__(self, folder: Path, *, writes: bool) -> None:
        self.folder = folder
        self._lock = _only_writer(folder) if writes else None
        try:
            self.base = sqlite3.connect(folder / FILE, isolation_level=None, timeout=10.0)
            self.base.execute("PRAGMA journal_mode = WAL")
            self.base.execute("PRAGMA synchronous = FULL")  # what was paid for survives the power
            self.base.executescript(_TABLES)
            self._check_version()
        except sqlite3.DatabaseError as error:
            self.close()
            raise DataError(
                f"{folder / FILE}: not a collection that can be read ({error}); restore it from a "
                "copy, or collect into another folder"
            ) from error
        except DataError:
            self.close()
            raise

    @classmethod
    def create(cls, folder: str | Path) -> Self:
        """Open a folder to write, making it where it is not there. Raises OutputError, DataError.

        Another process that writes it is a DataError.
        """
        return cls(make_folder(folder), writes=True)

    @classmethod
    def open(cls, folder: str | Path, *, writes: bool = False) -> Self:
        """Open a folder that is there. Raises DataError where no collection is."""
        folder = Path(folder)
        if not (folder / FILE).is_file():
            raise DataError(
                f"{folder}: there are no answers in it; `equirouter collect CONFIG QUERIES --out "
                f"{folder}` collects them"
            )
        return cls(folder, writes=writes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write."""
        base = getattr(self, "base", None)
        if base is not None:
            base.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # what the collection is about

    def about(self, name: str) -> str | None:
        """A note on the collection, such as the path of the gateway's settings."""
        row = self.base.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, name: str, value: str) -> None:
        """Keep a note on the collection."""
        self.base.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def add_queries(self, queries: Iterable[KeptQuery]) -> None:
        """Add those that are not there, and feedback and references that are not.

        Raises DataError where one is there with another body.
        """
        with self.transaction():
            for query in queries:
                rows = self.base.execute(
                    "SELECT body FROM queries WHERE query_id = ?", (query.query_id,)
                ).fetchone()
                if rows is None:
                    self.insert("queries", query)
                elif json.loads(rows[0]) != json.loads(query.body):
                    raise DataError(
                        f"query {query.query_id!r} is in {self.folder} with another text or other "
                        "parameters, and its answers are to those; give it another query_id, or "
                        "collect into another folder"
                    )
                else:
                    self.base.execute(
                        "UPDATE queries SET feedback = COALESCE(feedback, ?), feedback_model = "
                        "COALESCE(feedback_model, ?), reference = COALESCE(?, reference) "
                        "WHERE query_id = ?",
                        (query.feedback, query.feedback_model, query.reference, query.query_id),
                    )

    def queries(self) -> list[KeptQuery]:
        """All, in the order in which they were added."""
        return [KeptQuery(*row) for row in self._rows("queries", KeptQuery, "place, query_id")]

    # answers

    def answers(self) -> list[KeptAnswer]:
        """All rows: answers, and calls that brought none."""
        return [KeptAnswer(*row) for row in self._rows("answers", KeptAnswer, "query_id, model")]

    def keep(self, answer: KeptAnswer) -> None:
        """Keep a row that cost nothing."""
        self.insert("answers", answer)

    # money

    def spent_nusd(self) -> int:
        """Nano-USD that all calls came to, those on their way at the most that they may cost."""
        row = self.base.execute(
            "SELECT COALESCE(SUM(COALESCE(cost_nusd, reserved_nusd)), 0) FROM calls"
        ).fetchone()
        return int(row[0])

    def costs_nusd(self, purpose: str, model: str) -> list[int]:
        """Costs of the calls of a model for a purpose, of those that cost something."""
        rows = self.base.execute(
            "SELECT cost_nusd FROM calls WHERE purpose = ? AND model = ? AND cost_nusd > 0",
            (purpose, model),
        )
        return [int(row[0]) for row in rows]

    def reserve(self, purpose: str, model: str, nusd: int) -> int:
        """Enter a call before it is made, with the most that it may cost; returns its number."""
        with self.transaction():
            entered = self.base.execute(
                "INSERT INTO calls (purpose, model, began, reserved_nusd) VALUES (?, ?, ?, ?)",
                (purpose, model, time.time(), nusd),
            )
        assert entered.lastrowid is not None  # noqa: S101  # an insert has one
        return entered.lastrowid

    def extend(self, call: int, nusd: int) -> None:
        """A call may cost so much after all."""
        self.base.execute("UPDATE calls SET reserved_nusd = ? WHERE id = ?", (nusd, call))

    def settle(self, call: int, nusd: int, kept: KeptAnswer | None = None) -> None:
        """A call is over: what it cost, and what it brought, in one step."""
        with self.transaction():
            self.base.execute("UPDATE calls SET cost_nusd = ? WHERE id = ?", (nusd, call))
            if kept is not None:
                self.insert("answers", kept)

    def count_lost(self) -> tuple[int, int]:
        """Settle calls that a killed process left at their bound; how many, and their nano-USD.

        Those in batches are not lost: they are at the provider. Only while no other process writes.
        """
        with self.transaction():
            lost = self.base.execute(
                "UPDATE calls SET cost_nusd = reserved_nusd WHERE cost_nusd IS NULL AND id NOT IN "
                "(SELECT call FROM batch_calls) RETURNING reserved_nusd"
            ).fetchall()
        return len(lost), sum(int(row[0]) for row in lost)

    # grades and labels

    def grades(self, grader: str) -> dict[tuple[str, str], KeptGrade]:
        """(query_id, model) -> the grade that a grader gave."""
        rows = self.base.execute("SELECT * FROM grades WHERE grader = ?", (grader,))
        return {(row[1], row[2]): KeptGrade(*row) for row in rows}

    def all_grades(self) -> list[KeptGrade]:
        """The grades of all graders."""
        return [KeptGrade(*row) for row in self.base.execute("SELECT * FROM grades")]

    def keep_grades(self, grades: Sequence[KeptGrade]) -> None:
        """Keep what a grader said, in place of what it said before."""
        with self.transaction():
            for grade in grades:
                self.insert("grades", grade)

    def label(self, person: str, query_id: str, model: str, score: float) -> None:
        """Keep what a person says of an answer, from 0 to 1; the latest word counts."""
        row = (person, query_id, model, score, time.time())
        self.base.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?)", row)

    def unlabel(self, person: str, query_id: str) -> None:
        """Forget what a person said of the answers to a query."""
        self.base.execute(
            "DELETE FROM labels WHERE person = ? AND query_id = ?", (person, query_id)
        )

    def latest_labelled(self, person: str) -> str | None:
        """The query whose answers a person scored last, None where there is none."""
        row = self.base.execute(
            "SELECT query_id FROM labels WHERE person = ? ORDER BY at DESC LIMIT 1", (person,)
        ).fetchone()
        return None if row is None else str(row[0])

    def labels(self) -> list[tuple[str, str, str, float]]:
        """(person, query_id, model, score) of all labels."""
        rows = self.base.execute(
            "SELECT person, query_id, model, score FROM labels ORDER BY query_id, model, person"
        )
        return [(str(row[0]), str(row[1]), str(row[2]), float(row[3])) for row in rows]

    def _rows(self, table: str, kind: type, order: str) -> Iterator[tuple[Any, ...]]:
        names = ", ".join(field.name for field in fields(kind))
        return self.base.execute(f"SELECT {names} FROM {table} ORDER BY {order}")  # noqa: S608

    def insert(self, table: str, row: Any) -> None:  # noqa: ANN401  # one of the classes above
        """Insert a row of a table, or put it in the place of one with its key."""
        names = [field.name for field in fields(row)]
        marks = ", ".join("?" * len(names))
        self.base.execute(
            f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608
            astuple(row),
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Raises OutputError where the disk refuses."""
        try:
            self.base.execute("BEGIN IMMEDIATE")
            yield
            self.base.execute("COMMIT")
        except BaseException as error:
            if self.base.in_transaction:
                self.base.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise OutputError(f"{self.folder / FILE}: could not be written: {error}") from error
            raise

    def _check_version(self) -> None:
        version = self.about("version")
        if version is None:
            self.note("version", str(VERSION))
        elif version != str(VERSION):
            raise DataError(
                f"{self.folder / FILE}: of version {version}, and this equirouter reads {VERSION}"
            )


def _only_writer(folder: Path) -> sqlite3.Connection:
    """A lock that ends with the process, however that ends. Raises DataError where it is taken."""
    path = folder / _LOCK
    try:
        lock = sqlite3.connect(path, isolation_level=None, timeout=0.0)
    except sqlite3.OperationalError as error:
        raise OutputError(f"{path}: cannot be written: {error}") from error
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise DataError(
            f"{folder}: another process is writing here ({error}); wait until it has ended, or "
            "stop it"
        ) from error
    return lock

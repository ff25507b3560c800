"""The tables of the store. Money is whole nano-USD, `day` counts days since 1970-01-01 in UTC."""

from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql, sqlite

from equirouter.serve.money.store.log_columns import COLUMNS


def inserting(dialect: str) -> Any:  # noqa: ANN401  # SQLAlchemy has a class for each
    """The INSERT of a dialect, with a word on conflicts: called with the table."""
    return sqlite.insert if dialect == "sqlite" else postgresql.insert


OPEN, CHARGED = 0, 1  # reservations.state: of a running request; of one whose worker died

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# A big integer that SQLite counts up by itself must be called INTEGER there.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


def _maybe(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=True)


# hash: SHA-256 of the key, hex. shown: its first characters, to tell keys apart. models: a JSON
# list of names, null for all. budget_nusd: per period, null for no limit. Times: Unix seconds.
keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("shown", String(16), nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("models", Text, nullable=True),
    _maybe("requests_per_minute"),
    _maybe("tokens_per_minute"),
    _maybe("budget_nusd"),
    Column("period", String(8), nullable=False),
    _number("created_at"),
    _maybe("revoked_at"),
)

# What a key spent in a period, and what its running requests may still cost. day: the first of the
# period. A row per period: a new one starts with nothing spent, an old one is never opened again.
accounts = Table(
    "accounts",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("period", String(8), primary_key=True),
    _number("day", key=True),
    _number("spent_nusd"),
    _number("reserved_nusd"),
    sqlite_with_rowid=False,
)

# Requests and tokens of a key in the minute since `minute` (Unix minutes) and the one before it.
windows = Table(
    "windows",
    metadata,
    Column("key_id", String(32), primary_key=True),
    _number("minute"),
    _number("requests"),
    _number("tokens"),
    _number("last_requests"),
    _number("last_tokens"),
    sqlite_with_rowid=False,
)

# The processes that serve. beats: counted up while alive. batch: the last batch that was written,
# so that one whose answer was lost is not written twice. gone_at: when it was found dead.
workers = Table(
    "workers",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("place", Text, nullable=False),
    _number("pid"),
    _number("started_at"),
    _number("beats"),
    _number("batch"),
    _maybe("gone_at"),
    sqlite_autoincrement=True,
)

# Money of a running request: what it may cost at most, taken from an account before the call. Or a
# slice, for requests to come: its amount becomes less with each that is settled.
reservations = Table(
    "reservations",
    metadata,
    _number("worker", key=True),
    _number("n", key=True),
    Column("request_id", Text, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("period", String(8), nullable=False),
    _number("day"),
    _number("amount_nusd"),
    _number("reserved_at"),
    Column("state", SmallInteger, nullable=False),
    sqlite_with_rowid=False,
)

# A row per request. plan, attempts, cascade: JSON. at_us: Unix microseconds.
log = Table(
    "log",
    metadata,
    Column("id", _Serial, primary_key=True),
    *(column.declared() for column in COLUMNS),
    Index(None, "at_us"),
    Index(None, "key_id", "at_us"),
    sqlite_autoincrement=True,
)

# With log_texts only. prompt: the messages as the client sent them, JSON.
texts = Table(
    "texts",
    metadata,
    Column("request_id", Text, primary_key=True),
    _number("at_us"),
    Column("prompt", Text, nullable=True),
    Column("answer", Text, nullable=True),
    Index(None, "at_us"),
)

# What users said of answers: the last word on each. at_us: when its request started. score: from 0
# to 1. source: "score", "thumbs" or "edit".
feedback = Table(
    "feedback",
    metadata,
    Column("request_id", Text, primary_key=True),
    _number("at_us"),
    _number("given_at_us"),
    Column("key_id", String(32), nullable=True),
    Column("model", Text, nullable=True),
    Column("score", Float(53), nullable=False),
    Column("comment", Text, nullable=True),
    Column("source", String(16), nullable=False, default="score"),
    Index(None, "at_us"),
)

# What graders said of answers that shadows answered too. at_us: when the request started. by: who
# scored, null while nobody has; score: null where that could not be told, note says why.
grades = Table(
    "grades",
    metadata,
    Column("request_id", Text, primary_key=True),
    _number("at_us"),
    _number("claimed_at_us"),
    Column("score", Float(53), nullable=True),
    Column("by", Text, nullable=True),
    Column("note", Text, nullable=True),
    Index(None, "at_us"),
)

# What was spent in a day on learning, or taken for it. purpose: "explore" or "shadow".
day_spending = Table(
    "day_spending",
    metadata,
    Column("purpose", String(16), primary_key=True),
    _number("day", key=True),
    _number("spent_nusd"),
    sqlite_with_rowid=False,
)

# Sums of the log over steps of time, which stay when its rows are deleted; those of one minute are
# kept for some days. step: seconds; start: Unix seconds. key_id, model: "" where there was none.
# compared: requests whose cost and strongest_nusd are both known.
sums = Table(
    "sums",
    metadata,
    Column("step", Integer, primary_key=True, autoincrement=False),
    _number("start", key=True),
    Column("key_id", String(32), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("decided_by", String(16), primary_key=True),
    _number("requests"),
    _number("errors"),
    _number("fallbacks"),
    _number("estimated"),
    _number("cost_nusd"),
    _number("compared"),
    _number("compared_cost_nusd"),
    _number("compared_strongest_nusd"),
    _number("input_tokens"),
    _number("output_tokens"),
    sqlite_with_rowid=False,
)

SUMS = tuple(column.name for column in sums.c if column.name not in sums.primary_key.columns)

STEPS = (60, 1800)
"""Seconds over which the log is summed up; each step holds whole ones of the first."""

Place: TypeAlias = tuple[int, int, str, str, str]
"""The key of a row of the table sums: step, start, key_id, model, decided_by."""

# Counts over the same steps. kind: "status", with the HTTP status as its name; "call", with
# upstream, model and outcome as a JSON list; or "cascade", with how it ended.
counts = Table(
    "counts",
    metadata,
    Column("step", Integer, primary_key=True, autoincrement=False),
    _number("start", key=True),
    Column("kind", String(16), primary_key=True),
    Column("name", Text, primary_key=True),
    _number("n"),
    sqlite_with_rowid=False,
)

# Versions that are or were tried beside the current one. pipeline, over: the ids of both. usual: of
# the current one before, JSON. verdict: null while it runs.
canaries = Table(
    "canaries",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("over", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("over_version", Text, nullable=False),
    Column("share", Float(53), nullable=False),
    Column("salt", String(32), nullable=False),
    Column("usual", Text, nullable=False),
    _number("at_us"),
    _maybe("ended_at_us"),
    Column("verdict", String(16), nullable=True),
    Column("why", Text, nullable=True),
    UniqueConstraint("pipeline", "over"),
    sqlite_autoincrement=True,
)

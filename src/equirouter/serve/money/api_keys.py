"""Keys of the gateway: made, listed, revoked, and their spending.

A key is 256 random bits, so its SHA-256 is all that must be kept: nobody can try that many, and the
slow hashes that passwords need would cost every request. It is shown once, when it is made.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import sqlalchemy as sa

from equirouter.errors import ConfigError, UnknownNameError
from equirouter.serve.money.limits import first_day, last_day
from equirouter.serve.money.store.engine import has_had_keys, keys_were_made
from equirouter.serve.money.store.log_columns import clean
from equirouter.serve.money.store.schema import accounts, keys
from equirouter.serve.records import Key

PREFIX = "eq-"
FIRST_KEY = (
    "this is the first key: from now on all clients without a key are refused, and revoking keys "
    "does not change that"
)


@dataclass(frozen=True, slots=True)
class Spend:
    """Spending of a key in a period. day: its first, in days since 1970-01-01 UTC."""

    period: Literal["day", "month"]
    day: int
    spent_nusd: int
    reserved_nusd: int


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept; shown: its first characters. spend: of the running period."""

    key: Key
    shown: str
    created_at: int
    revoked_at: int | None
    spend: Spend | None = None


def hash_of(secret: str) -> str:
    """The SHA-256 of a key in hex: the key itself is not kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def create_key(
    connection: sa.Connection,
    name: str,
    *,
    is_admin: bool = False,
    models: Sequence[str] | None = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    budget_nusd: int | None = None,
    period: Literal["day", "month"] = "month",
) -> tuple[str, Key]:
    """Make a key. Returns the secret, which is not kept, and the key with its limits.

    Raises ConfigError for a limit that is not above 0, or a period that is neither day nor month.
    """
    limits = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "budget": budget_nusd,
    }
    for limit, value in limits.items():
        if value is not None and not 0 < value < 2**62:
            raise ConfigError(f"{limit} is {value}: expected a number above 0")
    if period not in ("day", "month"):
        raise ConfigError(f"period is {period!r}: expected day or month")
    secret = PREFIX + secrets.token_urlsafe(32)
    key = Key(
        "key_" + secrets.token_hex(8),
        name,
        is_admin,
        None if models is None else frozenset(models),
        requests_per_minute,
        tokens_per_minute,
        budget_nusd,
        period,
    )
    connection.execute(
        sa.insert(keys).values(
            id=key.id,
            name=clean(name),
            hash=hash_of(secret),
            shown=secret[: len(PREFIX) + 5],
            is_admin=is_admin,
            models=None if models is None else orjson.dumps(sorted(set(models))).decode(),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            budget_nusd=budget_nusd,
            period=period,
            created_at=int(time.time()),
        )
    )
    keys_were_made(connection)
    return secret, key


def list_keys(connection: sa.Connection, *, now: float | None = None) -> list[StoredKey]:
    """All keys, the oldest first, with what each spent in the running period."""
    rows = connection.execute(sa.select(keys).order_by(keys.c.created_at, keys.c.id)).mappings()
    return [_stored(connection, row, time.time() if now is None else now) for row in rows.all()]


def find_key(connection: sa.Connection, hash_: str) -> tuple[str, Key] | None:
    """The key of that hash, with the hash as it is kept; None for an unknown or a revoked one."""
    row = connection.execute(
        sa.select(keys).where(keys.c.hash == hash_, keys.c.revoked_at.is_(None))
    ).mappings()
    stored = row.first()
    return None if stored is None else (stored["hash"], _key(stored))


def any_keys(connection: sa.Connection) -> bool:
    """Whether there has ever been a key: revoked ones count, and those of a store that was lost."""
    if connection.execute(sa.select(keys.c.id).limit(1)).first() is None:
        return has_had_keys(connection)
    keys_were_made(connection)  # also of a store that was brought here without its note
    return True


def find_named(connection: sa.Connection, id_: str, *, revoked: bool = True) -> StoredKey:
    """The key of that id or name. Raises UnknownNameError unless there is exactly one.

    revoked: whether it may be one that was revoked.
    """
    named = [
        stored
        for stored in list_keys(connection)
        if id_ in (stored.key.id, stored.key.name) and (revoked or stored.revoked_at is None)
    ]
    if not named:
        also = "" if revoked else ", or it is revoked"
        raise UnknownNameError(
            f"no key has the id or the name {id_!r}{also}: see equirouter keys list"
        )
    if len(named) > 1:
        ids = ", ".join(stored.key.id for stored in named)
        raise UnknownNameError(f"{len(named)} keys have the name {id_!r}: name one of {ids}")
    return named[0]


def revoke_key(connection: sa.Connection, id_: str) -> StoredKey:
    """Revoke a key, by its id or its name. Raises UnknownNameError unless there is exactly one."""
    key_id = find_named(connection, id_, revoked=False).key.id
    connection.execute(
        sa.update(keys).where(keys.c.id == key_id).values(revoked_at=int(time.time()))
    )
    return find_named(connection, key_id)


def spend_of(connection: sa.Connection, key_id: str) -> list[Spend]:
    """Spending of a key in each of its periods, the latest first."""
    c = accounts.c
    rows = connection.execute(
        sa.select(c.period, c.day, c.spent_nusd, c.reserved_nusd)
        .where(c.key_id == key_id)
        .order_by(c.day.desc(), c.period)
    )
    return [Spend(*row) for row in rows]


def _stored(connection: sa.Connection, row: Any, now: float) -> StoredKey:  # noqa: ANN401
    key = _key(row)
    running = range(first_day(key.period, now), last_day(now) + 1)
    spends = (
        spend
        for spend in spend_of(connection, key.id)
        if spend.period == key.period and spend.day in running
    )
    return StoredKey(key, row["shown"], row["created_at"], row["revoked_at"], next(spends, None))


def _key(row: Any) -> Key:  # noqa: ANN401  # a row by column
    models = row["models"]
    return Key(
        row["id"],
        row["name"],
        bool(row["is_admin"]),
        None if models is None else frozenset(orjson.loads(models)),
        row["requests_per_minute"],
        row["tokens_per_minute"],
        row["budget_nusd"],
        row["period"],
    )

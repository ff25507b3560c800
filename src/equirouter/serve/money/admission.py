"""Admission of requests: keys, rates and budgets, as answers of the gateway.

A key is looked up in the store at most every few seconds, and its limits are read again, with the
money, when a call is admitted, unless the key's money was taken ahead (slices.py). So a revoked key
gets no call after a second, and nothing after KEY_SECONDS, by any worker; by the one that revoked
it, from then on.
"""

import asyncio
import hmac
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from equirouter.errors import GatewayError, StoreGoneError
from equirouter.serve.contracts import Reservation
from equirouter.serve.money.api_keys import any_keys, find_key, hash_of
from equirouter.serve.money.ledger import Ledger
from equirouter.serve.money.limits import Refusal, first_day
from equirouter.serve.money.slices import Slice
from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Key, usd
from equirouter.serve.refusals import store_unreachable
from equirouter.serve.settings import KeySettings

T = TypeVar("T")

KEY_SECONDS = 2.0
"""How long a looked-up key stays valid."""

_MOST_KEYS = 10_000  # remembered, unknown ones included


class Admission:
    """Asks the store of one worker. clock: seconds that do not jump; it ages what was looked up."""

    def __init__(
        self,
        store: Store,
        settings: KeySettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger: Ledger = store.ledger
        self._settle = store.writer.settle
        self._known = _KnownKeys(store.database, clock)
        self._clock = clock
        self._full: dict[str, tuple[Refusal, float]] = {}  # keys without room in their rate
        self._required = settings.required
        self._fails_open = settings.fail == "open"

    async def authenticate(self, headers: Mapping[str, str]) -> Key | None:
        """The key in `Authorization: Bearer`, `x-api-key` or `api-key`; None: no keys are needed.

        Raises GatewayError: 401 for a key that is missing, wrong or revoked, 503 when the store
        cannot be asked about one that this worker does not know.
        """
        secret = _secret(headers)
        if secret is None or not secret.startswith("eq-"):
            if not await self.has_keys():
                return None
            raise _unauthorized("no API key of this gateway: send Authorization: Bearer eq-...")
        try:
            key = await self._known.find(secret, stale=self._fails_open)
        except StoreGoneError as error:
            raise store_unreachable() from error
        if key is not None:
            return key
        if not await self.has_keys():
            return None
        raise _unauthorized("this API key is unknown or revoked")

    async def has_keys(self) -> bool:
        """Whether a request needs a key: as set, else for good as soon as the store has had one."""
        if self._required is not None:
            return self._required
        try:
            return await self._known.any()
        except StoreGoneError as error:
            raise store_unreachable() from error

    def forget(self) -> None:
        """Keys were made or revoked by this worker: look all of them up again."""
        self._known.forget()
        self._ledger.forget()

    def check_rate(self, key: Key | None) -> None:
        """Refuse a key that `admit` refused for its requests, until there is room for one again.

        Raises GatewayError 429. It costs next to nothing: such a key gets no decision.
        """
        refused = None if key is None else self._full.get(key.id)
        if key is None or refused is None:
            return
        refusal, until = refused
        left = until - self._clock()
        if left > 0:
            raise _refused(replace(refusal, retry_after=left), 0, 0)
        del self._full[key.id]

    async def admit(
        self, key: Key | None, upper_nusd: int, *, tokens: int, request_id: str
    ) -> Reservation:
        """Reserve what a call may cost at most, and count it in the key's rate.

        Raises GatewayError: 429 when that is above a limit, 401 for a key that was revoked, 503
        when the store cannot be asked; with `fail = "open"` the call then goes on, and is charged
        when the store is back.
        """
        if key is None:
            return _Unreserved()
        try:
            answer = await self._ledger.reserve(
                key.id, upper_nusd, tokens=tokens, request_id=request_id
            )
        except StoreGoneError as error:
            if not self._fails_open:
                raise store_unreachable() from error
            return _Unreserved(key, self._settle)
        if isinstance(answer, Refusal):
            if answer.reason == "requests" and answer.retry_after is not None:
                self._full[key.id] = (answer, self._clock() + answer.retry_after)
            raise _refused(answer, upper_nusd, tokens)
        return answer


def admin_only(key: Key | None) -> None:
    """Raise GatewayError 403 for a key that is not an administrator's."""
    if key is not None and not key.is_admin:
        raise GatewayError(
            403,
            "this endpoint needs an administrator's key: "
            "equirouter keys create gateway.toml --name NAME --admin",
            type_="permission_error",
            code="admin_key_needed",
        )


class _KnownKeys:
    """A cache of looked-up keys, valid for KEY_SECONDS."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock
        self._keys: dict[str, tuple[Key | None, float]] = {}
        self._any: tuple[bool, float] = (False, -math.inf)
        self._asked: dict[str, asyncio.Future[Any]] = {}

    async def find(self, secret: str, *, stale: bool) -> Key | None:
        """The key, None for an unknown one. stale: believe an old answer if there is no new one."""
        hash_ = hash_of(secret)
        known = self._keys.get(hash_)
        if known is not None and known[1] > self._clock():
            return known[0]
        try:
            return await self._once(hash_, self._find)
        except StoreGoneError:
            if stale and known is not None and known[0] is not None:
                return known[0]
            raise

    async def any(self) -> bool:
        """Whether the store has ever had a key; once it has, it is not asked again."""
        has_any, until = self._any
        if has_any or until > self._clock():
            return has_any
        return await self._once("", self._find_any)

    async def _once(self, name: str, ask: Callable[[str], Coroutine[Any, Any, T]]) -> T:
        """Ask; other callers with the same question wait for the same answer."""
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = asyncio.ensure_future(ask(name))
            asked.add_done_callback(lambda _: self._asked.pop(name, None))
        answer: T = await asyncio.shield(asked)
        return answer

    def forget(self) -> None:
        """Drop all that was looked up."""
        self._keys.clear()
        self._any = (self._any[0], -math.inf)

    async def _find(self, hash_: str) -> Key | None:
        stored = await self._database.read(find_key, hash_)
        key = None
        if stored is not None and hmac.compare_digest(stored[0], hash_):
            key = stored[1]
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._keys[hash_] = (key, self._clock() + KEY_SECONDS)
        return key

    async def _find_any(self, _: str) -> bool:
        has_any = await self._database.read(any_keys)
        self._any = (has_any, self._clock() + KEY_SECONDS)
        return has_any


class _Unreserved:
    """A call without a reservation: it goes on whatever it costs.

    settle: where it is charged when it is over, as the store could not be asked before; None for a
    call without a key, which is charged nowhere.
    """

    def __init__(
        self, key: Key | None = None, settle: Callable[[Slice], None] | None = None
    ) -> None:
        self._key, self._settle = key, settle

    async def extend(self, nusd: int) -> bool:  # noqa: ARG002
        return True

    def settle(self, cost_nusd: int, *, tokens: int | None = None) -> None:  # noqa: ARG002
        settle, self._settle = self._settle, None
        if settle is not None and self._key is not None and cost_nusd:
            account = (self._key.period, first_day(self._key.period, time.time()))
            unreserved = Slice(None, self._key.id, account)
            unreserved.charge(cost_nusd)
            settle(unreserved)

    def release(self) -> None:
        self.settle(0)


def _secret(headers: Mapping[str, str]) -> str | None:
    given = headers.get("Authorization")
    if given is not None:
        scheme, _, secret = given.partition(" ")
        if scheme.lower() == "bearer":
            return secret.strip()
    return headers.get("x-api-key") or headers.get("api-key")


def _unauthorized(message: str) -> GatewayError:
    return GatewayError(
        401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"}
    )


def _refused(refusal: Refusal, upper_nusd: int, tokens: int) -> GatewayError:
    if refusal.reason in ("unknown", "revoked"):
        return _unauthorized("this API key is unknown or revoked")
    wait = refusal.retry_after
    headers = {} if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))}
    if refusal.reason == "budget":
        limit, left = usd(refusal.limit or 0), usd(max(0, refusal.left or 0))
        return GatewayError(
            429,
            f"this call may cost up to {usd(upper_nusd):.6f} USD, and the key's budget of "
            f"{limit:.6f} USD has {left:.6f} USD left; fewer max_tokens bound the cost lower",
            type_="insufficient_quota",
            code="insufficient_quota",
            headers=headers,
            detail={"budget_usd": limit, "left_usd": left, "upper_usd": usd(upper_nusd)},
        )
    asked = f", this request is of up to {tokens}" if refusal.reason == "tokens" else ""
    never = "" if wait is not None else ": more than ever fit into a minute"
    return GatewayError(
        429,
        f"the key may use {refusal.limit} {refusal.reason} per minute and has {refusal.left} "
        f"left{asked}{never}",
        type_=refusal.reason,
        code="rate_limit_exceeded",
        headers=headers,
    )

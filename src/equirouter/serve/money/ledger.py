"""Money of running requests: reserved before the call, settled after it.

All requests that wait for a reservation go into one transaction; a lone one goes at once. Where
transactions run on the event loop (books.py) a group is what came in during one
turn of the loop, else what came in during the transaction before.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from equirouter.errors import BusyError, StoreGoneError
from equirouter.serve.money.limits import Refusal
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite, Runner
from equirouter.serve.money.store.engine import BUSY_SECONDS
from equirouter.serve.money.store.reserving import Grant, reserve

__all__ = ["Ledger", "Settlement", "Ticket"]

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.001  # another worker's transaction takes a tenth of that
_LARGEST_GROUP = 256


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a request: its cost. The store knows how much was reserved for it.

    n: number of the reservation; None where none was made, as the store could not be asked.
    unused: tokens of the key's rate, granted in that minute, that it did not need.
    """

    n: int | None
    key_id: str
    account: tuple[str, int]
    cost_nusd: int
    unused: int = 0
    minute: int = 0


class Ticket:
    """Money that is reserved for one request; exactly one of settle and release ends it."""

    __slots__ = ("_busy", "_end", "_ledger", "amount_nusd", "grant")

    def __init__(self, ledger: "Ledger", grant: Grant) -> None:
        self._ledger = ledger
        self._busy = False
        self._end: tuple[int, int | None] | None = None
        self.grant = grant
        self.amount_nusd = grant.amount_nusd

    @property
    def is_over(self) -> bool:
        """Whether it was settled or released."""
        return self._end is not None

    async def extend(self, nusd: int) -> bool:
        """Reserve nusd in all; False: the budget is too small, or the store cannot be asked."""
        if self.is_over or self._busy:
            return False
        if nusd <= self.amount_nusd:
            return True
        self._busy = True
        return await self._ledger.extend(self, nusd - self.amount_nusd)

    def settle(self, cost_nusd: int, *, tokens: int | None = None) -> None:
        """End it with its cost, and the tokens it came to. Never blocks."""
        if self._end is None:
            self._end = (cost_nusd, tokens)
            if not self._busy:
                self._hand_on()

    def release(self) -> None:
        """The request cost nothing. Never blocks."""
        self.settle(0, tokens=0)

    def extended(self, added_nusd: int) -> None:
        """Called by the ledger when an extension is done: added_nusd may be 0."""
        self._busy = False
        self.amount_nusd += added_nusd
        if self._end is not None:
            self._hand_on()  # it ended meanwhile

    def _hand_on(self) -> None:
        assert self._end is not None  # noqa: S101  # called when it ended
        cost_nusd, tokens = self._end
        self._ledger.end(self.grant, cost_nusd, tokens)


@dataclass(slots=True)
class _Waiting:
    """A request that waits for money, until the deadline in the loop's time."""

    grant: Grant
    future: "asyncio.Future[Ticket | Refusal]"
    deadline: float
    ticket: Ticket | None = None


Answer: TypeAlias = Refusal | StoreGoneError | None


class Ledger:
    """Reserves money for the requests of this worker.

    worker: its number in the store. end: takes every settlement; it must not block. clock: Unix
    seconds.
    """

    def __init__(
        self,
        books: OnSQLite | OnPostgreSQL,
        worker: int,
        end: Callable[[Settlement], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._books, self._worker, self._hand_on, self._clock = books, worker, end, clock
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._scheduled = False
        self._n = 0
        self._open = 0  # reservations that have not ended
        self._task: asyncio.Task[None] | None = None

    async def reserve(
        self, key_id: str, amount_nusd: int, *, tokens: int = 0, request_id: str = ""
    ) -> Ticket | Refusal:
        """Take amount_nusd from a key's budget, durably, and count a request in its rate.

        Raises StoreGoneError when the store cannot be asked; then nothing is reserved.
        """
        self._n += 1
        grant = Grant(key_id, amount_nusd, tokens, None, self._n, request_id)
        return await self._ask(grant, None)

    async def extend(self, ticket: Ticket, more_nusd: int) -> bool:
        """Take more_nusd for a ticket; use Ticket.extend."""
        old = ticket.grant
        grant = Grant(old.key_id, more_nusd, 0, old.account, old.n, old.request_id)
        try:
            return not isinstance(await self._ask(grant, ticket), Refusal)
        except StoreGoneError:
            return False

    def end(self, grant: Grant, cost_nusd: int, tokens: int | None) -> None:
        """A reservation is over; use Ticket.settle."""
        self._open -= 1
        self._give_back(grant, cost_nusd, tokens)

    async def close(self) -> None:
        """Refuse those that still wait, and finish the group that runs."""
        waiters, self._waiting = self._waiting, []
        for waiter in waiters:
            self._answer(waiter, StoreGoneError("the gateway is stopping"))
        if self._task is not None:
            await self._task

    def _give_back(self, grant: Grant, cost_nusd: int, tokens: int | None) -> None:
        unused = 0 if tokens is None else max(0, grant.tokens - tokens)
        account = grant.account or ("month", 0)
        self._hand_on(Settlement(grant.n, grant.key_id, account, cost_nusd, unused, grant.minute))

    async def _ask(self, grant: Grant, ticket: Ticket | None) -> Ticket | Refusal:
        future: asyncio.Future[Ticket | Refusal] = self._loop.create_future()
        self._waiting.append(_Waiting(grant, future, self._loop.time() + BUSY_SECONDS, ticket))
        if not self._scheduled:
            self._scheduled = True
            if self._open == 0 and self._books.is_here:
                self._here()  # a lone request need not wait for a group
            else:
                # Others that are ready in this turn of the loop join the same group.
                self._loop.call_soon(self._begin)
        try:
            return await future
        except asyncio.CancelledError:
            # A client that hung up just when the answer came never hears of it.
            if ticket is None and future.done() and not future.cancelled():
                self._take_back(future)
            raise

    def _take_back(self, answered: "asyncio.Future[Ticket | Refusal]") -> None:
        """End a ticket that was not taken."""
        if answered.exception() is None:
            ticket = answered.result()
            if isinstance(ticket, Ticket):
                ticket.release()

    def _begin(self) -> None:
        if self._books.is_here:
            self._here()
        elif self._task is None:
            self._task = self._loop.create_task(self._beside())

    def _here(self) -> None:
        """Run a group on the event loop."""
        assert isinstance(self._books, OnSQLite)  # noqa: S101  # no other is here
        self._scheduled = False
        group = self._group()
        if not group:
            return
        try:
            verdicts = self._books.now(self._work(group))
        except BusyError:
            self._waiting = group + self._waiting
            self._scheduled = True
            self._loop.call_later(_RETRY_SECONDS, self._here)
            return
        except StoreGoneError as error:
            self._answer_all(group, [error] * len(group))
        except Exception as error:
            self._answer_all(group, [_broken(error)] * len(group))
        else:
            self._answer_all(group, verdicts)
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._here)

    async def _beside(self) -> None:
        """Run groups one after the other until no request waits."""
        while group := self._group():
            try:
                verdicts = await self._books.transact(self._work(group))
            except BusyError:
                self._waiting = group + self._waiting
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as error:
                for waiter in group:
                    if waiter.ticket is None:  # the answer may be lost, and not the money
                        self._give_back(waiter.grant, 0, 0)
                gone = error if isinstance(error, StoreGoneError) else _broken(error)
                self._answer_all(group, [gone] * len(group))
            else:
                self._answer_all(group, verdicts)
        self._task, self._scheduled = None, False

    def _work(self, group: Sequence[_Waiting]) -> Callable[[Runner], list[Refusal | None]]:
        grants = [waiter.grant for waiter in group]
        return lambda run: reserve(run, self._worker, grants, self._clock())

    def _group(self) -> list[_Waiting]:
        """The next group, without those that hung up or waited too long."""
        group: list[_Waiting] = []
        now = self._loop.time()
        while self._waiting and not group:
            taken, self._waiting = (
                self._waiting[:_LARGEST_GROUP],
                self._waiting[_LARGEST_GROUP:],
            )
            for waiter in taken:
                over = waiter.ticket.is_over if waiter.ticket else waiter.future.cancelled()
                if over:
                    self._answer(waiter, Refusal("budget"))
                elif now > waiter.deadline:
                    self._answer(waiter, StoreGoneError("the database is locked"))
                else:
                    group.append(waiter)
        return group

    def _answer_all(self, group: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
        for waiter, answer in zip(group, answers, strict=True):
            self._answer(waiter, answer)

    def _answer(self, waiter: _Waiting, answer: Answer) -> None:
        granted = answer is None
        ticket = waiter.ticket
        if ticket is not None:
            ticket.extended(waiter.grant.amount_nusd if granted else 0)
        elif granted:
            self._open += 1
            ticket = Ticket(self, waiter.grant)
            if waiter.future.cancelled():
                ticket.release()
        if waiter.future.done():
            return
        if isinstance(answer, StoreGoneError):
            waiter.future.set_exception(StoreGoneError(*answer.args))  # each has its own traceback
        elif answer is not None:
            waiter.future.set_result(answer)
        elif ticket is not None:
            waiter.future.set_result(ticket)


def _broken(error: Exception) -> StoreGoneError:
    """A bug in the transaction: those that wait get an error, not silence."""
    _log.error("a group of reservations failed", exc_info=error)
    return StoreGoneError(f"{type(error).__name__}: {error}")

"""Money of running requests: reserved before the call, settled after it.

A request of a key that is asked for often is granted from what this worker took ahead (slices.py).
For all others the store is asked: requests that wait go into one transaction; a lone one goes at
once. Where transactions run on the event loop (books.py) a group is what came in during one
turn of the loop, else what came in during the transaction before.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from equirouter.errors import BusyError, StoreGoneError
from equirouter.serve.money.limits import Refusal
from equirouter.serve.money.slices import Part, Purses, Slice
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite, Runner
from equirouter.serve.money.store.engine import BUSY_SECONDS
from equirouter.serve.money.store.reserving import Advance, Grant, reserve
from equirouter.serve.money.writer import Writer

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.001  # another worker's transaction takes a tenth of that
_LARGEST_GROUP = 256


class Ticket:
    """Money that is reserved for one request; exactly one of settle and release ends it.

    parts: where its money is. minute: of the key's rate, in which its tokens were counted.
    """

    __slots__ = (
        "_busy",
        "_end",
        "_ledger",
        "amount_nusd",
        "minute",
        "parts",
        "request_id",
        "tokens",
    )

    def __init__(
        self, ledger: "Ledger", request_id: str, parts: list[Part], tokens: int, minute: int
    ) -> None:
        self._ledger = ledger
        self._busy = False
        self._end: tuple[int, int | None] | None = None
        self.request_id, self.tokens, self.minute = request_id, tokens, minute
        self.parts = parts
        self.amount_nusd = sum(amount for _, amount in parts)

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
                self._ledger.end(self, cost_nusd, tokens)

    def release(self) -> None:
        """The request cost nothing. Never blocks."""
        self.settle(0, tokens=0)

    def extended(self, parts: list[Part]) -> None:
        """Called by the ledger when an extension is done, with nothing where it was refused."""
        self._busy = False
        self.parts += parts
        self.amount_nusd += sum(amount for _, amount in parts)
        if self._end is not None:
            self._ledger.end(self, *self._end)  # it ended meanwhile


@dataclass(slots=True)
class _Waiting:
    """A request that waits for money, until the deadline in the loop's time.

    ticket: of a running request that needs more. grant, drawn: what the store is asked for, and
    what comes from slices beside that, in the transaction that runs.
    """

    key_id: str
    nusd: int
    tokens: int
    request_id: str
    future: "asyncio.Future[Ticket | Refusal]"
    deadline: float
    ticket: Ticket | None = None
    grant: Grant | None = None
    drawn: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class _Asked:
    """A question to the store, and when it was asked, in the loop's time and in Unix time."""

    grants: list[Grant]
    advances: dict[str, Advance]
    at: float
    now: float


Answer: TypeAlias = Refusal | StoreGoneError | None


class Ledger:
    """Reserves money for the requests of this worker.

    worker: its number in the store. writer: takes every settlement. clock: Unix seconds.
    """

    def __init__(
        self,
        books: OnSQLite | OnPostgreSQL,
        worker: int,
        writer: Writer,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._books, self._worker, self._writer, self._clock = books, worker, writer, clock
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._scheduled = False
        self._n = 0
        self._open = 0  # reservations that have not ended
        self._task: asyncio.Task[None] | None = None
        self._purses = Purses(writer.settle, writer.free_rate, clock)

    async def reserve(
        self, key_id: str, amount_nusd: int, *, tokens: int = 0, request_id: str = ""
    ) -> Ticket | Refusal:
        """Take amount_nusd from a key's budget, durably, and count a request in its rate.

        Raises StoreGoneError when the store cannot be asked; then nothing is reserved.
        """
        paid = self._purses.pay(key_id, amount_nusd, tokens)
        if paid is not None:
            self._open += 1
            return Ticket(self, request_id, [(paid[0], amount_nusd)], tokens, paid[1])
        return await self._ask(key_id, amount_nusd, tokens, request_id, None)

    async def extend(self, ticket: Ticket, more_nusd: int) -> bool:
        """Take more_nusd for a ticket; use Ticket.extend."""
        try:
            key_id = ticket.parts[0][0].key_id
            answer = await self._ask(key_id, more_nusd, 0, ticket.request_id, ticket)
        except StoreGoneError:
            return False
        return not isinstance(answer, Refusal)

    def end(self, ticket: Ticket, cost_nusd: int, tokens: int | None) -> None:
        """A reservation is over; use Ticket.settle."""
        self._open -= 1
        left = cost_nusd
        for slice_, amount in ticket.parts:
            spent = min(left, amount)
            left -= spent
            slice_.end(amount, spent)
            self._writer.settle(slice_)
        first = ticket.parts[0][0]
        if left:  # it cost more than it could
            first.charge(left)
        if tokens is not None and ticket.minute and tokens < ticket.tokens:
            give = self._purses.take_back if first.is_kept else self._writer.free_rate
            give(first.key_id, ticket.minute, 0, ticket.tokens - tokens)

    def forget(self) -> None:
        """Give back what was taken ahead, so that the store is asked about every key again."""
        self._purses.forget()

    async def close(self) -> None:
        """Refuse those that still wait, finish the group that runs, give back what was ahead."""
        waiters, self._waiting = self._waiting, []
        for waiter in waiters:
            self._answer(waiter, StoreGoneError("the gateway is stopping"))
        if self._task is not None:
            await self._task
        self._purses.close()

    async def _ask(
        self, key_id: str, nusd: int, tokens: int, request_id: str, ticket: Ticket | None
    ) -> Ticket | Refusal:
        future: asyncio.Future[Ticket | Refusal] = self._loop.create_future()
        deadline = self._loop.time() + BUSY_SECONDS
        self._waiting.append(_Waiting(key_id, nusd, tokens, request_id, future, deadline, ticket))
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
        asked = self._asked(group)
        try:
            verdicts = self._books.now(self._work(asked))
        except BusyError:
            self._put_back(group)
            self._scheduled = True
            self._loop.call_later(_RETRY_SECONDS, self._here)
            return
        except StoreGoneError as error:
            self._answer_all(group, [error] * len(group))
        except Exception as error:
            self._answer_all(group, [_broken(error)] * len(group))
        else:
            self._purses.fill(asked.advances, asked.at, asked.now)
            self._answer_all(group, verdicts)
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._here)

    async def _beside(self) -> None:
        """Run groups one after the other until no request waits."""
        while group := self._group():
            asked = self._asked(group)
            try:
                verdicts = await self._books.transact(self._work(asked))
            except BusyError:
                self._put_back(group)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as error:
                self._lost(asked)
                gone = error if isinstance(error, StoreGoneError) else _broken(error)
                self._answer_all(group, [gone] * len(group))
            else:
                self._purses.fill(asked.advances, asked.at, asked.now)
                self._answer_all(group, verdicts)
        self._task, self._scheduled = None, False

    def _group(self) -> list[_Waiting]:
        """The next group, without those that hung up or waited too long."""
        group: list[_Waiting] = []
        now = self._loop.time()
        while self._waiting and not group:
            taken = self._waiting[:_LARGEST_GROUP]
            del self._waiting[:_LARGEST_GROUP]
            for waiter in taken:
                over = waiter.ticket.is_over if waiter.ticket else waiter.future.cancelled()
                if over:
                    self._answer(waiter, Refusal("budget"))
                elif now > waiter.deadline:
                    self._answer(waiter, StoreGoneError("the database is locked"))
                else:
                    group.append(waiter)
        return group

    def _asked(self, group: Sequence[_Waiting]) -> _Asked:
        """The question to the store for a group: amounts that slices lack, and new slices."""
        at, now = self._loop.time(), self._clock()
        grants = [self._grant(waiter, now) for waiter in group]
        advances = {}
        for key_id in {waiter.key_id for waiter in group}:
            purse = self._purses.of(key_id, now)
            self._n += 1
            advances[key_id] = Advance(self._n, purse.wants(at), purse.has())
        return _Asked(grants, advances, at, now)

    def _grant(self, waiter: _Waiting, now: float) -> Grant:
        """The question to the store for one request."""
        purse, ticket = self._purses.of(waiter.key_id, now), waiter.ticket
        of = None if ticket is None else ticket.parts[0][0].account
        if all(of in (None, slice_.account) for slice_ in purse.slices):
            waiter.drawn = purse.draw(waiter.nusd)
        is_counted = ticket is None and purse.count(waiter.tokens, int(now // 60))
        left = waiter.nusd - sum(amount for _, amount in waiter.drawn)
        self._n += 1
        waiter.grant = Grant(
            waiter.key_id, left, waiter.tokens, of, is_counted, self._n, waiter.request_id
        )
        waiter.grant.minute = purse.rate_minute
        waiter.grant.has_row = left > 0 or not waiter.drawn
        return waiter.grant

    def _work(self, asked: _Asked) -> Callable[[Runner], list[Refusal | None]]:
        return lambda run: reserve(run, self._worker, asked.grants, asked.now, asked.advances)

    def _lost(self, asked: _Asked) -> None:
        """The answer may be lost, and not the rows: whatever is there of them goes."""
        for grant in asked.grants:
            self._writer.settle(Slice(grant.n, grant.key_id, ("month", 0)))
        for key_id, advance in asked.advances.items():
            self._writer.settle(Slice(advance.n, key_id, ("month", 0)))

    def _undraw(self, waiter: _Waiting) -> int:
        """A request gives back what it has of slices; how much money it was."""
        grant, drawn, waiter.grant, waiter.drawn = waiter.grant, waiter.drawn, None, []
        for slice_, amount in drawn:
            slice_.end(amount, 0)
            self._writer.settle(slice_)
        if grant is not None and grant.is_counted:
            self._purses.take_back(waiter.key_id, grant.minute, 1, grant.tokens)
        return sum(amount for _, amount in drawn)

    def _put_back(self, group: list[_Waiting]) -> None:
        for waiter in group:
            self._undraw(waiter)
        self._waiting = group + self._waiting

    def _answer_all(self, group: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
        for waiter, answer in zip(group, answers, strict=True):
            self._answer(waiter, answer)

    def _answer(self, waiter: _Waiting, answer: Answer) -> None:
        parts: list[Part] = []
        if answer is None:
            parts = self._granted(waiter)
        else:
            back = self._undraw(waiter)
            if (
                isinstance(answer, Refusal)
                and answer.reason == "budget"
                and answer.left is not None
            ):
                answer = replace(answer, left=answer.left + back)
        ticket = waiter.ticket
        if ticket is not None:
            ticket.extended(parts)
        elif waiter.grant is not None:
            ticket = self._begun(waiter, waiter.grant, parts)
        if waiter.future.done():
            return
        if isinstance(answer, StoreGoneError):
            waiter.future.set_exception(StoreGoneError(*answer.args))  # each has its own traceback
        elif answer is not None:
            waiter.future.set_result(answer)
        elif ticket is not None:
            waiter.future.set_result(ticket)

    def _granted(self, waiter: _Waiting) -> list[Part]:
        """Where the money of a request is."""
        grant = waiter.grant
        assert grant is not None  # noqa: S101  # the store was asked for it
        assert grant.account is not None  # noqa: S101  # and granted it
        if not grant.has_row:
            return waiter.drawn
        row = Slice(grant.n, grant.key_id, grant.account, grant.amount_nusd)
        row.begin(grant.amount_nusd)
        return [*waiter.drawn, (row, grant.amount_nusd)]

    def _begun(self, waiter: _Waiting, grant: Grant, parts: list[Part]) -> Ticket:
        self._open += 1
        ticket = Ticket(self, grant.request_id, parts, grant.tokens, grant.minute)
        self._purses.of(grant.key_id, self._clock()).asked(waiter.nusd, grant.tokens)
        if waiter.future.cancelled():
            ticket.release()
        return ticket


def _broken(error: Exception) -> StoreGoneError:
    """A bug in the transaction: those that wait get an error, not silence."""
    _log.error("a group of reservations failed", exc_info=error)
    return StoreGoneError(f"{type(error).__name__}: {error}")

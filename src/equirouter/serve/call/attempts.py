"""Attempts: one candidate after the other until the first byte of an answer is there.

A failure goes to the next candidate at once. The last one that is left is called again after a
pause, where another call may go better. Nobody is called who costs more than could be reserved.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from equirouter.errors import NoAnswerError, NotCalledError, UpstreamError
from equirouter.serve.call.answer_check import Opening, answer_document
from equirouter.serve.call.model_pool import ModelPool, Route
from equirouter.serve.call.upstream import NO_HEADERS, Answer, retry_after
from equirouter.serve.contracts import Reservation
from equirouter.serve.records import Attempt, AttemptOutcome, Candidate
from equirouter.serve.settings import RetrySettings

# What a client did wrong would be wrong everywhere. All other statuses are the upstream's affair: a
# key, a limit, a path, a form of request that it does not take.
_CLIENTS_FAULT = frozenset({400, 422})
# What the client is told in the provider's own words where nobody else answered.
PASSED_ON = _CLIENTS_FAULT | {413, 429}
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})


@dataclass(slots=True)
class Call:
    """A call to make: its path, what is sent to a route, whether a stream is wanted.

    names_parameter: whether what a model refused is a parameter, which another may take.
    unseen_nusd: what a call of a model is charged that ran so many seconds and brought no answer,
    though the provider may charge for it.
    """

    path: str
    body_for: Callable[[Route], bytes]
    stream: bool
    most_bytes: int
    names_parameter: Callable[[str, UpstreamError], bool]
    unseen_nusd: Callable[[str, float], int]
    headers_for: Callable[[Route], Mapping[str, str]] = lambda _route: NO_HEADERS


@dataclass(slots=True)
class Served:
    """The answer that was found.

    body: all of it, or of a stream the bytes in which it begins. document: the parsed body, {} for
    a stream.
    """

    candidate: Candidate
    route: Route
    answer: Answer
    body: bytes
    document: dict[str, Any]
    is_open: bool = field(default=True)

    def close(self, is_healthy: bool | None = True) -> None:
        """The end of the call; is_healthy: what a stream's end says about the upstream."""
        if self.is_open:
            self.is_open = False
            self.answer.close()
            self.route.guard.leave()
            if is_healthy is not True:
                self.route.guard.judge(is_healthy)


_Fetched: TypeAlias = tuple[Answer, bytes, dict[str, Any]]


async def walk(
    candidates: Sequence[Candidate],
    pool: ModelPool,
    call: Call,
    ticket: Reservation,
    attempts: list[Attempt],
    retries: RetrySettings,
    reserved_nusd: int,
) -> Served:
    """The first answer of the candidates, of which there is one at least.

    attempts: every try is noted there; what those before it are charged is reserved beside the next
    call. reserved_nusd: what is reserved already. Raises NoAnswerError.
    """
    tries = _Tries(call, attempts, retries, ticket, reserved_nusd)
    for place, candidate in enumerate(candidates):
        route = pool.routes[candidate.model]
        is_last = place == len(candidates) - 1
        fetched = await tries.answer(route, candidate.upper_nusd, is_last=is_last)
        if fetched is not None:
            return Served(candidate, route, *fetched)
    raise NoAnswerError(tries.last)


@dataclass(slots=True)
class _Tries:
    """The calls for one request. last: how the latest one failed. reserved_nusd: by the ticket."""

    call: Call
    attempts: list[Attempt]
    retries: RetrySettings
    ticket: Reservation
    reserved_nusd: int
    last: UpstreamError | None = None
    calls: int = 0

    async def answer(self, route: Route, upper_nusd: int, *, is_last: bool) -> _Fetched | None:
        """The answer of one model, None if the next one is to be asked.

        upper_nusd: most that a call of it can cost. is_last: there is no next one, so this one is
        given time, and another try. Raises NoAnswerError where nobody is to be asked any more.
        """
        for same in range(self.retries.same_model if is_last else 1):
            if self.calls == self.retries.max_attempts:
                raise NoAnswerError(self.last)
            if same:
                pause = pause_seconds(self.last, same, self.retries)
                if pause is None:
                    break
                await asyncio.sleep(pause)
            if not await self._affords(upper_nusd):
                note = _note(route, "refused", 0.0, "the budget does not allow it")
                self.attempts.append(note)
                break
            wait = self.retries.max_wait_seconds if is_last else 0.0
            try:
                return await try_once(route, self.call, wait, self.attempts)
            except UpstreamError as error:
                failed = self.last = error
            if failed.outcome == "refused":
                break
            self.calls += 1
            is_named = self.call.names_parameter(route.model, failed)
            if failed.status in _CLIENTS_FAULT and not (is_named or _is_too_long(failed)):
                raise NoAnswerError(failed)
        return None

    async def _affords(self, upper_nusd: int) -> bool:
        """Reserve a call beside what the failed ones are charged; False: over budget."""
        needed = upper_nusd + sum(attempt.cost_nusd or 0 for attempt in self.attempts)
        if needed <= self.reserved_nusd:
            return True
        if not await self.ticket.extend(needed):
            return False
        self.reserved_nusd = needed
        return True


async def try_once(
    route: Route, call: Call, wait_seconds: float, attempts: list[Attempt]
) -> _Fetched:
    """One call up to the first byte of a stream, or to the last of a document.

    wait_seconds: longest wait for the upstream to have room. attempts: it is noted there. Raises
    UpstreamError.
    """
    guard, start = route.guard, time.monotonic()
    try:
        await guard.enter(wait_seconds)
    except NotCalledError as refused:
        attempts.append(_note(route, "refused", start, str(refused)))
        raise UpstreamError(
            "refused", f"{route.upstream_name}: {refused}", retry_seconds=refused.seconds
        ) from refused
    try:
        fetched = await _fetch(route, call)
    except UpstreamError as failed:
        guard.leave()
        guard.judge(_is_healthy(failed))
        cost = _unseen(route, call, start) if failed.may_cost else None
        attempts.append(_note(route, failed.outcome, start, str(failed), failed.status, cost))
        raise
    except BaseException as ended:  # the client hung up, or a fault of ours: it goes on up
        outcome: AttemptOutcome = (
            "cancelled" if isinstance(ended, asyncio.CancelledError) else "broken"
        )
        guard.leave()
        guard.judge(None)
        cost = _unseen(route, call, start)
        attempts.append(_note(route, outcome, start, None, cost_nusd=cost))
        raise
    guard.judge(True)
    attempts.append(_note(route, "ok", start, None, fetched[0].status))
    return fetched


def _unseen(route: Route, call: Call, start: float) -> int:
    return call.unseen_nusd(route.model, time.monotonic() - start)


async def _fetch(route: Route, call: Call) -> _Fetched:
    """A stream until its answer has begun, which must be in time; a document to its end.

    A document begins when all of it is generated: its time is that of the whole call.
    """
    if not call.stream:
        return await _asked(route, call)
    seconds = route.upstream_settings.first_byte_seconds
    try:
        async with asyncio.timeout(seconds):
            return await _asked(route, call)
    except TimeoutError:
        raise UpstreamError("timeout", f"no answer began within {seconds} s") from None


async def _asked(route: Route, call: Call) -> _Fetched:
    answer = await route.upstream.post(call.path, call.body_for(route), call.headers_for(route))
    try:
        if answer.status != 200:
            raise await _refusal(answer)
        if call.stream:
            return answer, await _opening(answer, call), {}
        body = await answer.read(call.most_bytes)
        return answer, body, answer_document(body, call.path)
    except BaseException:
        answer.close()
        raise


async def _opening(answer: Answer, call: Call) -> bytes:
    """The bytes of a stream up to those in which the answer begins."""
    for kind, name in (("application/json", "a JSON document"), ("text/html", "a page")):
        if answer.content_type.startswith(kind):
            raise UpstreamError("broken", f"{name} where a stream was asked for")
    opening = Opening(call.path, call.most_bytes)
    while not opening.has_begun(await answer.chunk()):
        pass
    return opening.all()


async def _refusal(answer: Answer) -> UpstreamError:
    """An answer whose status is not 200, as a failure that keeps what it said."""
    status = answer.status
    if 200 <= status < 400:
        return UpstreamError("status", f"status {status} is not followed", status=502)
    try:
        body = await answer.read(1024 * 1024)
    except UpstreamError:
        body = b""  # the status says enough
    return UpstreamError(
        "status",
        f"status {status}",
        status=status,
        retry_seconds=retry_after(answer.headers),
        body=body,
        content_type=answer.content_type,
    )


def _is_healthy(failed: UpstreamError) -> bool | None:
    if failed.outcome == "refused":
        return None  # it was not called
    if failed.outcome in ("connect", "timeout", "broken"):
        return False
    return failed.status is None or failed.status < 500


def _is_too_long(failed: UpstreamError) -> bool:
    """Whether a model refused a request for its length, which another may have room for."""
    return b"context_length_exceeded" in failed.body


def pause_seconds(failed: UpstreamError | None, same: int, retries: RetrySettings) -> float | None:
    """How long to wait before the model that failed is called again, None: it is not worth it.

    same: how many calls of it there were. What the provider asks for is waited for and a little
    more; else the pause doubles each time. Both have jitter, so that those who failed together do
    not come back together.
    """
    if failed is None or not (failed.status is None or failed.status in _TRY_AGAIN):
        return None
    if failed.outcome == "timeout":
        return None  # the client waited long enough
    backoff = min(retries.backoff_seconds * 2.0 ** (same - 1), retries.max_wait_seconds)
    pause = backoff * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
    if failed.retry_seconds is None:
        return pause
    if failed.retry_seconds > retries.max_wait_seconds:
        return None
    return failed.retry_seconds + pause / 4


def _note(
    route: Route,
    outcome: AttemptOutcome,
    start: float,
    error: str | None,
    status: int | None = None,
    cost_nusd: int | None = None,
) -> Attempt:
    ms = (time.monotonic() - start) * 1000.0 if start else 0.0
    began = time.time() - ms / 1000.0
    return Attempt(route.model, route.upstream_name, outcome, status, ms, error, began, cost_nusd)

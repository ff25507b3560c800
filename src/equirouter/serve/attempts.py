"""Who answers a request: one candidate after the other until the first byte of an answer is there.

A failure goes to the next candidate at once. The last one that is left is called again after a
pause, where another call may go better. Nobody is called who costs more than could be reserved.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from equirouter.serve.breaker import RefusedError
from equirouter.serve.parts import Ticket
from equirouter.serve.pool import Pool, Route
from equirouter.serve.records import Attempt, AttemptOutcome, Candidate, Plan
from equirouter.serve.settings import RetrySettings
from equirouter.serve.sse import error_in, first_error
from equirouter.serve.upstream import Answer, UpstreamError, retry_after

__all__ = ["Call", "NoAnswerError", "Served", "walk"]

# What a client did wrong would be wrong everywhere; a key, a limit or a model that an upstream does
# not know is the upstream's affair.
_CLIENTS_FAULT = frozenset({400, 405, 406, 409, 410, 411, 413, 414, 415, 416, 417, 422})
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent: path of the endpoint, the body for a route, whether a stream is wanted."""

    path: str
    body_for: Callable[[Route], bytes]
    stream: bool
    most_bytes: int


@dataclass(slots=True)
class Served:
    """The answer that was found.

    body: all of it, or of a stream its first bytes. document: the parsed body, {} for a stream.
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


class NoAnswerError(Exception):
    """Every candidate failed; the last failure, if anybody was called, is the cause."""

    def __init__(self, last: UpstreamError | None) -> None:
        super().__init__("no model answered")
        self.last = last


async def walk(
    plan: Plan,
    pool: Pool,
    call: Call,
    ticket: Ticket,
    attempts: list[Attempt],
    retries: RetrySettings,
) -> Served:
    """The first answer; attempts: every try is noted there. Raises NoAnswerError."""
    reserved = plan.candidates[0].upper_nusd
    last: UpstreamError | None = None
    calls = 0
    for place, candidate in enumerate(plan.candidates):
        route = pool.routes[candidate.model]
        if candidate.upper_nusd > reserved:
            if not await ticket.extend(candidate.upper_nusd):
                attempts.append(_note(route, "refused", 0.0, "the budget does not allow it"))
                continue
            reserved = candidate.upper_nusd
        is_last = place == len(plan.candidates) - 1
        for same in range(retries.same_model if is_last else 1):
            if calls == retries.max_attempts:
                raise NoAnswerError(last)
            if same and not await _pause(last, same, retries):
                break
            wait = retries.max_wait_seconds if is_last else 0.0
            try:
                return Served(candidate, route, *await _try(route, call, wait, attempts))
            except UpstreamError as failed:
                last = failed
            if last.outcome == "refused":
                break
            calls += 1
            if last.status in _CLIENTS_FAULT and not _is_too_long(last):
                raise NoAnswerError(last)
    raise NoAnswerError(last)


async def _try(route: Route, call: Call, wait_seconds: float, attempts: list[Attempt]) -> _Fetched:
    """One call up to the first byte of a stream, or to the last of a document."""
    guard, start = route.guard, time.monotonic()
    try:
        await guard.enter(wait_seconds)
    except RefusedError as refused:
        attempts.append(_note(route, "refused", start, str(refused)))
        raise UpstreamError(
            "refused", f"{route.upstream_name}: {refused}", retry_seconds=refused.seconds
        ) from refused
    try:
        fetched = await _fetch(route, call)
    except UpstreamError as failed:
        guard.leave()
        guard.judge(_is_healthy(failed))
        attempts.append(_note(route, failed.outcome, start, str(failed), failed.status))
        raise
    except BaseException:
        guard.leave()
        guard.judge(None)
        attempts.append(_note(route, "cancelled", start, None))
        raise
    guard.judge(True)
    attempts.append(_note(route, "ok", start, None, fetched[0].status))
    return fetched


async def _fetch(route: Route, call: Call) -> _Fetched:
    answer: Answer | None = None
    body = b""
    # a document begins when all of it is generated: its time is that of the whole call
    seconds = route.upstream_settings.first_byte_seconds if call.stream else None
    try:
        async with asyncio.timeout(seconds):
            answer = await route.upstream.post(call.path, call.body_for(route))
            if call.stream and answer.status == 200:
                body = await answer.chunk()
        if answer.status != 200:
            raise await _refusal(answer)
        if call.stream:
            _check_stream(answer, body)
            return answer, body, {}
        body = await answer.read(call.most_bytes)
        return answer, body, _document(body)
    except TimeoutError:
        _close(answer)
        raise UpstreamError("timeout", f"no first byte within {seconds} s") from None
    except BaseException:
        _close(answer)
        raise


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


def _check_stream(answer: Answer, first: bytes) -> None:
    """Refuse a stream that is none, is empty, or begins with an error."""
    if not first:
        raise UpstreamError("broken", "an empty stream")
    if answer.content_type.startswith("application/json"):
        raise UpstreamError("broken", "a JSON document where a stream was asked for")
    error = first_error(first)
    if error is not None:
        raise UpstreamError("broken", "the stream began with an error", body=_as_error(error))


def _document(body: bytes) -> dict[str, Any]:
    """The body parsed; refuses one that is no JSON object, and an error under status 200."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise UpstreamError("broken", f"the answer is not JSON: {wrong}") from wrong
    if not isinstance(document, dict):
        raise UpstreamError("broken", "the answer is not a JSON object")
    error = error_in(document)
    if error is not None:
        raise UpstreamError("broken", "an error under status 200", body=_as_error(error))
    return document


def _as_error(error: object) -> bytes:
    return orjson.dumps({"error": error})


def _is_healthy(failed: UpstreamError) -> bool | None:
    if failed.outcome in ("connect", "timeout", "broken"):
        return False
    return failed.status is None or failed.status < 500


def _is_too_long(failed: UpstreamError) -> bool:
    """Whether a model refused a request for its length, which another may have room for."""
    return b"context_length_exceeded" in failed.body


async def _pause(last: UpstreamError | None, same: int, retries: RetrySettings) -> bool:
    """Wait before the same model is called again; False if that is not worth it."""
    if last is None or not (last.status is None or last.status in _TRY_AGAIN):
        return False
    if last.outcome == "timeout":
        return False  # the client waited long enough
    backoff = retries.backoff_seconds * 2 ** (same - 1)
    # not for secrets: clients that failed together should not come back together
    pause = min(backoff, retries.max_wait_seconds) * random.uniform(0.5, 1.0)  # noqa: S311
    if last.retry_seconds is not None:
        if last.retry_seconds > retries.max_wait_seconds:
            return False
        pause = last.retry_seconds + pause / 4
    await asyncio.sleep(pause)
    return True


def _note(
    route: Route,
    outcome: AttemptOutcome,
    start: float,
    error: str | None,
    status: int | None = None,
) -> Attempt:
    ms = (time.monotonic() - start) * 1000.0 if start else 0.0
    began = time.time() - ms / 1000.0
    return Attempt(route.model, route.upstream_name, outcome, status, ms, error, began)


def _close(answer: Answer | None) -> None:
    if answer is not None:
        answer.close()

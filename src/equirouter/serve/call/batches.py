"""Batches of an OpenAI-compatible provider: many calls in one file, cheaper, within a day.

Source: OpenAI API reference, Files and Batch, as of November 2026 (platform.openai.com/docs):
POST /files with purpose "batch", POST /batches, GET /batches/ID until it is over, then its output
file and its error file. A file has the calls of one model, 50,000 at most, and 200 MB.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from equirouter.errors import UpstreamError
from equirouter.serve.call.attempts import pause_seconds
from equirouter.serve.call.upstream import HttpAnswer, HttpUpstream, retry_after
from equirouter.serve.settings import RetrySettings

_T = TypeVar("_T")

MOST_CALLS = 50_000
MOST_BYTES = 190_000_000
"""Of a file, with room below the 200 MB that are allowed."""
_PATH = "/v1/chat/completions"
_WINDOW = "24h"
_TRIES = 6
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})
_JSON = {"content-type": "application/json"}
_LONGEST_DOCUMENT = 4 * 1024 * 1024
_CLOCKS_DIFFER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class BatchState:
    """How far a batch is. status: the provider's word. n_done: calls that are over.

    output_file_id, error_file_id: files of those that were answered and of those that were not,
    None where there is none. why: the errors of a batch that failed as a whole, "" for none.
    """

    status: str
    n_done: int
    output_file_id: str | None
    error_file_id: str | None
    why: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.status in _OVER


def line_of(custom_id: str, body: bytes) -> bytes:
    """A call as a line of the file that is sent."""
    fields = {"custom_id": custom_id, "method": "POST", "url": _PATH, "body": orjson.Fragment(body)}
    return orjson.dumps(fields) + b"\n"


class Batches:
    """The batches of one provider. What may be tried again is, with the pauses of the settings."""

    def __init__(self, upstream: HttpUpstream, retries: RetrySettings) -> None:
        self._upstream, self._retries = upstream, retries

    async def upload(self, lines: Iterable[bytes]) -> str:
        """Send a file of calls; returns its name there. Raises UpstreamError."""
        body, content_type = _form(b"".join(lines))
        headers = {"content-type": content_type}
        return _name(await self._patiently(lambda: self._once("POST", "/files", body, headers)))

    async def create(self, file_id: str, since: float) -> str:
        """Begin a batch of a file, once; returns its name.

        Where a call brought no clear answer, the batch is looked for among those that were made
        after since, Unix seconds, before it is asked for again. Raises UpstreamError; one of
        status 400 to 499 says that there is no batch.
        """
        body = orjson.dumps(
            {"input_file_id": file_id, "endpoint": _PATH, "completion_window": _WINDOW}
        )
        for tries in range(1, _TRIES + 1):
            try:
                return _name(await self._once("POST", "/batches", body, _JSON))
            except UpstreamError as error:
                failed = error
            pause = pause_seconds(failed, tries, self._retries)
            if is_refusal(failed) and pause is None:
                raise failed
            await asyncio.sleep(pause or self._retries.backoff_seconds)
            if not is_refusal(failed):
                batch = await self.find(file_id, since)
                if batch is not None:
                    return batch
        raise failed

    async def find(self, file_id: str, since: float) -> str | None:
        """The batch of a file that was made after since, None where there is none.

        Raises UpstreamError.
        """
        path = "/batches?limit=100"
        while True:
            page = await self._document(path)
            rows = [row for row in page.get("data") or () if isinstance(row, dict)]
            for row in rows:
                if row.get("input_file_id") == file_id:
                    return _name(row)
            oldest = rows[-1].get("created_at") if rows else None
            is_older = isinstance(oldest, int | float) and oldest < since - _CLOCKS_DIFFER_SECONDS
            if not page.get("has_more") or not rows or is_older:
                return None
            path = f"/batches?limit=100&after={_name(rows[-1])}"

    async def state(self, batch_id: str) -> BatchState:
        """How far a batch is. Raises UpstreamError; with status 404 it is not known there."""
        document = await self._document(f"/batches/{batch_id}")
        counts = _mapping(document.get("request_counts"))
        errors = _mapping(document.get("errors")).get("data") or ()
        messages = [str(error.get("message")) for error in errors if isinstance(error, dict)]
        return BatchState(
            str(document.get("status")),
            sum(counts.get(name) or 0 for name in ("completed", "failed")),
            document.get("output_file_id"),
            document.get("error_file_id"),
            "; ".join(messages),
        )

    async def results(self, file_id: str, most_bytes: int) -> list[dict[str, Any]]:
        """The lines of a file of results. most_bytes: of one line. Raises UpstreamError."""
        return await self._patiently(lambda: self._lines(file_id, most_bytes))

    async def _lines(self, file_id: str, most_bytes: int) -> list[dict[str, Any]]:
        answer = await self._answer("GET", f"/files/{file_id}/content", b"", {})
        lines = []
        try:
            rest = b""
            while chunk := await answer.chunk():
                *whole, rest = (rest + chunk).split(b"\n")
                if len(rest) > most_bytes:
                    raise UpstreamError("broken", f"a line of more than {most_bytes} bytes")
                lines += [_object(line) for line in whole if line.strip()]
            return lines + ([_object(rest)] if rest.strip() else [])
        finally:
            answer.close()

    async def _document(self, path: str) -> dict[str, Any]:
        return await self._patiently(lambda: self._once("GET", path, b"", {}))

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """The result of a call that may be made twice, tried again where that may help."""
        for tries in range(1, _TRIES):
            try:
                return await call()
            except UpstreamError as failed:
                pause = pause_seconds(failed, tries, self._retries)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        return await call()

    async def _once(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        answer = await self._answer(method, path, body, headers)
        try:
            return _object(await answer.read(_LONGEST_DOCUMENT))
        finally:
            answer.close()

    async def _answer(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> HttpAnswer:
        answer = await self._upstream.send(method, path, body, headers)
        if 200 <= answer.status < 300:
            return answer
        try:
            content = await answer.read(_LONGEST_DOCUMENT)
        except UpstreamError:
            content = b""  # the status says enough
        finally:
            answer.close()
        raise UpstreamError(
            "status",
            f"{path.split('?')[0]}: status {answer.status}",
            status=answer.status,
            retry_seconds=retry_after(answer.headers),
            body=content,
        )


def is_refusal(failed: UpstreamError) -> bool:
    """Whether the provider said clearly that it did nothing."""
    if failed.outcome == "connect":
        return True
    return failed.status is not None and 400 <= failed.status < 500 and failed.status != 408


def _form(lines: bytes) -> tuple[bytes, str]:
    """A form with the file, and its content type."""
    boundary = secrets.token_hex(16)
    purpose = f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="calls.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    body = b"".join([(purpose + head).encode(), lines, f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"


def _object(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise UpstreamError("broken", f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UpstreamError("broken", "not a JSON object")
    return document


def _name(document: Mapping[str, Any]) -> str:
    name = document.get("id")
    if not isinstance(name, str) or not name or "/" in name or "?" in name:
        raise UpstreamError("broken", "a document without an id")
    return name


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

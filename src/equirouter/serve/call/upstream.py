"""One call of an OpenAI-compatible provider over HTTP; a compressed answer unpacked in pieces."""

import asyncio
import re
import zlib
from collections.abc import Coroutine, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import isfinite
from time import time
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from equirouter import __version__
from equirouter.errors import UpstreamError
from equirouter.serve.call.client.connection import Incoming
from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.quirks import own_headers
from equirouter.serve.settings import UpstreamSettings

PIECE = 64 * 1024
"""Most bytes that are unpacked at once, which takes some 0.1 ms."""

_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class Decoder:
    """Unpacks gzip and deflate. Raises UpstreamError for bytes that are neither."""

    def __init__(self) -> None:
        self._packed = b""
        self._has_more = False  # unpacked bytes that zlib still holds
        self._unpacker: zlib._Decompress | None = None

    def feed(self, packed: bytes) -> None:
        """Take further bytes; call piece until it has none before that."""
        self._packed += packed

    def piece(self) -> bytes:
        """The next bytes, at most PIECE of them; b"" where more must be fed."""
        while self._packed or self._has_more:
            unpacker = self._unpacker
            if unpacker is None:
                unpacker = self._unpacker = zlib.decompressobj(_window(self._packed))
            try:
                piece = unpacker.decompress(self._packed, PIECE)
            except zlib.error as error:
                raise UpstreamError("broken", f"a compressed answer is damaged: {error}") from error
            self._packed, self._has_more = unpacker.unconsumed_tail, len(piece) == PIECE
            if unpacker.eof:  # gzip may go on with another member
                self._packed, self._unpacker = unpacker.unused_data, None
                self._has_more = False
            if piece:
                return piece
        return b""

    def check_end(self) -> None:
        """Refuse an answer that ends in the middle."""
        if self._unpacker is not None:
            raise UpstreamError("broken", "a compressed answer ended early")


def decoder_of(coding: str) -> Decoder | None:
    """The decoder for a Content-Encoding, None for a body that is not compressed.

    Raises UpstreamError for one that was not asked for and cannot be read.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _CODINGS:
        raise UpstreamError("broken", "an answer in a content coding that was not asked for")
    return Decoder()


def _window(packed: bytes) -> int:
    """The parameter of zlib for what begins so: gzip, zlib's form, or deflate alone."""
    if packed[0] == 0x1F:
        return 31
    return 15 if packed[0] & 0x0F == 8 and packed[0] >> 4 <= 7 else -15


_MEDIA_TYPE = re.compile(r"[!-~]+/[ -~]{1,120}")
_LONGEST_WAIT = 86_400.0
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_OURS = {
    "accept-encoding": "identity",
    "content-type": "application/json",
    "user-agent": f"equirouter/{__version__}",
}
_IN_TARGETS = "".join(chr(code) for code in range(0x21, 0x7F))
_ENDS = re.compile(r"[\r\n\0]")
_MOST_HEADS = 64
"""Of requests, which are kept: clients choose what some of their headers say."""


class Answer(Protocol):
    """An answer of an upstream: its head, and the body when it is asked for.

    headers: with names in lower case.
    """

    status: int
    content_type: str
    headers: Mapping[str, str]

    @property
    def is_over(self) -> bool:
        """Whether it is known already that chunk would give b"" next."""

    async def read(self, most_bytes: int) -> bytes:
        """The whole body. Raises UpstreamError, also for one that is longer than most_bytes."""

    async def chunk(self) -> bytes:
        """The next bytes of a stream as they come, b"" at its end. Raises UpstreamError."""

    def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end."""


class Upstream(Protocol):
    """A provider."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
        """Call an endpoint such as /chat/completions. Raises UpstreamError without an answer.

        headers: of the client, those that are handed on, with names in lower case.
        """


class HttpUpstream:
    """A provider that speaks OpenAI's API. Redirects are not followed: hosts come from settings."""

    def __init__(self, settings: UpstreamSettings, client: HttpClient) -> None:
        self._origin = client.origin(settings.base_url)
        self._base = urlsplit(settings.base_url.rstrip("/")).path
        self._query = urlencode(settings.query)
        self._secret = settings.secret() or ""
        self._settings = settings
        self._kept_head = lru_cache(maxsize=_MOST_HEADS)(self._head)

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> Coroutine[Any, Any, "HttpAnswer"]:
        """POST a JSON document; awaited, it is over when the head of the answer is there."""
        return self._sent("POST", self._kept_head("POST", path, *headers.items()), body)

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Coroutine[Any, Any, "HttpAnswer"]:
        """Any request. path: may have a query. headers: what the body is, and of the client."""
        return self._sent(method, self._head(method, path, *headers.items()), body)

    async def _sent(self, method: str, head: bytes, body: bytes) -> "HttpAnswer":
        is_sized = body or method in ("POST", "PUT", "PATCH")
        end = b"Content-Length: %d\r\n\r\n" % len(body) if is_sized else b"\r\n"
        incoming = await self._origin.request(
            method,
            head + end,
            body,
            connect_seconds=self._settings.connect_seconds,
            seconds=self._settings.total_seconds,
        )
        return HttpAnswer(incoming, self._secret)

    def _head(self, method: str, path: str, *headers: tuple[str, str]) -> bytes:
        """The lines of a request but for its length. Raises UpstreamError for a header of two."""
        way, joined = self._origin.way, "&" if "?" in path else "?"
        target = f"{self._base}{path}{joined + self._query if self._query else ''}"
        fields = {"host": way.authority, **_OURS, **dict(headers)}
        fields |= own_headers(path, self._settings, self._secret)
        if way.proxy is not None and not way.is_tls:
            target = f"http://{way.authority}{target}"
            if way.proxy.authorization:
                fields["proxy-authorization"] = way.proxy.authorization
        lines = [f"{method} {quote(target, safe=_IN_TARGETS, errors='surrogateescape')} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        for line in lines:
            if _ENDS.search(line):
                name = line.partition(":")[0]
                raise UpstreamError("refused", f"a line break in the header {name!r}")
        return "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


class HttpAnswer:
    """An answer over HTTP. secret: what is never passed on, though a provider repeats it.

    content_type: as the provider says, where that is one that a header can hold.
    """

    def __init__(self, incoming: Incoming, secret: str) -> None:
        self._incoming = incoming
        self._secret = secret
        self._decoder: Decoder | None = None
        self._is_first = True
        head = incoming.head
        self.status, self._length = head.status, head.length
        given = head.headers.get("content-type", "")
        is_clean = _MEDIA_TYPE.fullmatch(given) is not None
        self.content_type = given if is_clean else "application/octet-stream"
        self.headers: Mapping[str, str] = head.headers

    @property
    def is_over(self) -> bool:
        """As Answer.is_over; of a compressed one it is not known."""
        return self._decoder is None and self._incoming.is_over

    async def read(self, most_bytes: int) -> bytes:
        """The whole body, as Answer.read."""
        body = await self._whole(most_bytes)
        if self.status == 200 or not self._secret:
            return body
        return body.replace(self._secret.encode(), b"***")  # it is the client's to read

    async def _whole(self, most_bytes: int) -> bytes:
        if self._length is not None and self._length > most_bytes:
            raise UpstreamError("broken", f"an answer of {self._length} bytes", may_cost=True)
        body = await self.chunk()
        if self.is_over and len(body) <= most_bytes:
            return body
        parts, total = [body], len(body)
        while total <= most_bytes and (part := await self.chunk()):
            total += len(part)
            parts.append(part)
        if total > most_bytes:
            raise UpstreamError(
                "broken", f"an answer of more than {most_bytes} bytes", may_cost=True
            )
        return b"".join(parts)

    async def chunk(self) -> bytes:
        """The next bytes, as Answer.chunk."""
        if self._is_first:
            self._is_first = False
            self._decoder = decoder_of(self.headers.get("content-encoding", ""))
        decoder = self._decoder
        if decoder is None:
            return await self._incoming.chunk()
        while not (piece := decoder.piece()):
            packed = await self._incoming.chunk()
            if not packed:
                decoder.check_end()
                return b""
            decoder.feed(packed)
        await asyncio.sleep(0)  # others have their turn between two pieces
        return piece

    def close(self) -> None:
        """Give the connection back, as Answer.close."""
        self._incoming.close()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait, at most a day; None for none, or nonsense.

    headers: with names in lower case.
    """
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if isfinite(seconds) else None

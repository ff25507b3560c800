"""One call of an OpenAI-compatible provider over aiohttp."""

import asyncio
import errno
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from time import time
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from equirouter import __version__
from equirouter.errors import UpstreamError
from equirouter.serve.call.decoding import Decoder, decoder_of
from equirouter.serve.call.quirks import own_headers
from equirouter.serve.settings import UpstreamSettings

_MEDIA_TYPE = re.compile(r"[!-~]+/[ -~]{1,120}")
_LONGEST_WAIT = 86_400.0
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Answer(Protocol):
    """An answer of an upstream: its head, and the body when it is asked for."""

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


def open_session() -> aiohttp.ClientSession:
    """The session of all upstreams: no cookies, no proxies, no limit but those of the guards."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept",),
        auto_decompress=False,  # it would unpack everything at once
        headers={
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"equirouter/{__version__}",
        },
    )


class HttpUpstream:
    """A provider that speaks OpenAI's API. Redirects are not followed: hosts come from settings."""

    def __init__(self, settings: UpstreamSettings, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._base = settings.base_url.rstrip("/")
        self._query = f"?{urlencode(settings.query)}" if settings.query else ""
        self._urls: dict[str, URL] = {}
        self._secret = settings.secret() or ""
        self._settings = settings
        self._headers: dict[str, dict[str, str]] = {}  # by path
        self._timeout = aiohttp.ClientTimeout(
            total=settings.total_seconds, sock_connect=settings.connect_seconds
        )

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> "HttpAnswer":
        """POST a JSON document; returns when the head of the answer is there."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(f"{self._base}{path}{self._query}", encoded=True)
            self._headers[path] = own_headers(path, self._settings, self._secret)
        return await self._sent("POST", url, body, {**headers, **self._headers[path]})

    async def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> "HttpAnswer":
        """Any request. path: may have a query. headers: what the body is, and of the client."""
        base, joined = self._query.removeprefix("?"), "&" if "?" in path else "?"
        url = URL(f"{self._base}{path}{joined + base if base else ''}", encoded=True)
        own = own_headers(path, self._settings, self._secret)
        return await self._sent(method, url, body, {**headers, **own})

    async def _sent(
        self, method: str, url: URL, body: bytes, headers: Mapping[str, str]
    ) -> "HttpAnswer":
        try:
            response = await self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failure(error) from error
        return HttpAnswer(response, self._secret)


class HttpAnswer:
    """An answer over HTTP. secret: what is never passed on, though a provider repeats it.

    content_type: as the provider says, where that is one that a header can hold.
    """

    def __init__(self, response: aiohttp.ClientResponse, secret: str = "") -> None:
        self._response = response
        self._secret = secret
        self._decoder: Decoder | None = None
        self._is_first = True
        self.status = response.status
        given = response.headers.get("Content-Type", "")
        is_clean = _MEDIA_TYPE.fullmatch(given) is not None
        self.content_type = given if is_clean else "application/octet-stream"
        self.headers: Mapping[str, str] = response.headers

    @property
    def is_over(self) -> bool:
        """As Answer.is_over; of a compressed one it is not known."""
        return self._decoder is None and self._response.content.at_eof()

    async def read(self, most_bytes: int) -> bytes:
        """The whole body, as Answer.read."""
        body = await self._whole(most_bytes)
        if self.status == 200 or not self._secret:
            return body
        return body.replace(self._secret.encode(), b"***")  # it is the client's to read

    async def _whole(self, most_bytes: int) -> bytes:
        length = self._response.content_length
        if length is not None and length > most_bytes:
            raise UpstreamError("broken", f"an answer of {length} bytes", may_cost=True)
        content = self._response.content
        body = await self.chunk()
        if content.at_eof() and self._decoder is None and len(body) <= most_bytes:
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
            codings = self._response.headers.getall("Content-Encoding", ())
            self._decoder = decoder_of(",".join(codings))
        decoder = self._decoder
        if decoder is None:
            return await self._received()
        while not (piece := decoder.piece()):
            packed = await self._received()
            if not packed:
                decoder.check_end()
                return b""
            decoder.feed(packed)
        await asyncio.sleep(0)  # others have their turn between two pieces
        return piece

    async def _received(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError, EOFError) as error:
            raise failure(error) from error

    def close(self) -> None:
        """Give the connection back, as Answer.close."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def failure(error: Exception) -> UpstreamError:
    """An exception of aiohttp as a failed call."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamError("connect", name)
    if isinstance(error, TimeoutError):
        return UpstreamError("timeout", name)
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return UpstreamError(
            "refused", "the gateway has no file handle left (ulimit -n)", retry_seconds=1.0
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamError("connect", f"{name}: {error}")
    # what else it says may be the provider's own words
    return UpstreamError("broken", name, may_cost=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait, at most a day; None for none, or nonsense."""
    text = headers.get("Retry-After")
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

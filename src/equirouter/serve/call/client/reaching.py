"""A new connection to a provider: over a proxy of the environment, to the address that answers."""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohappyeyeballs import AddrInfoType, start_connection

from equirouter.errors import ConfigError, UpstreamError
from equirouter.serve.call.client.answer_head import LONGEST_HEAD
from equirouter.serve.call.client.parser import AnswerParser

_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)
_NEXT_ADDRESS_SECONDS = 0.25
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. authorization: what it is told of who asks, "" for nothing."""

    host: str
    port: int
    authorization: str


@dataclass(frozen=True, slots=True)
class Way:
    """How a provider is reached. host: as DNS has it. proxy: None for none."""

    host: str
    port: int
    is_tls: bool
    proxy: Proxy | None

    @property
    def authority(self) -> str:
        """Host and port as HTTP names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == _PORTS["https" if self.is_tls else "http"]
        return host if is_usual else f"{host}:{self.port}"


def way_to(base_url: str) -> Way:
    """The way to an address, with the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.

    This machine is reached without one. Raises ConfigError for a proxy that is not an HTTP one.
    """
    parts = urlsplit(base_url)
    host, port = _host(parts), parts.port or _PORTS[parts.scheme]
    return Way(host, port, parts.scheme == "https", _proxy(parts.scheme, host, port))


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return host if host.isascii() else host.encode("idna").decode()


def _proxy(scheme: str, host: str, port: int) -> Proxy | None:
    found = getproxies()
    url = found.get(scheme) or found.get("all")
    if not url or _is_here(host) or proxy_bypass(f"{host}:{port}"):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(
            f"the environment names a proxy for {scheme} whose address begins with "
            f"{parts.scheme!r}: expected something like http://proxy.example:3128; hosts in "
            "NO_PROXY are reached without one"
        )
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
    basic = f"Basic {b64encode(user).decode()}" if parts.username else ""
    return Proxy(_host(parts), parts.port or 80, basic)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def resolve(way: Way) -> Sequence[AddrInfoType]:
    """The addresses to connect to. Raises OSError."""
    first = way.proxy or way
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(first.host, first.port, type=socket.SOCK_STREAM)


async def connect(
    way: Way,
    addresses: Sequence[AddrInfoType],
    protocol: Callable[[], _Protocol],
    tls: ssl.SSLContext | None,
) -> _Protocol:
    """A connection to the first address that answers; the next is tried after a quarter second.

    Raises OSError, which ssl.SSLError is too.
    """
    loop = asyncio.get_running_loop()
    sock = await start_connection(
        addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
    )
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if way.proxy is not None and way.is_tls:
            await _tunnel(sock, way, way.proxy)
        name = way.host if way.is_tls else None
        return (await loop.create_connection(protocol, sock=sock, ssl=tls, server_hostname=name))[1]
    except BaseException:
        sock.close()
        raise


async def _tunnel(sock: socket.socket, way: Way, proxy: Proxy) -> None:
    """Ask a proxy to pass on what comes, unread. Raises OSError."""
    loop = asyncio.get_running_loop()
    host = f"[{way.host}]" if ":" in way.host else way.host
    lines = [f"CONNECT {host}:{way.port} HTTP/1.1", f"Host: {host}:{way.port}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
    parser = AnswerParser(has_body=False)
    try:
        while parser.head is None:
            data = await loop.sock_recv(sock, LONGEST_HEAD)
            parser.feed(data) if data else parser.end()
    except UpstreamError as error:
        raise OSError(f"the proxy: {error}") from error
    if parser.head.status != 200 or parser.has_more:
        raise OSError(f"the proxy answered CONNECT with status {parser.head.status}")

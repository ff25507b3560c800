"""Without keys the gateway is for programs of this machine: not for web pages, not for others."""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from equirouter.errors import GatewayError

__all__ = ["check_local", "is_loopback"]


def check_local(request: web.Request, *, is_local: bool) -> None:
    """Refuse what a browser was made to send. is_local: whether the gateway listens here only.

    A page from elsewhere can send requests to 127.0.0.1, and can give its own host that address.
    The first is seen by its Origin, the second by the Host that it asks for. Raises GatewayError
    403.
    """
    origin = request.headers.get("Origin")
    host = request.headers.get("Host", "")
    if origin is not None and _host(origin)[0] != (host or None):
        raise _refused(f"requests of pages from {origin[:100]} are not answered without a key")
    if is_local and not is_loopback(_host(f"//{host}")[1]):
        raise _refused(f"the gateway is not {host[:100]}: without keys it answers localhost only")


def is_loopback(host: str | None) -> bool:
    """Whether a name or an address means this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    # a socket for both kinds of addresses has 127.0.0.1 as ::ffff:127.0.0.1
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _host(url: str) -> tuple[str, str]:
    """Host with port, and host alone, of a URL; both empty for one that cannot be read."""
    try:
        parts = urlsplit(url)
        return parts.netloc, parts.hostname or ""
    except ValueError:
        return "", ""


def _refused(message: str) -> GatewayError:
    return GatewayError(403, message, type_="permission_error", code="local_only")

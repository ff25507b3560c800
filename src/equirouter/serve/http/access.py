"""Access: who may send requests, and who may look at the gateway itself.

Without keys the gateway is for programs of this machine: not for web pages, not for others.
"""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from equirouter.errors import GatewayError
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.money.admission import admin_only
from equirouter.serve.records import Key

__all__ = ["admin", "authorized", "is_loopback", "metrics_reader"]


async def authorized(gateway: Gateway, request: web.Request) -> Key | None:
    """The key of a request, None where none is needed and the request comes from this machine.

    Raises GatewayError 401 or 403.
    """
    key = await gateway.admission.authenticate(request.headers)
    if key is None:
        _check_local(request, is_local=gateway.settings.is_local)
    return key


async def admin(gateway: Gateway, request: web.Request) -> None:
    """Let an administrator's key in, and without any keys whoever is on this machine.

    Raises GatewayError 401 or 403.
    """
    key = await gateway.admission.authenticate(request.headers)
    admin_only(key)
    if key is not None:
        return
    _check_local(request, is_local=True)
    if not _is_here(request):
        raise GatewayError(
            403,
            "without keys /admin is for this machine only: "
            "equirouter keys create gateway.toml --name NAME --admin",
            type_="permission_error",
            code="local_only",
        )


async def metrics_reader(gateway: Gateway, request: web.Request) -> None:
    """Let in who may read the metrics: this machine, an administrator, or all where that is set."""
    if not (gateway.settings.telemetry.metrics_open or _is_here(request)):
        await admin(gateway, request)


def _is_here(request: web.Request) -> bool:
    """Whether a program of this machine asks, and not a proxy on it for somebody else."""
    is_passed_on = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return is_loopback(request.remote) and not is_passed_on


def _check_local(request: web.Request, *, is_local: bool) -> None:
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

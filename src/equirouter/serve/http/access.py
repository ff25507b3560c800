"""Access: who may send requests, and who may look at the gateway itself.

Without keys the gateway is for programs of this machine: not for web pages, not for others.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from equirouter.errors import GatewayError
from equirouter.serve.front.asked import Asked
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.money.admission import admin_only
from equirouter.serve.records import Key

_ANY = "*"
_API = "/v1/"
_METHODS = "GET, POST, DELETE, OPTIONS"
_SECONDS = "600"
_NAMES = "request-id model cost-usd predicted-cost-usd over-budget-usd decision-ms attempts"
_SHOWN = ", ".join(f"x-equirouter-{name}" for name in f"{_NAMES} failed dropped".split())
_NO_HEADERS = {"Access-Control-Allow-Headers": "authorization, content-type"}

# Besides all that begin with X-Forwarded- or X-Envoy-. Whoever sends one of them is no program of
# this machine that asks for itself; a proxy that sends none cannot be told from one.
_OF_PROXIES = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
    }
)


async def authorized(gateway: Gateway, request: Asked) -> Key | None:
    """The key of a request, None where none is needed and the request comes from this machine.

    Only a gateway that listens for others, and was told that no keys are required, answers those
    without a key as well. Raises GatewayError 401 or 403.
    """
    key = await gateway.admission.authenticate(request.headers)
    if key is None:
        pages = gateway.settings.server.cors_origins - {_ANY}
        _check_local(request, is_local=gateway.settings.is_local, pages=pages)
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


async def metrics_reader(gateway: Gateway, request: web.Request) -> None:
    """Let in who may read the metrics: this machine, an administrator, or all where that is set."""
    if not (gateway.settings.telemetry.metrics_open or _from_elsewhere(request) is None):
        await admin(gateway, request)


def _from_elsewhere(request: Asked) -> str | None:
    """A sign that somebody else asks than a program of this machine; None where there is none.

    A page from elsewhere can give its own host the address of this machine: the Host shows it.
    """
    if not is_loopback(request.remote):
        return f"this request came from {request.remote}"
    host = request.headers.get("Host", "")
    if not is_loopback(_host(f"//{host}")[1]):
        return f"this request called it {host[:100]!r}"
    proxy = next(filter(_is_of_proxy, request.headers), None)
    return None if proxy is None else f"the header {proxy[:100]} of this request is a proxy's"


def _is_of_proxy(header: str) -> bool:
    """Whether a header is one by which proxies say that they pass a request on."""
    name = header.lower()
    return name in _OF_PROXIES or name.startswith(("x-forwarded-", "x-envoy-"))


def _check_local(request: Asked, *, is_local: bool, pages: Collection[str] = ()) -> None:
    """Refuse what a browser was made to send. is_local: refuse what is not of this machine, too.

    pages: origins of those that may send requests all the same. A page from elsewhere can send
    requests to 127.0.0.1; they are seen by their Origin. Raises GatewayError 403.
    """
    origin = request.headers.get("Origin")
    host = request.headers.get("Host", "")
    if origin is not None and origin not in pages and _host(origin)[0] != (host or None):
        raise _refused(f"requests of pages from {origin[:100]} are not answered without a key")
    found = _from_elsewhere(request) if is_local else None
    if found is not None:
        raise _refused(
            "without keys the gateway answers programs of this machine only, which call it "
            f"localhost, and nobody through a proxy; {found}. `equirouter keys create gateway.toml "
            "--name NAME` makes a key"
        )


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


def allow_pages(app: web.Application, origins: Collection[str]) -> None:
    """Let pages of these origins read answers of the API, errors too. "*": any page.

    A page is let in by its key: without keys it is refused, unless its origin is named.
    """

    async def preflight(request: web.Request) -> web.Response:
        asked = request.headers.get("Access-Control-Request-Headers", "")
        headers = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": asked[:2000],
            "Access-Control-Max-Age": _SECONDS,
        }
        return web.Response(status=204, headers=headers if asked else {**headers, **_NO_HEADERS})

    async def sign(request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is None or not request.path.startswith(_API):
            return
        response.headers.add("Vary", "Origin")
        if _ANY in origins or origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = f"{_SHOWN}, Retry-After"

    if origins:
        app.router.add_route("OPTIONS", f"{_API}{{path:.*}}", preflight)
        app.on_response_prepare.append(sign)

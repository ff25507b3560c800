"""Pages of other origins: which may call the API from a browser. None, where nothing is set."""

from collections.abc import Collection

from aiohttp import web

ANY = "*"
_API = "/v1/"
_METHODS = "GET, POST, DELETE, OPTIONS"
_SECONDS = "600"
_NAMES = "request-id model cost-usd predicted-cost-usd over-budget-usd decision-ms attempts"
_SHOWN = ", ".join(f"x-equirouter-{name}" for name in f"{_NAMES} failed dropped".split())


def allow_pages(app: web.Application, origins: Collection[str]) -> None:
    """Let pages of these origins read answers of the API, errors too. "*": any page.

    A page is let in by its key: without keys access.py refuses it, unless its origin is named.
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
        if ANY in origins or origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = f"{_SHOWN}, Retry-After"

    if origins:
        app.router.add_route("OPTIONS", f"{_API}{{path:.*}}", preflight)
        app.on_response_prepare.append(sign)


_NO_HEADERS = {"Access-Control-Allow-Headers": "authorization, content-type"}

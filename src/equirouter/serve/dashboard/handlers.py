"""The pages and data of the dashboard as aiohttp routes.

The page has no data in it and needs no key. What is under /admin is for administrators: whoever
puts these routes into an application checks that before.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache, partial
from importlib.resources import files

import orjson
from aiohttp import web

from equirouter.errors import GatewayError
from equirouter.serve.dashboard.documents import full, row
from equirouter.serve.dashboard.view import View, summary
from equirouter.serve.watch.events import News, Unreadable

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_ROWS, _MOST_ROWS = 50, 200
_ALIVE_SECONDS = 15.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def dashboard_routes(view: View) -> list[web.RouteDef]:
    """/dashboard and the files of its page; /admin/summary, /admin/decisions and /admin/events."""

    async def get_summary(request: web.Request) -> web.StreamResponse:
        return _json(await summary(view, request.query.get("period", "24h")))

    async def get_decisions(request: web.Request) -> web.StreamResponse:
        limit = _whole(request, "limit") or _ROWS
        if limit > _MOST_ROWS:
            raise GatewayError(400, f"limit is {limit}: at most {_MOST_ROWS}", param="limit")
        before = _whole(request, "before")
        entries = await view.reports.recent(limit, before=before)
        is_all = len(entries) < limit
        return _json(
            {
                "decisions": [row(entry) for entry in entries],
                "before": None if is_all else entries[-1].number,
            }
        )

    async def get_decision(request: web.Request) -> web.StreamResponse:
        request_id = request.match_info["request_id"]
        entry = await view.reports.one(request_id)
        if entry is None:
            raise GatewayError(
                404, "no request of that id is in the log", code="not_found", param="request_id"
            )
        return _json(full(entry))

    return [
        web.get("/dashboard", _file("index.html")),
        *(web.get(f"/dashboard/{name}", _file(name)) for name in _names()),
        web.get("/admin/summary", get_summary),
        web.get("/admin/decisions", get_decisions),
        web.get("/admin/decisions/{request_id}", get_decision),
        web.get("/admin/events", partial(_events, view)),
    ]


def _json(document: object) -> web.Response:
    return web.Response(
        body=orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS),
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _whole(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        raise GatewayError(400, f"{name} is {text[:40]!r}: expected a whole number", param=name)
    return int(text)


@cache
def _names() -> tuple[str, ...]:
    folder = files(__package__) / "static"
    return tuple(sorted(file.name for file in folder.iterdir() if file.name != "index.html"))


def _file(name: str) -> Handler:
    """Answers with a file of the page: 304 where the browser has it already."""
    body = (files(__package__) / "static" / name).read_bytes()
    kind = _TYPES["." + name.rpartition(".")[2]]
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "ETag": tag,
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return answer


async def _events(view: View, request: web.Request) -> web.StreamResponse:
    """New log entries as server-sent events, until the client hangs up or the gateway stops."""
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx would hold events back
        }
    )
    await response.prepare(request)
    feed = view.hub.listen()
    news = asyncio.ensure_future(anext(feed, None))
    try:
        await response.write(b"event: open\ndata: {}\n\n")
        while True:
            done, _ = await asyncio.wait({news}, timeout=_ALIVE_SECONDS)
            if not done:
                await response.write(b": alive\n\n")  # also how a client that left is noticed
                continue
            entries = news.result()
            if entries is None:
                break
            await response.write(_event(entries))
            news = asyncio.ensure_future(anext(feed, None))
    except ConnectionResetError:
        pass  # the page was closed
    finally:
        news.cancel()
        await asyncio.wait({news})
        await feed.aclose()
    return response


def _event(news: News) -> bytes:
    if isinstance(news, Unreadable):
        return b"event: unreadable\ndata: {}\n\n"
    return b"event: decisions\ndata: " + orjson.dumps([row(entry) for entry in news]) + b"\n\n"

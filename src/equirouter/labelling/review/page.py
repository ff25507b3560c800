"""The server of the page: this machine only, and only with its token."""

import asyncio
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from aiohttp import web

from equirouter.labelling.collection_store import Collection, KeptQuery
from equirouter.labelling.graders.base import Case
from equirouter.labelling.graders.judge import conversation
from equirouter.labelling.review.choosing import Choice, choose, skip

SCORES = (0.0, 0.5, 1.0)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/": ("index.html", "text/html"),
    "/review.js": ("review.js", "text/javascript"),
    "/review.css": ("review.css", "text/css"),
}


class Page:
    """Answers to what the page asks. person: under whose name labels are kept."""

    def __init__(self, collection: Collection, person: str) -> None:
        self._collection, self.person = collection, person
        self._queries: dict[str, KeptQuery] = {
            query.query_id: query for query in collection.queries()
        }
        self._choice: Choice = choose(collection)

    def next(self) -> dict[str, Any]:
        """The next query, its answers without their models, and what was said of them so far."""
        mine = self._mine()
        order = self._choice.order
        done = sum(self._is_done(name, mine) for name in order)
        state = {"done": done, "total": len(order), "person": self.person}
        name = next((name for name in order if not self._is_done(name, mine)), None)
        if name is None:
            return {**state, "query": None}
        return {**state, "query": self._document(name, mine)}

    def label(self, query_id: str, place: int, score: float) -> None:
        """Keep a score of a shown answer, for each model that gave it. Raises LookupError."""
        if score not in SCORES:
            raise LookupError(score)
        for model in self._choice.shown[query_id][place].models:
            self._collection.label(self.person, query_id, model, score)

    def undo(self) -> dict[str, Any] | None:
        """Forget the labels of the query that was scored last; that query, None where none was."""
        latest = self._collection.latest_labelled(self.person)
        if latest is None or latest not in self._choice.shown:
            return None
        self._collection.unlabel(self.person, latest)
        return self._document(latest, {})

    def skip(self, query_id: str) -> None:
        """Show a query no more, to anybody. Raises LookupError."""
        _ = self._choice.shown[query_id]
        self._collection.unlabel(self.person, query_id)
        skip(self._collection, query_id)
        self._choice = choose(self._collection)

    def _mine(self) -> dict[tuple[str, str], float]:
        labels = self._collection.labels()
        return {(query, model): score for who, query, model, score in labels if who == self.person}

    def _is_done(self, name: str, mine: dict[tuple[str, str], float]) -> bool:
        return all((name, answer.models[0]) in mine for answer in self._choice.shown[name])

    def _document(self, name: str, mine: dict[tuple[str, str], float]) -> dict[str, Any]:
        kept = self._queries[name]
        case = Case(name, kept.query, "", "", json.loads(kept.body))
        return {
            "id": name,
            "text": conversation(case),
            "reference": kept.reference,
            "answers": [
                {"text": answer.text, "score": mine.get((name, answer.models[0]))}
                for answer in self._choice.shown[name]
            ],
        }


def _guard(token: str) -> Any:  # noqa: ANN401  # a middleware of aiohttp
    """Refuses other hosts and a wrong token, and sets the headers of every answer."""

    @web.middleware
    async def guard(
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        host = (request.host or "").rpartition(":")[0]
        if host not in ("127.0.0.1", "localhost"):  # another site's name for this machine
            raise web.HTTPForbidden(text="this page is for this machine only")
        given = request.headers.get("Authorization", "")
        if request.path.startswith("/api/") and not hmac.compare_digest(given, f"Bearer {token}"):
            raise web.HTTPUnauthorized(text="the token is missing or wrong: open the whole address")
        try:
            response = await handler(request)
        except (LookupError, TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text="no such query, answer or score") from error
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    return guard


def make_app(page: Page, token: str) -> web.Application:
    """The application; every answer with data in it needs the token."""

    async def following(_request: web.Request) -> web.Response:
        return web.json_response(page.next())

    async def label(request: web.Request) -> web.Response:
        document = await request.json()
        page.label(str(document["query"]), int(document["answer"]), float(document["score"]))
        return web.json_response({})

    async def undo(_request: web.Request) -> web.Response:
        return web.json_response({"query": page.undo()})

    async def leave_out(request: web.Request) -> web.Response:
        page.skip(str((await request.json())["query"]))
        return web.json_response({})

    async def file(request: web.Request) -> web.Response:
        name, kind = _FILES[request.path]
        body = (files("equirouter.labelling.review") / "static" / name).read_bytes()
        return web.Response(body=body, content_type=kind, charset="utf-8")

    app = web.Application(middlewares=[_guard(token)], client_max_size=64 * 1024)
    app.router.add_get("/api/next", following)
    app.router.add_post("/api/label", label)
    app.router.add_post("/api/undo", undo)
    app.router.add_post("/api/skip", leave_out)
    for path in _FILES:
        app.router.add_get(path, file)
    return app


async def serve_page(
    page: Page, *, port: int, told: Callable[[str], None], until: asyncio.Event | None = None
) -> None:
    """Serve the page on 127.0.0.1 until it is cancelled. told: hears of its address."""
    token = secrets.token_urlsafe(24)
    runner = web.AppRunner(make_app(page, token), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        told(f"http://127.0.0.1:{runner.addresses[0][1]}/#{token}")
        await (until or asyncio.Event()).wait()
    finally:
        await runner.cleanup()

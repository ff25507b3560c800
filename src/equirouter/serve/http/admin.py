"""Routes for administrators: the state of the gateway, and a new pipeline."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from equirouter.errors import GatewayError, UserError
from equirouter.serve.http.endpoints import json_response

__all__ = ["Document", "admin_routes"]

Document = Mapping[str, object]


def admin_routes(
    status: Callable[[], Document], reload: Callable[[], Awaitable[Document]]
) -> list[web.RouteDef]:
    """GET /admin/status, POST /admin/reload; who may ask is checked before."""

    async def get_status(_request: web.Request) -> web.StreamResponse:
        return json_response(status())

    async def post_reload(_request: web.Request) -> web.StreamResponse:
        try:
            return json_response(await reload())
        except UserError as error:
            raise GatewayError(
                409,
                f"the pipeline is refused, and the old one goes on: {error}",
                code="pipeline_refused",
            ) from error

    return [web.get("/admin/status", get_status), web.post("/admin/reload", post_reload)]

"""The web application around a gateway: which handler answers which path."""

from aiohttp import web

from equirouter.serve.http import endpoints
from equirouter.serve.http.gateway import Gateway

__all__ = ["make_app"]

ROUTES: tuple[tuple[str, str, endpoints.Handler], ...] = (
    ("POST", "/v1/chat/completions", endpoints.chat_completions),
    ("POST", "/v1/responses", endpoints.responses),
    ("POST", "/v1/embeddings", endpoints.embeddings),
    ("POST", "/v1/route", endpoints.route),
    ("POST", "/v1/feedback", endpoints.feedback),
    ("GET", "/v1/models", endpoints.models),
    ("GET", "/openapi.json", endpoints.openapi),
    ("GET", "/healthz", endpoints.healthz),
    ("GET", "/readyz", endpoints.readyz),
)


def make_app(gateway: Gateway) -> web.Application:
    """The web application of a gateway."""
    app = web.Application(client_max_size=gateway.settings.limits.max_body_bytes)
    for method, path, handler in ROUTES:
        app.router.add_route(method, path, endpoints.guarded(gateway, handler))
    app.on_shutdown.append(lambda _app: gateway.events.close())  # else they would never end
    if gateway.settings.telemetry.metrics:
        app.router.add_get("/metrics", endpoints.guarded(gateway, endpoints.metrics))
    for route in gateway.routes:
        app.router.add_route(route.method, route.path, endpoints.of_part(gateway, route))
    known: dict[str, list[str]] = {}
    for resource in app.router.resources():
        known[resource.canonical] = sorted(route.method for route in resource)
    app.router.add_route("*", "/{path:.*}", endpoints.guarded(gateway, endpoints.unknown(known)))
    return app

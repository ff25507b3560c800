"""The gateway: its parts put together, and the web application around them."""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from equirouter.serve.call.pool import Pool
from equirouter.serve.http import endpoints
from equirouter.serve.parts import Admission, Events, FeedbackBook, Metrics, Planner, RequestLog
from equirouter.serve.records import RequestRecord
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.watch.logs import LOGGER, log_request
from equirouter.serve.watch.tracing import Tracer

__all__ = ["Gateway", "make_app"]

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


class Gateway:
    """What answers requests, made of its parts.

    routes: of parts that have pages of their own; under /admin they are for administrators.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        pool: Pool,
        planner: Planner,
        admission: Admission,
        log: RequestLog,
        feedback: FeedbackBook,
        metrics: Metrics,
        events: Events,
        tracer: Tracer | None = None,
        routes: Sequence[web.RouteDef] = (),
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.planner = planner
        self.admission = admission
        self.log = log
        self.feedback = feedback
        self.metrics = metrics
        self.events = events
        self.tracer = tracer
        self.routes = routes
        self.is_draining = False
        self._listeners: tuple[Callable[[RequestRecord], None], ...] = (
            planner.finished,
            log.log,
            metrics.observe,
            events.publish,
            log_request,
        )

    def finished(self, record: RequestRecord, headers: Mapping[str, str]) -> None:
        """A request is over: log it, count it, tell who watches. headers: the client's."""
        for tell in self._listeners:
            try:
                tell(record)
            except Exception:  # none of them may take the others' word, or the client's answer
                LOGGER.exception("what follows a request failed")
        if self.tracer is not None:
            try:
                self.tracer.record(record, headers)
            except Exception:  # as above
                LOGGER.exception("the trace of a request failed")


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

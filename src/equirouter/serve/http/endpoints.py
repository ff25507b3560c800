"""The web application around a gateway: a handler per path, which checks the key first."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import orjson
from aiohttp import web

from equirouter.errors import GatewayError, PassedOnError
from equirouter.serve.chat import ChatRequest, chat_request
from equirouter.serve.front.asked import Answer, Asked, Handler, PlainReply
from equirouter.serve.http.access import admin, allow_pages, authorized, metrics_reader
from equirouter.serve.http.body import json_response, parsed, read_body, safe
from equirouter.serve.http.controls import VIRTUAL_MODELS, read_control
from equirouter.serve.http.exchange import Exchange, request_id
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.http.listing import model, models, ollama_model, ollama_models, ollama_version
from equirouter.serve.http.openapi import openapi_document
from equirouter.serve.http.passing import PATHS, passed_on
from equirouter.serve.http.requests import (
    counted_tokens,
    embedding_plan,
    embedding_request,
    messages_request,
    responses_request,
)
from equirouter.serve.http.shadow_calls import begin_shadows
from equirouter.serve.money.feedback import read_feedback
from equirouter.serve.records import Key, Plan, RequestControl, RequestRecord, usd
from equirouter.serve.refusals import answer_to, error_document, message_error
from equirouter.serve.settings import LimitSettings

_LOG = logging.getLogger("equirouter.serve")

_Handler: TypeAlias = Callable[[Gateway, web.Request], Awaitable[Answer]]
_PlainHandler: TypeAlias = Callable[[Gateway, Asked], Awaitable[Answer]]
_ReadBody: TypeAlias = Callable[[object, LimitSettings], ChatRequest]


async def _answered(gateway: Gateway, request: Asked, read: _ReadBody) -> Answer:
    key, chat, control = await _read(gateway, request, read)
    exchange = Exchange(gateway, request, chat, control, key)
    answer = await exchange.answered()
    begin_shadows(gateway, request, chat, control, key, exchange.record)
    return answer


# POST /v1/chat/completions, /v1/responses, /v1/messages
_chat_completions = partial(_answered, read=chat_request)
_responses = partial(_answered, read=responses_request)
_messages = partial(_answered, read=messages_request)


async def count_tokens(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """POST /v1/messages/count_tokens: of whom would be asked, without a call of a model."""
    key, chat, control = await _read(gateway, request, messages_request)
    await _count(gateway, key, request_id())
    plan = await gateway.planner.plan(chat, control, key)
    if plan.refused is not None:
        raise plan.refused
    return await counted_tokens(gateway, request, chat, plan)


async def embeddings(gateway: Gateway, request: Asked) -> Answer:
    """POST /v1/embeddings."""
    key, chat, control = await _read(gateway, request, lambda body, _: embedding_request(body))
    plan = embedding_plan(chat, control, key, gateway.pool, gateway.settings.money)
    return await Exchange(gateway, request, chat, control, key, plan=plan).answered()


async def _read(
    gateway: Gateway, request: Asked, read: _ReadBody
) -> tuple[Key | None, ChatRequest, RequestControl]:
    """Key, body and control of a request."""
    key = await authorized(gateway, request)
    limits = gateway.settings.limits
    body = await read_body(request, limits)
    deployment = request.match_info.get("deployment")  # where Azure's clients name the model
    if deployment is not None and isinstance(body, dict):
        body["model"] = deployment
    chat = read(body, limits)
    return key, chat, read_control(chat, request.headers)


async def route(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """POST /v1/route: the decision on a chat completion, without a call."""
    began, start = time.time(), time.perf_counter()
    key, chat, control = await _read(
        gateway, request, lambda body, limits: chat_request(body, limits, "route")
    )
    identity = request_id()
    await _count(gateway, key, identity)
    plan = gateway.pool.refused.last(await gateway.planner.plan(chat, control, key), chat)
    if plan.refused is not None:
        raise plan.refused
    record = RequestRecord(
        request_id=identity,
        started_at=began,
        endpoint="route",
        requested_model=chat.model,
        key_id=None if key is None else key.id,
        session=control.session,
        plan=plan,
        status=200,
        total_ms=(time.perf_counter() - start) * 1000.0,
    )
    gateway.finished(record, request.headers)
    response = json_response(route_document(plan))
    if plan.candidates:  # for proxies that read headers only
        response.headers["x-equirouter-model"] = safe(plan.candidates[0].model)
    return response


async def _count(gateway: Gateway, key: Key | None, identity: str) -> None:
    """Count a request that costs nothing in the key's rate. Raises GatewayError 429."""
    if key is not None and key.requests_per_minute is not None:
        ticket = await gateway.admission.admit(key, 0, tokens=0, request_id=identity)
        ticket.release()


def route_document(plan: Plan) -> dict[str, Any]:
    """A plan as JSON can hold it.

    model: who would be called first, null where nobody may answer. ranking: all candidates in the
    order in which they would be tried; predicted_cost_usd is the mean that was chosen by,
    upper_cost_usd the most that a call can cost, which the budget is held by. spend_usd: the mean
    spend that has set the lambda, null where the lambda is not set so. removed: by model,
    the constraint in words. cascade: the two models that would be asked at once, what all calls are
    expected to cost, and how likely a third is asked, null where that is not known; null where the
    model is asked alone. scores, predicted_costs_usd: of all models, null where no router was
    asked.
    """
    return {
        "object": "equirouter.route",
        "model": plan.candidates[0].model if plan.candidates else None,
        "decided_by": plan.decided_by,
        "ranking": [
            {
                "model": candidate.model,
                "score": plan.scores.get(candidate.model),
                "predicted_cost_usd": plan.predicted_costs_usd.get(candidate.model),
                "upper_cost_usd": usd(candidate.upper_nusd),
            }
            for candidate in plan.candidates
        ],
        "removed": {model: removal.text for model, removal in plan.removed.items()},
        "setting": plan.setting,
        "value": plan.value,
        "spend_usd": plan.spend_usd,
        "fits": plan.fits,
        "confidence": plan.confidence,
        "far": plan.far,
        "scores": dict(plan.scores) or None,
        "predicted_costs_usd": dict(plan.predicted_costs_usd) or None,
        "prompt_tokens": plan.prompt_tokens,
        "max_output_tokens": plan.max_output_tokens,
        "expected_strongest_share": plan.expected_share,
        "cascade": None
        if plan.pair is None
        else {
            "models": plan.pair.models,
            "expected_cost_usd": plan.pair.expected_cost_usd,
            "p_escalate": plan.pair.p_escalate,
        },
        "pipeline": plan.pipeline,
        "version": plan.version,
        "decision_ms": round(plan.decision_ms, 3),
    }


async def feedback(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """POST /v1/feedback: what a user says of an answer."""
    key = await authorized(gateway, request)
    document = await read_body(request, gateway.settings.limits)
    given = read_feedback(document)
    model = await gateway.feedback.give(key, given)
    gateway.metrics.feedback(model, given.score)
    return json_response({"request_id": given.request_id, "model": model, "score": given.score})


async def root(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """GET /: to the dashboard, or where there is none, a word that somebody is there."""
    if request.method == "GET" and gateway.settings.telemetry.dashboard:
        raise web.HTTPFound("dashboard")
    return json_response({"status": "ok"})


async def metrics(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """GET /metrics: Prometheus' text."""
    await metrics_reader(gateway, request)
    text, content_type = await asyncio.to_thread(gateway.metrics.render)  # it reads files
    return web.Response(body=text, headers={"Content-Type": content_type})


async def openapi(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    """GET /openapi.json: without a key too, but then without the names of the pool."""
    try:
        await authorized(gateway, request)
        names = [*gateway.settings.models]
    except GatewayError:
        names = []
    return json_response(openapi_document([*VIRTUAL_MODELS[:1], *names]))


async def healthz(_gateway: Gateway, _request: web.Request) -> web.StreamResponse:
    """GET /healthz: the process answers."""
    return json_response({"status": "ok"})


async def readyz(gateway: Gateway, _request: web.Request) -> web.StreamResponse:
    """GET /readyz: whether new requests are welcome."""
    if gateway.is_draining:
        return json_response({"status": "draining"}, status=503)
    if gateway.fault() is not None:  # the log says which; whoever asks need not know
        return json_response({"status": "store unavailable"}, status=503)
    return json_response({"status": "ready"})


def _nearest(path: str, known: Mapping[str, Sequence[str]]) -> str:
    """The way out of a wrong path, which is mostly a base URL without /v1, or with it twice."""
    if path.startswith("/api/"):
        return "of Ollama's API there is the list of models only; chat by /v1/chat/completions"
    bare = path
    while bare.startswith("/v1/"):
        bare = bare.removeprefix("/v1")
    if f"/v1{bare}" in known:
        return f"did you mean /v1{bare}? A client's base URL ends in one /v1"
    return "/openapi.json says what there is"


def _unknown(known: Mapping[str, Sequence[str]]) -> _Handler:
    """The handler of all other paths. known: path -> methods."""

    async def handler(_gateway: Gateway, request: web.Request) -> web.StreamResponse:
        methods = known.get(request.path)
        if methods is None:
            raise GatewayError(
                404,
                f"there is no {request.path[:200]} here; {_nearest(request.path, known)}",
                code="not_found",
            )
        raise GatewayError(
            405,
            f"{request.path} takes {', '.join(methods)}, not {request.method[:20]}",
            code="method_not_allowed",
            headers={"Allow": ", ".join(methods)},
        )

    return handler


def _error_reply(error: GatewayError, *, is_message: bool) -> PlainReply:
    """An error as an answer, in OpenAI's form, or in Anthropic's to its Messages API."""
    content_type = "application/json"
    if not isinstance(error, PassedOnError):
        body = orjson.dumps(error_document(error, is_message=is_message))
    elif is_message:
        body = orjson.dumps(message_error(error.status, parsed(error.raw)))
    else:
        body, content_type = error.raw, error.content_type
    return PlainReply(body, {**error.headers, "Content-Type": content_type}, error.status)


def _of_part(
    gateway: Gateway, route: web.RouteDef
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A part's own handler; what is under /admin is for administrators."""
    is_admin = route.path.startswith("/admin")

    async def handler(_gateway: Gateway, request: web.Request) -> web.StreamResponse:
        if is_admin:
            await admin(gateway, request)
        response: web.StreamResponse = await route.handler(request)
        return response

    return _for_aiohttp(gateway, handler)


def _is_gone(request: Asked) -> bool:
    """Whether the client has hung up."""
    return request.transport is None or request.transport.is_closing()


def _guarded(gateway: Gateway, handler: _PlainHandler) -> Callable[[Asked], Awaitable[Answer]]:
    """A handler whose errors are answers."""

    async def answer(request: Asked) -> Answer:
        gateway.runs()
        try:
            return await handler(gateway, request)
        except web.HTTPException:
            raise
        except Exception as error:
            if isinstance(error, ConnectionError) and _is_gone(request):
                return PlainReply(b"", {})  # for nobody; raised, it would be logged as our fault
            answer = answer_to(error)
            if answer.status == 500:
                _LOG.exception("%s %s failed", request.method, request.path)
            return _error_reply(answer, is_message=request.path.startswith("/v1/messages"))

    return answer


def _for_aiohttp(
    gateway: Gateway, handler: _Handler
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A guarded handler for the web application."""
    guarded = _guarded(gateway, cast("_PlainHandler", handler))  # it gets aiohttp's requests only

    async def response(request: web.Request) -> web.StreamResponse:
        answer = await guarded(request)
        response = answer.for_aiohttp() if isinstance(answer, PlainReply) else answer
        assert isinstance(response, web.StreamResponse)  # noqa: S101  # as the request is aiohttp's
        if gateway.is_draining:
            response.force_close()  # said in its head: the connection takes no further request
        return response

    return response


_PLAIN: tuple[tuple[str, _PlainHandler], ...] = (
    ("/v1/chat/completions", _chat_completions),
    ("/v1/responses", _responses),
    ("/v1/messages", _messages),
    ("/v1/embeddings", embeddings),
)
ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    *(("POST", path, handler) for path, handler in _PLAIN),
    ("POST", "/v1/messages/count_tokens", count_tokens),
    ("POST", "/v1/route", route),
    ("POST", "/v1/feedback", feedback),
    ("GET", "/v1/models", models),
    ("GET", r"/v1/models/{name:[\s\S]+}", model),
    ("GET", "/openapi.json", openapi),
    ("GET", "/healthz", healthz),
    ("GET", "/readyz", readyz),
)


_AZURE = "/openai/deployments/{deployment}"
_UNLISTED: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", "/", root),
    ("POST", f"{_AZURE}/chat/completions", _chat_completions),
    ("POST", f"{_AZURE}/embeddings", embeddings),
    ("GET", "/api/version", ollama_version),
    ("GET", "/api/tags", ollama_models),
    ("POST", "/api/show", ollama_model),
)


def make_app(gateway: Gateway) -> web.Application:
    """The web application of a gateway."""
    app = web.Application(client_max_size=gateway.settings.limits.max_body_bytes)
    allow_pages(app, gateway.settings.server.cors_origins)
    for method, path, handler in (*ROUTES, *_UNLISTED):
        app.router.add_route(method, path, _for_aiohttp(gateway, handler))
        if method == "GET":
            app.router.add_route("HEAD", path, _for_aiohttp(gateway, handler))
    if any(upstream.pass_through for upstream in gateway.settings.upstreams.values()):
        app.router.add_route("*", PATHS, _for_aiohttp(gateway, passed_on))
    app.on_shutdown.append(lambda _app: gateway.stop())
    if gateway.settings.telemetry.metrics:
        app.router.add_get("/metrics", _for_aiohttp(gateway, metrics))
    for route in gateway.routes:
        app.router.add_route(route.method, route.path, _of_part(gateway, route))
    known: dict[str, list[str]] = {}
    for resource in app.router.resources():
        methods = sorted(route.method for route in resource if route.method != "HEAD")
        known[resource.canonical] = methods
    app.router.add_route("*", r"/{path:[\s\S]*}", _for_aiohttp(gateway, _unknown(known)))
    return app


def plain_handlers(gateway: Gateway) -> dict[str, Handler]:
    """The handlers of requests that need no web application, by their path."""
    return {path: _guarded(gateway, handler) for path, handler in _PLAIN}

"""A request's body: read under limits, and written again for the upstream; headers."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from equirouter.errors import GatewayError
from equirouter.serve.call.model_pool import Route
from equirouter.serve.front.asked import Asked, PlainRequest
from equirouter.serve.records import Endpoint, RequestRecord
from equirouter.serve.settings import LimitSettings


async def read_body(request: Asked, limits: LimitSettings) -> Any:  # noqa: ANN401  # JSON
    """The parsed document. Raises GatewayError 400, 408, 413 or 415."""
    if isinstance(request, PlainRequest):
        return _document(request.body, limits)
    _check_headers(request)
    try:
        raw = await _received(request, limits.body_seconds)
    except web.HTTPRequestEntityTooLarge:
        raise GatewayError(
            413, f"the body is longer than {limits.max_body_bytes} bytes", code="body_too_large"
        ) from None
    return _document(raw, limits)


def _document(raw: bytes, limits: LimitSettings) -> Any:  # noqa: ANN401  # JSON
    most = limits.max_json_values
    if len(raw) > most and sum(raw.count(sign) for sign in (b",", b"[", b"{")) > most:
        raise GatewayError(
            413,
            f"the body has more than {most} values, going by its commas and brackets",
            code="too_many_values",
        )
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise GatewayError(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if raw.count(b"[") + raw.count(b"{") > limits.max_json_depth:
        _check_depth(document, limits.max_json_depth)
    return document


def _check_headers(request: web.Request) -> None:
    """Refuse a body that is compressed, and headers about it that could be read in two ways.

    Of a repeated header the server's parser goes by the last, and the application by the first.
    Raises GatewayError 400 or 415.
    """
    names = [name.lower() for name, _ in request.raw_headers]
    described = [name for name in names if name.startswith((b"content-", b"transfer-"))]
    if len(set(described)) < len(described):
        twice = next(name for name in described if described.count(name) > 1).decode("latin-1")
        raise GatewayError(400, f"the header {twice[:100]} is there more than once: send it once")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    coding = request.headers.get("Transfer-Encoding", "chunked").strip().lower()
    if encoding != "identity" or coding != "chunked":
        raise GatewayError(415, "a compressed body is not accepted: send it without")


async def _received(request: web.Request, seconds: float) -> bytes:
    """All bytes of a body, which may come slowly but not for ever."""
    if request.content.is_eof():  # as most are: nothing is waited for
        return await request.read()
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise GatewayError(
            408,
            f"the body did not arrive within {seconds:g} seconds",
            code="body_too_slow",
            headers={"Connection": "close"},
        ) from None


def outgoing(body: dict[str, Any], model: str) -> bytes:
    """The bytes that an upstream is sent, with its own name for the model.

    Never the client's own bytes: where a name stands in them twice, an upstream might go by the
    other one, and answer what was not checked.
    """
    return orjson.dumps({**body, "model": model})


def parsed(raw: bytes) -> Any:  # noqa: ANN401  # any JSON
    """The document that a provider sent, its text where that is no JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw[:1000].decode("utf-8", "replace")


def json_response(document: object, status: int = 200) -> web.Response:
    """A JSON document as an answer."""
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _check_depth(document: Any, most: int) -> None:  # noqa: ANN401  # any JSON
    level = [document]
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise GatewayError(400, f"the body is nested deeper than {most} levels", code="too_deep")


ANTHROPIC_VERSION = "2023-06-01"


def cascade_headers(record: RequestRecord) -> dict[str, str]:
    """The models that were asked and why: "a,b>c; disagree"; nothing where it was one model.

    Behind that comes who could not be asked though it should have been: "a,b; disagree; c over
    budget". The expected performance of the answer is said where it is known.
    """
    how = record.cascade
    if how is None:
        return {}
    called = [
        attempt
        for attempt in record.attempts
        if attempt.outcome != "refused" and attempt.role != "audit"
    ]
    more = [
        attempt.model
        for attempt in called
        if attempt.role == "escalation" and attempt.outcome == "ok"
    ]
    models = ">".join([",".join(how.pair), *more])
    parts = [models, how.why, *([how.blocked] if how.blocked else [])]
    headers = {
        "x-equirouter-calls": str(len({attempt.model for attempt in called})),
        "x-equirouter-cascade": safe("; ".join(parts)),
    }
    if how.support is not None:
        headers["x-equirouter-check"] = f"{how.support:.3f}"
    return headers


def figure(amount_usd: float) -> str:
    """An amount in USD, to the nano-USD."""
    return f"{amount_usd:.9f}".rstrip("0").rstrip(".")


def safe(name: str) -> str:
    """A model's name as a header can hold it."""
    return name if name.isascii() and name.isprintable() else ascii(name)[1:-1]


def passed_headers(
    headers: Mapping[str, str], endpoint: Endpoint, route: Route
) -> Mapping[str, str]:
    """Headers of the client that an upstream is sent: those of its settings, and Anthropic's."""
    settings = route.upstream_settings
    passed = {name: headers[name] for name in settings.pass_headers if name in headers}
    if endpoint == "messages" and settings.messages:
        passed["anthropic-version"] = headers.get("anthropic-version", ANTHROPIC_VERSION)
        if "anthropic-beta" in headers:
            passed["anthropic-beta"] = headers["anthropic-beta"]
    return passed

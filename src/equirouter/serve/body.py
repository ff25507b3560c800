"""A request's body: read under limits, and written again where something in it must change."""

from typing import Any

import orjson
from aiohttp import web

from equirouter.serve.errors import GatewayError
from equirouter.serve.settings import LimitSettings

__all__ = ["outgoing", "read_body"]


async def read_body(request: web.Request, limits: LimitSettings) -> tuple[bytes, Any]:
    """The bytes and the parsed document. Raises GatewayError 400, 413 or 415."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise GatewayError(415, "a compressed body is not accepted: send it without")
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise GatewayError(
            413, f"the body is longer than {limits.max_body_bytes} bytes", code="body_too_large"
        ) from None
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise GatewayError(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if raw.count(b"[") + raw.count(b"{") > limits.max_json_depth:
        _check_depth(document, limits.max_json_depth)
    return raw, document


def outgoing(
    raw: bytes, body: dict[str, Any], model: str, *, is_changed: bool, add_usage: bool
) -> bytes:
    """What an upstream is sent: the client's own bytes where nothing has to change.

    is_changed: whether body is no longer what raw says. add_usage: ask for the usage of a stream.
    """
    if not (is_changed or add_usage) and body["model"] == model:
        return raw
    changed = {**body, "model": model}
    if add_usage:
        changed["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return orjson.dumps(changed)


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

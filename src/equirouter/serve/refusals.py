"""The answer to a request that cannot be served: which HTTP status an error comes to."""

from collections.abc import Mapping
from typing import Any

import orjson

from equirouter.errors import GatewayError, StoreGoneError, UnknownNameError, UserError


def answer_to(error: Exception) -> GatewayError:
    """The answer that an error is to the client: the only place that gives errors a status."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, StoreGoneError):
        return store_unreachable()
    if isinstance(error, UnknownNameError):
        return GatewayError(404, str(error), code="not_found")
    if isinstance(error, UserError):
        return GatewayError(400, str(error))
    return GatewayError(500, "the gateway failed; its log says how", type_="server_error")


_MESSAGE_ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_document(error: GatewayError, *, is_message: bool) -> Mapping[str, object]:
    """The JSON document of an error: in Anthropic's form for the Messages API, else in OpenAI's."""
    document = error.body()
    return message_error(error.status, document) if is_message else document


def message_error(status: int, document: object) -> Mapping[str, Any]:
    """An error in OpenAI's form, or whatever a provider made of it, in Anthropic's form."""
    if isinstance(document, dict) and document.get("type") == "error":
        return document
    details = document.get("error", document) if isinstance(document, dict) else document
    fields = details if isinstance(details, dict) else {"message": details}
    text = fields.get("message")
    message = text if isinstance(text, str) else orjson.dumps(details, default=str).decode()
    kind = _MESSAGE_ERRORS.get(status, "invalid_request_error" if status < 500 else "api_error")
    more = {name: value for name, value in fields.items() if value is not None}
    return {"type": "error", "error": {**more, "type": kind, "message": message}}


def store_unreachable() -> GatewayError:
    """The answer while keys, money and the log cannot be reached."""
    return GatewayError(
        503,
        "the gateway cannot reach its store, where keys, money and the log are; try again",
        type_="server_error",
        code="store_unavailable",
        headers={"Retry-After": "5"},
    )


def wrong_field(param: str | None, value: object, expected: str) -> GatewayError:
    """A 400 for a field of a request: its place, its value, and what was expected."""
    return GatewayError(
        400, f"{param or 'the body'}: found {_shown(value)}; expected {expected}", param=param
    )


def wrong_form(place: str, api: str) -> GatewayError:
    """A 400 for a part of a conversation that is not of the form that an API gives it."""
    return GatewayError(
        400,
        f'{place}: expected as in {api}: a role, and a text or a list of objects with a "type" '
        "and the fields of that type",
        param=place,
    )


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | dict):  # may be long, and hold what is not to be repeated
        return "a list" if isinstance(value, list) else "an object"
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."

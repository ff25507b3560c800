"""The answer to a request that cannot be served: which HTTP status an error comes to."""

from equirouter.errors import GatewayError, StoreGoneError, UnknownNameError, UserError

__all__ = ["answer_to", "store_unreachable", "wrong_field"]


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


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | dict):  # may be long, and hold what is not to be repeated
        return "a list" if isinstance(value, list) else "an object"
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."

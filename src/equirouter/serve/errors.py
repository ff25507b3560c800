"""What the gateway answers when it cannot serve a request, in OpenAI's form."""

from collections.abc import Mapping

__all__ = ["GatewayError", "PassedOnError", "store_unreachable", "wrong_field"]


class GatewayError(Exception):
    """An answer that is an error.

    status: of HTTP. type, code, param: as OpenAI's clients know them, for example
    "invalid_request_error", "model_not_found", "model". headers: such as Retry-After. detail:
    further fields of the error object, such as which constraint removed which model.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        # a header may be any bytes, and those that are no UTF-8 come as halves of characters
        self.message = message.encode("utf-8", "replace").decode()
        self.type = type_
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        self.detail = dict(detail or {})

    def body(self) -> dict[str, object]:
        """The JSON document that the client gets."""
        error: dict[str, object] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error | self.detail}


def store_unreachable() -> GatewayError:
    """The answer where keys, money and the log cannot be asked."""
    return GatewayError(
        503,
        "the gateway cannot reach its store, where keys, money and the log are; try again",
        type_="server_error",
        code="store_unavailable",
        headers={"Retry-After": "5"},
    )


class PassedOnError(GatewayError):
    """An upstream's own error, for the client as it is. raw: the bytes of its body."""

    def __init__(
        self, status: int, raw: bytes, content_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status, f"the upstream answered {status}", headers=headers)
        self.raw = raw
        self.content_type = content_type


def wrong_field(param: str | None, found: object, expected: str) -> GatewayError:
    """A 400 for a field of a request: where, what was found, what was expected."""
    return GatewayError(
        400, f"{param or 'the body'}: found {_shown(found)}; expected {expected}", param=param
    )


def _shown(found: object) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, list | dict):  # may be long, and hold what is not to be repeated
        return "a list" if isinstance(found, list) else "an object"
    shown = repr(found)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."

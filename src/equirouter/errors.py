"""Every error that equirouter raises on purpose, and what each means to the caller.

EquiRouterError           exit code 1, HTTP 500
├── UserError             the caller can fix it: exit code 2, HTTP 400
│   ├── DataError         a table, file or array is not what was promised
│   │   ├── UnreadableError  a query has nothing in it that the encoder can read
│   │   └── FieldError    a field of a logged request holds what it cannot hold
│   ├── ConfigError       an option or a setting has a value that makes no sense
│   ├── UnknownNameError  no router, encoder, data set, policy or key of that name: HTTP 404
│   ├── MissingExtraError an optional package is needed: the message is the command to type
│   ├── DownloadError     a file could not be fetched, or is not the file that was promised
│   ├── PipelineError     a saved pipeline is damaged, or does not belong to this set-up
│   └── OutputError       a result could not be written
├── GateRefusedError      a gate said no, and what was served is served on: exit code 3
├── FitError              training failed
├── WorkerError           a process that worked for this one was ended by the system
├── GatewayError          an answer of the gateway that is an error, with its own HTTP status
│   └── PassedOnError     an upstream's error, passed on as it came
├── UpstreamError         one call of an upstream failed
├── NotCalledError        an upstream was not called: its circuit is open, or a limit is reached
├── NoAnswerError         every candidate failed
├── NoChatError           a request has no equivalent among chat completions
├── StoreGoneError        the gateway's store cannot be reached: HTTP 503
├── BusyError             the store is locked by another process: try again in a moment
└── ChangedError          a row of the store changed meanwhile: begin the transaction again

Exit codes are set in `equirouter.cli.app`, HTTP statuses in `equirouter.serve.refusals`.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

CallFailure: TypeAlias = Literal["status", "connect", "timeout", "broken", "refused", "cancelled"]
"""How a call of an upstream failed."""


class EquiRouterError(Exception):
    """The root: catch it to catch all that equirouter raises on purpose."""


class UserError(EquiRouterError):
    """The caller can fix it: exit code 2 on the command line, HTTP 400 in the gateway."""


class DataError(UserError, ValueError):
    """A table, file or array is not what was promised."""


class FieldError(DataError):
    """A field of a logged request holds what it cannot hold; the reader adds file and line."""


class UnreadableError(DataError):
    """A query has nothing in it that the encoder can read: the query is at fault, nothing else."""


class ConfigError(UserError, ValueError):
    """An option or a setting has a value that makes no sense."""


class UnknownNameError(UserError, LookupError):
    """No router, encoder, data set, policy or key of that name."""


class MissingExtraError(UserError, ImportError):
    """An optional package is needed; the message is the command to type."""


class DownloadError(UserError, OSError):
    """A file could not be fetched, or what came is not what was promised."""


class PipelineError(UserError, ValueError):
    """A saved pipeline is damaged, too new, or does not belong to this set-up."""


class OutputError(UserError, OSError):
    """A result could not be written: no space, no permission, or the place is taken."""


class FitError(EquiRouterError):
    """Training failed although its input was valid, for example on a loss that is not finite."""


class GateRefusedError(EquiRouterError):
    """A pipeline was not made current: the message says why, and what is served is as before."""


class WorkerError(EquiRouterError):
    """A process that worked for this one was ended by the system, or by somebody."""


class GatewayError(EquiRouterError):
    """An answer of the gateway that is an error, in OpenAI's form.

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
        # a header may be any bytes; those that are not UTF-8 arrive as lone surrogates
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


class PassedOnError(GatewayError):
    """An upstream's own error, passed on as it came. raw: the bytes of its body."""

    def __init__(
        self, status: int, raw: bytes, content_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status, f"the upstream answered {status}", headers=headers)
        self.raw = raw
        self.content_type = content_type


class UpstreamError(EquiRouterError):
    """One call of an upstream that brought no answer that could be passed on.

    outcome: how it failed. status: HTTP's, None where there was none. retry_seconds: as the
    provider asked. body, content_type: of its answer, for the client. may_cost: whether the
    provider may charge for it all the same: it had the request, and nobody heard the end.
    """

    def __init__(
        self,
        outcome: CallFailure,
        message: str,
        *,
        status: int | None = None,
        retry_seconds: float | None = None,
        body: bytes = b"",
        content_type: str = "application/json",
        may_cost: bool = False,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.may_cost = may_cost or outcome == "timeout"
        self.status = status
        self.retry_seconds = retry_seconds
        self.body = body
        self.content_type = content_type


class NotCalledError(EquiRouterError):
    """An upstream was not called. seconds: until another try is worthwhile."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class NoAnswerError(EquiRouterError):
    """Every candidate failed. last: the latest failure, None if nobody was called."""

    def __init__(self, last: UpstreamError | None) -> None:
        super().__init__("no model answered")
        self.last = last


class NoChatError(EquiRouterError, ValueError):
    """A request that no chat completion can express. field: the part that cannot be expressed."""

    def __init__(self, field: str) -> None:
        super().__init__(f"a chat completion has no {field}")
        self.field = field


class StoreGoneError(EquiRouterError):
    """The store cannot be reached: it is not there, locked for long, damaged, or its disk full."""


class BusyError(EquiRouterError):
    """Another process is writing to the store: try again in a moment."""


class ChangedError(EquiRouterError):
    """A row changed between reading and writing: the transaction must begin again."""

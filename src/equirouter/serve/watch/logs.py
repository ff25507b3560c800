"""Lines on stderr: what went wrong, and with level "debug" every request. No texts, no secrets.

A request that failed on the gateway's or the upstreams' side (status 500 and more) is a warning,
one that another model than the first answered, or that cost more than its budget, is an info, all
others are debug. What a client sent is never in a line, save the name of the model that it asked
for.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TextIO

from equirouter.serve.records import RequestRecord, usd_or_none
from equirouter.serve.watch_settings import LogSettings

LOGGER = logging.getLogger("equirouter.serve")
LONGEST_NAME = 200
_SECRET = re.compile(
    r"(?i)(?<=bearer )[\w.~+/=-]{8,}"  # an Authorization header
    r"|\b(?:sk|eq|pk|gsk|xai|key)-[\w-]{8,}"  # keys of providers and of the gateway
    r"|(?<=://)[^\s/@:]+:[^\s/@]+(?=@)"  # user and password in a URL
)


def set_up_logging(
    settings: LogSettings, *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Write the log of this process to stderr, or to stream, in place of what was set up before.

    secrets: values that are replaced by *** wherever they would appear, such as providers' keys.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    known = [secret for secret in secrets if secret]
    handler.setFormatter(_Lines(known, is_json=settings.format == "json"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # of libraries, only what may be wrong
    LOGGER.setLevel(settings.level.upper())


def log_request(record: RequestRecord) -> None:
    """Say what became of a request, where the level asks for it."""
    level = logging.DEBUG
    if record.status >= 500:
        level = logging.WARNING
    elif record.over_budget_nusd is not None or (
        record.served_model is not None and (record.is_fallback or _was_called_again(record))
    ):
        level = logging.INFO
    if not LOGGER.isEnabledFor(level):
        return
    served = record.served_model or "nobody"
    LOGGER.log(
        level,
        f"{record.endpoint} answered by {served} with {record.status}",
        extra={"fields": _fields(record)},
    )


def _was_called_again(record: RequestRecord) -> bool:
    asked = [attempt.model for attempt in record.attempts if attempt.role != "check"]
    return len(asked) > len(set(asked))


def _fields(record: RequestRecord) -> Mapping[str, object]:
    plan = record.plan
    return {
        "request_id": record.request_id,
        "endpoint": record.endpoint,
        "requested_model": record.requested_model[:LONGEST_NAME],
        "model": record.served_model,
        "status": record.status,
        "decided_by": None if plan is None else plan.decided_by,
        "key": record.key_id,
        "cost_usd": usd_or_none(record.cost_nusd),
        "charged_by": record.charged_by,
        "over_budget_usd": usd_or_none(record.over_budget_nusd),
        "decision_ms": None if plan is None else round(plan.decision_ms, 3),
        "total_ms": round(record.total_ms, 3),
        "attempts": [
            {
                "model": attempt.model,
                "upstream": attempt.upstream,
                "outcome": attempt.outcome,
                "status": attempt.status,
                "ms": round(attempt.ms, 3),
            }
            for attempt in record.attempts
        ],
    }


class _Lines(logging.Formatter):
    """Lines as JSON or text, without secrets."""

    def __init__(self, secrets: list[str], *, is_json: bool) -> None:
        super().__init__()
        self._secrets = sorted(secrets, key=len, reverse=True)  # one may be a part of another
        self._is_json = is_json

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level, message = record.levelname.lower(), self._safe(record.getMessage())
        fields: Mapping[str, object] = getattr(record, "fields", {})
        exception = self._safe(self.formatException(record.exc_info)) if record.exc_info else None
        if self._is_json:
            document = {"time": time, "level": level, "logger": record.name, "message": message}
            more = {} if exception is None else {"exception": exception}
            line = json.dumps({**document, **fields, **more}, ensure_ascii=False, default=str)
            return self._safe(line)
        shown = "".join(
            f" {name}={value!r}"  # repr: what a client sent cannot begin a new line
            for name, value in fields.items()
            if value is not None
        )
        line = f"{time} {level:7} {message}{self._safe(shown)}"
        return line if exception is None else f"{line}\n{exception}"

    def _safe(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _SECRET.sub("***", text)

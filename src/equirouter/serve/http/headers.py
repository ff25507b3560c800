"""Headers: what an upstream is sent of the client's, and what those of an answer say."""

from collections.abc import Mapping

from equirouter.serve.call.model_pool import Route
from equirouter.serve.records import Endpoint, RequestRecord

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

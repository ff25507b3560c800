"""OpenTelemetry spans of a request that is over, made from its record: the extra `serve`.

Three kinds, named by the GenAI semantic conventions, which are in development (November 2026):

- SERVER, "POST /v1/chat/completions": the request, under the caller's span where it sent a
  `traceparent`;
- INTERNAL, "decide": which models could answer, and why this one;
- CLIENT, "chat MODEL": a call of an upstream each, with the tokens on the one that answered.

Where the spans go is set by the OTEL_* variables of the SDK. They hold no texts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from equirouter import __version__
from equirouter.extras import require
from equirouter.serve.records import Attempt, Plan, RequestRecord, usd_or_none
from equirouter.serve.settings import GatewaySettings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind
    from opentelemetry.util.types import AttributeValue

_ROUTES = {
    "chat.completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "embeddings": "/v1/embeddings",
    "route": "/v1/route",
}
_OPERATIONS = {"embeddings": "embeddings"}  # all else is "chat"
# hosts, or their ends, of providers for which the conventions have a name
_PROVIDERS = {
    "api.openai.com": "openai",
    ".openai.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    ".amazonaws.com": "aws.bedrock",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
}
_NS = 1_000_000_000


def provider_of(base_url: str, upstream: str) -> str:
    """gen_ai.provider.name of an upstream: the conventions' name, else the name in the settings."""
    host = urlsplit(base_url).hostname or ""
    for end, name in _PROVIDERS.items():
        if host == end or (end.startswith(".") and host.endswith(end)):
            return name
    return upstream


class Tracer:
    """Makes the spans of requests. provider: whose processors get them."""

    def __init__(self, provider: "TracerProvider", settings: GatewaySettings) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("equirouter", __version__)
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: GatewaySettings) -> Self | None:
        """Sends spans over OTLP in batches, None without `telemetry.otel`.

        Raises MissingExtraError where the SDK is not installed.
        """
        if not settings.telemetry.otel:
            return None
        for module in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"):
            require(module, extra="serve", purpose="send traces")
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {"service.name": "equirouter", "service.version": __version__}
        # what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before
        resource = Resource(named).merge(Resource.create())
        if resource.attributes.get("service.name") == "unknown_service":
            resource = resource.merge(Resource(named))
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider, settings)

    def close(self) -> None:
        """Send what is left. Blocks."""
        self._provider.shutdown()

    def record(self, record: RequestRecord, headers: Mapping[str, str]) -> None:
        """Make the spans of a request that is over; headers: the client's."""
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(
            {name.lower(): value for name, value in headers.items()}
        )
        route = _ROUTES[record.endpoint]
        request = self._span(f"POST {route}", SpanKind.SERVER, parent, record.started_at)
        if request.is_recording():
            request.set_attributes(_of_request(record, route))
            inside = set_span_in_context(request)
            self._decide(record.plan, record.started_at, inside)
            self._calls(record, inside)
        if record.status >= 500:
            _failed(request, str(record.status))
        request.end(_ns(record.started_at + record.total_ms / 1000))

    def _span(self, name: str, kind: "SpanKind", context: "Context", start: float) -> "Span":
        return self._tracer.start_span(name, context, kind, start_time=_ns(start))

    def _decide(self, plan: Plan | None, start: float, context: "Context") -> None:
        from opentelemetry.trace import SpanKind

        if plan is None or plan.decided_by == "named":
            return
        span = self._span("decide", SpanKind.INTERNAL, context, start)
        span.set_attributes(_of_plan(plan))
        if plan.decided_by == "router_failure":
            _failed(span, "router_failure")
        span.end(_ns(start + plan.decision_ms / 1000))

    def _calls(self, record: RequestRecord, context: "Context") -> None:
        from opentelemetry.trace import SpanKind

        operation = _OPERATIONS.get(record.endpoint, "chat")
        end = record.started_at + record.total_ms / 1000
        start = record.started_at + (record.plan.decision_ms / 1000 if record.plan else 0.0)
        ok = [call for call in record.attempts if call.outcome == "ok"]
        answered = [call for call in ok if call.role != "check"]
        served = [call for call in answered if call.model == record.served_model] or answered
        for attempt in record.attempts:
            start = start if attempt.started_at is None else attempt.started_at
            is_answer = bool(served) and attempt is served[-1]
            model = self._settings.models.get(attempt.model)
            asked = attempt.model if model is None else model.upstream_model or attempt.model
            span = self._span(f"{operation} {asked}", SpanKind.CLIENT, context, start)
            span.set_attributes(
                {
                    "gen_ai.operation.name": operation,
                    "gen_ai.request.model": asked,
                    **self._server(attempt),
                    **(_of_answer(record, attempt) if is_answer else {}),
                    **_of_cascade(attempt),
                }
            )
            if attempt.outcome != "ok":
                _failed(span, str(attempt.status) if attempt.status else attempt.outcome)
            start += attempt.ms / 1000
            is_stream = is_answer and attempt.role != "first"
            span.end(_ns(end if is_stream else start))

    def _server(self, attempt: Attempt) -> dict[str, "AttributeValue"]:
        upstream = self._settings.upstreams.get(attempt.upstream)
        url = "" if upstream is None else upstream.base_url
        attributes: dict[str, AttributeValue] = {
            "gen_ai.provider.name": provider_of(url, attempt.upstream),
            "equirouter.upstream": attempt.upstream,
        }
        parts = urlsplit(url)
        if parts.hostname:
            attributes["server.address"] = parts.hostname
            attributes["server.port"] = parts.port or (443 if parts.scheme == "https" else 80)
        if attempt.status is not None:
            attributes["http.response.status_code"] = attempt.status
        return attributes


def _of_request(record: RequestRecord, route: str) -> dict[str, "AttributeValue"]:
    attributes: dict[str, AttributeValue | None] = {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": record.status,
        "equirouter.request_id": record.request_id,
        "equirouter.requested_model": record.requested_model[:200],
        "equirouter.model": record.served_model,
        "equirouter.key": record.key_id,
        "equirouter.attempts": len(record.attempts),
        "equirouter.cost_usd": usd_or_none(record.cost_nusd),
        "gen_ai.conversation.id": record.session,
    }
    return _known(attributes)


def _of_plan(plan: Plan) -> dict[str, "AttributeValue"]:
    first = plan.candidates[0].model if plan.candidates else None
    attributes: dict[str, AttributeValue | None] = {
        "equirouter.decided_by": plan.decided_by,
        "equirouter.candidates": [candidate.model for candidate in plan.candidates],
        "equirouter.removed": [
            f"{model}: {removal.text}" for model, removal in plan.removed.items()
        ],
        "equirouter.setting": plan.setting,
        "equirouter.value": plan.value,
        "equirouter.confidence": plan.confidence,
        "equirouter.pipeline.pipeline": plan.pipeline,
        "equirouter.predicted_cost_usd": plan.predicted_costs_usd.get(first or ""),
        "equirouter.score": plan.scores.get(first or ""),
    }
    return _known(attributes)


def _of_answer(record: RequestRecord, attempt: Attempt) -> dict[str, "AttributeValue"]:
    attributes: dict[str, AttributeValue] = {"gen_ai.request.stream": record.stream}
    if record.stream:
        attributes["gen_ai.response.time_to_first_chunk"] = attempt.ms / 1000
    tokens = record.tokens
    if tokens is not None:
        attributes["gen_ai.usage.input_tokens"] = tokens.input
        attributes["gen_ai.usage.output_tokens"] = tokens.output
        attributes["gen_ai.usage.cache_read.input_tokens"] = tokens.cached_input
        attributes["gen_ai.usage.cache_creation.input_tokens"] = tokens.cache_write
        attributes["gen_ai.usage.reasoning.output_tokens"] = tokens.reasoning
        attributes["equirouter.usage_estimated"] = tokens.estimated
    return attributes


def _of_cascade(attempt: Attempt) -> dict[str, "AttributeValue"]:
    """Of one call of several, its own part of what the request used."""
    if attempt.role is None:
        return {}
    known: dict[str, AttributeValue | None] = {
        "equirouter.role": attempt.role,
        "gen_ai.usage.input_tokens": attempt.input_tokens,
        "gen_ai.usage.output_tokens": attempt.output_tokens,
    }
    return _known(known)


def _known(attributes: Mapping[str, "AttributeValue | None"]) -> dict[str, "AttributeValue"]:
    return {name: value for name, value in attributes.items() if value is not None}


def _failed(span: "Span", kind: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _ns(seconds: float) -> int:
    return int(seconds * _NS)

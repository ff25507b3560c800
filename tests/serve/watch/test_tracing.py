"""Spans of a request, collected in memory."""

import json
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from equirouter.serve.records import Attempt, RequestRecord, Tokens
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.watch.tracing import Tracer, provider_of
from tests.serve.records_made import MODELS, made_record

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SETTINGS = GatewaySettings.model_validate(
    {
        "upstreams": {
            "east": {"base_url": "https://api.openai.com/v1"},
            "west": {"base_url": "http://10.0.0.7:8000/v1"},
        },
        "models": {name: {"upstream": "west", "upstream_model": f"lab/{name}"} for name in MODELS},
    }
)


def spans_of(record: RequestRecord, headers: dict[str, str] | None = None) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    Tracer(provider, SETTINGS).record(record, headers or {})
    provider.shutdown()
    return list(exporter.get_finished_spans())


def by_kind(spans: list[ReadableSpan], kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in spans if span.kind is kind]


def test_a_request_is_a_span_under_the_callers_with_its_calls_below() -> None:
    spans = spans_of(made_record(), {"TraceParent": f"00-{TRACE}-{PARENT}-01"})
    (request,) = by_kind(spans, SpanKind.SERVER)
    assert request.name == "POST /v1/chat/completions"
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == PARENT
    assert {f"{span.context.trace_id:032x}" for span in spans} == {TRACE}
    inside = [span for span in spans if span is not request]
    assert {span.parent.span_id for span in inside if span.parent} == {request.context.span_id}
    assert request.end_time is not None
    assert request.start_time is not None
    assert request.end_time - request.start_time == pytest.approx(900e6, abs=2000)  # ns


def test_a_call_has_the_attributes_of_the_genai_conventions() -> None:
    failed, answered = by_kind(spans_of(made_record()), SpanKind.CLIENT)
    assert failed.name == "chat lab/medium"
    assert failed.attributes is not None
    assert failed.attributes["gen_ai.provider.name"] == "openai"
    assert failed.attributes["error.type"] == "503"
    assert failed.status.status_code is StatusCode.ERROR
    assert "gen_ai.usage.input_tokens" not in failed.attributes
    assert answered.attributes is not None
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "west",
        "gen_ai.request.model": "lab/small",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.2,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.reasoning.output_tokens": 20,
        "server.address": "10.0.0.7",
        "server.port": 8000,
    }
    assert {name: answered.attributes.get(name) for name in expected} == expected
    assert answered.status.status_code is StatusCode.UNSET


def test_each_call_of_a_cascade_has_its_role_and_its_own_tokens() -> None:
    calls = [
        Attempt("small", "west", "ok", 200, 5.0, role="first", input_tokens=20, output_tokens=4),
        Attempt("medium", "east", "cancelled", None, 9.0, role="first"),
    ]
    record = replace(made_record(), attempts=calls, tokens=Tokens(45, 9))
    spans = by_kind(spans_of(record), SpanKind.CLIENT)
    found = [dict(span.attributes or {}) for span in spans]
    assert [one["equirouter.role"] for one in found] == ["first", "first"]
    used = [one.get("gen_ai.usage.output_tokens") for one in found]
    assert sorted(used, key=str) == [4, None]


def test_a_decision_says_why() -> None:
    (decision,) = by_kind(spans_of(made_record()), SpanKind.INTERNAL)
    assert decision.attributes is not None
    assert decision.attributes["equirouter.candidates"] == ("small", "medium", "large")
    assert decision.attributes["equirouter.setting"] == "budget_usd"
    assert decision.attributes["equirouter.value"] == 0.002


def test_a_request_that_failed_is_an_error_and_a_mistake_of_the_client_is_none() -> None:
    (failed,) = by_kind(spans_of(made_record(served=None)), SpanKind.SERVER)
    assert failed.status.status_code is StatusCode.ERROR
    wrong = RequestRecord("r", 0.0, "embeddings", "none", status=400)
    (refused,) = spans_of(wrong)
    assert refused.status.status_code is StatusCode.UNSET


def test_a_caller_that_is_not_sampled_is_not_traced() -> None:
    assert spans_of(made_record(), {"traceparent": f"00-{TRACE}-{PARENT}-00"}) == []


def test_no_text_is_in_a_span() -> None:
    shown = json.dumps([json.loads(span.to_json()) for span in spans_of(made_record())])
    assert "private" not in shown


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://mine.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://api.openai.com.evil.example/v1", "here"),
        ("https://mine.openai.azure.com.evil.example/v1", "here"),
        ("http://localhost:11434/v1", "here"),
        ("", "here"),
    ],
)
def test_provider(url: str, name: str) -> None:
    assert provider_of(url, "here") == name


def test_without_the_setting_there_are_no_traces() -> None:
    assert Tracer.from_settings(SETTINGS) is None

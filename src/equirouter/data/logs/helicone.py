"""Helicone: requests, as its export tool and its query API give them."""

from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import request_of
from equirouter.data.logs.fields import first, inner, named, number, share, unix_seconds, whole
from equirouter.data.logs.provider_answers import reply_of

_NOT_ASKED = ("embeddings", "moderations", "images", "audio", "files", "models", "rerank")


class Helicone(LogReader):
    """HeliconeRequest objects (JSON, JSON lines, CSV); their property Task is the task."""

    title = "Helicone requests (npx @helicone/export 1.0, POST query-clickhouse; 2026-11)"
    keeps_texts = (
        "npx @helicone/export writes them with --include-body, and requests that were sent with "
        "Helicone-Omit-Request have none"
    )

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By the names of its columns."""
        return "request_created_at" in record or (
            "request_body" in record and "response_body" in record
        )

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The one request of an object."""
        path = str(record.get("request_path") or "")
        kind = next((kind for kind in _NOT_ASKED if f"/{kind}" in path), None)
        if kind is not None:
            yield LeftOut(f"calls of {kind}")
            return
        body = inner(record, "request_body")
        messages, parameters = request_of(body)
        if not messages:
            yield without_text
            return
        failed = (number(record, "response_status") or 200) >= 400
        reply = reply_of(None if failed else record.get("response_body"))
        read, written = whole(record, "prompt_tokens"), whole(record, "completion_tokens")
        delay_ms = number(record, "delay_ms")
        rating = first(inner(record, "request_feedback"), "rating")
        properties = inner(record, "request_properties", "properties")
        yield LoggedRequest(
            messages=messages,
            parameters=parameters,
            task=named(properties, "Task", "task"),
            asked_at=unix_seconds(record.get("request_created_at")),
            model=named(record, "response_model", "request_model", "model") or named(body, "model"),
            answer=reply.get("answer"),
            finish_reason=reply.get("finish_reason"),
            input_tokens=reply.get("input_tokens") if read is None else read,
            output_tokens=reply.get("output_tokens") if written is None else written,
            cost_usd=number(record, "costUSD", "cost_usd", "cost"),
            latency_seconds=None if delay_ms is None else delay_ms / 1e3,
            feedback=share(first(record, "feedback_rating") if rating is None else rating),
        )

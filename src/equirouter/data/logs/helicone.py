"""Helicone: requests, as its export tool and its query API give them."""

from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, LogReader, share, without_text
from equirouter.data.logs.bodies import reply_of, request_of

_NOT_ASKED = ("embeddings", "moderations", "images", "audio", "files", "models", "rerank")


class Helicone(LogReader):
    """HeliconeRequest objects (JSON, JSON lines, CSV); their property Task is the task."""

    title = "Helicone requests (npx @helicone/export 1.0, POST query-clickhouse; 2026-11)"
    keeps_texts = (
        "npx @helicone/export writes them with --include-body, and requests that were sent with "
        "Helicone-Omit-Request have none"
    )

    def recognises(self, record: Fields) -> bool:
        """By the names of its columns."""
        return "request_created_at" in record or (
            "request_body" in record and "response_body" in record
        )

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The one request of an object."""
        path = str(record.get("request_path") or "")
        kind = next((kind for kind in _NOT_ASKED if f"/{kind}" in path), None)
        if kind is not None:
            return LeftOut(f"calls of {kind}")
        body = record.inner("request_body")
        messages, parameters = request_of(body)
        if not messages:
            return without_text
        failed = (record.number("response_status") or 200) >= 400
        reply = reply_of(None if failed else record.get("response_body"))
        read, written = record.whole("prompt_tokens"), record.whole("completion_tokens")
        delay_ms = record.number("delay_ms")
        rating = record.inner("request_feedback").first("rating")
        properties = record.inner("request_properties", "properties")
        return LoggedRequest(
            messages=messages,
            parameters=parameters,
            task=properties.named("Task", "task"),
            asked_at=record.time("request_created_at"),
            model=record.named("response_model", "request_model", "model") or body.named("model"),
            answer=reply.get("answer"),
            finish_reason=reply.get("finish_reason"),
            input_tokens=reply.get("input_tokens") if read is None else read,
            output_tokens=reply.get("output_tokens") if written is None else written,
            cost_usd=record.number("costUSD", "cost_usd", "cost"),
            latency_seconds=None if delay_ms is None else delay_ms / 1e3,
            feedback=share(record.first("feedback_rating") if rating is None else rating),
        )

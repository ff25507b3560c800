"""LiteLLM: rows of its spend logs, and what its callbacks log."""

from collections.abc import Mapping
from typing import Any

from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import (
    as_messages,
    conversation_in,
    parameters_of,
    reply_of,
    request_of,
)

_PAYLOAD = "standard_logging_object"
_CHAT = ("completion", "text_completion", "responses", "anthropic_messages", "generate_content")
_REDACTED = "redacted-by-litellm"


class LiteLLM(LogReader):
    """Rows of LiteLLM_SpendLogs (JSON, CSV, parquet), and StandardLoggingPayload objects.

    The payload stands alone, or under standard_logging_object. The model is the model_group, which
    is what requests name. A spend log whose messages are empty has them in proxy_server_request.
    """

    title = "LiteLLM spend logs and callbacks (LiteLLM_SpendLogs, StandardLoggingPayload, 1.110)"
    keeps_texts = (
        "LiteLLM's proxy keeps them in its spend logs with store_prompts_in_spend_logs: true under "
        "general_settings, and in callbacks unless turn_off_message_logging is set"
    )

    def recognises(self, record: Fields) -> bool:
        """By the call type and what was spent."""
        payload = record.inner(_PAYLOAD) or record
        return "call_type" in payload and ("spend" in payload or "response_cost" in payload)

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The one request of a row or payload."""
        payload = record.inner(_PAYLOAD) or record
        call = str(payload.get("call_type") or "completion")
        if not call.removeprefix("a").endswith(_CHAT):
            return LeftOut(f"calls of type {call}")
        messages, parameters = _request(payload)
        if not messages or _REDACTED in str(messages[-1].get("content"))[:40]:
            return without_text
        start = payload.time("startTime")
        end = payload.time("endTime")
        failed = payload.get("status") == "failure"
        reply = reply_of(None if failed else payload.get("response"))
        return LoggedRequest(
            messages=messages,
            parameters=parameters,
            asked_at=start,
            model=payload.named("model_group", "model"),
            answer=reply.get("answer"),
            finish_reason=reply.get("finish_reason"),
            input_tokens=payload.whole("prompt_tokens"),
            output_tokens=payload.whole("completion_tokens"),
            cost_usd=payload.number("response_cost", "spend"),
            latency_seconds=_seconds(payload, start, end),
        )


def _seconds(payload: Fields, start: float | None, end: float | None) -> float | None:
    if start is not None and end is not None:
        return max(end - start, 0.0)
    took_ms = payload.number("request_duration_ms")
    return None if took_ms is None else took_ms / 1e3


def _request(payload: Fields) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    sent = payload.inner("proxy_server_request")
    body = sent.inner("body") or sent
    content = conversation_in(payload.first("messages"))
    if not content:
        return request_of(body)
    if isinstance(content, Mapping):  # what a request of another endpoint holds
        return request_of(content)
    return as_messages(content), parameters_of(payload.inner("model_parameters") or body)

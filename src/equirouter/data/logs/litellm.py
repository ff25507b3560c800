"""LiteLLM: rows of its spend logs, and what its callbacks log."""

from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import as_messages, parameters_of, request_of
from equirouter.data.logs.fields import first, inner, named, number, parsed, unix_seconds, whole
from equirouter.data.logs.provider_answers import reply_of

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

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By the call type and what was spent."""
        payload = inner(record, _PAYLOAD) or record
        return "call_type" in payload and ("spend" in payload or "response_cost" in payload)

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The one request of a row or payload."""
        payload = inner(record, _PAYLOAD) or record
        call = str(payload.get("call_type") or "completion")
        if not call.removeprefix("a").endswith(_CHAT):
            yield LeftOut(f"calls of type {call}")
            return
        messages, parameters = _request(payload)
        if not messages or _REDACTED in str(messages[-1].get("content"))[:40]:
            yield without_text
            return
        start = unix_seconds(payload.get("startTime"))
        end = unix_seconds(payload.get("endTime"))
        failed = payload.get("status") == "failure"
        reply = reply_of(None if failed else payload.get("response"))
        yield LoggedRequest(
            messages=messages,
            parameters=parameters,
            asked_at=start,
            model=named(payload, "model_group", "model"),
            answer=reply.get("answer"),
            finish_reason=reply.get("finish_reason"),
            input_tokens=whole(payload, "prompt_tokens"),
            output_tokens=whole(payload, "completion_tokens"),
            cost_usd=number(payload, "response_cost", "spend"),
            latency_seconds=_seconds(payload, start, end),
        )


def _seconds(payload: Mapping[str, Any], start: float | None, end: float | None) -> float | None:
    if start is not None and end is not None:
        return max(end - start, 0.0)
    took_ms = number(payload, "request_duration_ms")
    return None if took_ms is None else took_ms / 1e3


def _request(payload: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    sent = inner(payload, "proxy_server_request")
    body = inner(sent, "body") or sent
    content = parsed(first(payload, "messages"))
    if not content:
        return request_of(body)
    if isinstance(content, Mapping):  # what a request of another endpoint holds
        return request_of(content)
    return as_messages(content), parameters_of(inner(payload, "model_parameters") or body)

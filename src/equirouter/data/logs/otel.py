"""OpenTelemetry: spans and events of calls of generative models."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import parameters_of

_CHAT = ("chat", "text_completion", "generate_content")
_PARAMETERS = (
    "temperature",
    "top_p",
    "max_tokens",
    "frequency_penalty",
    "presence_penalty",
    "seed",
)


class GenAISpans(LogReader):
    """Spans as OTLP in JSON (a request with many, or one), or as the SDKs print them; events.

    Messages are the attributes of the convention since 1.37 (gen_ai.input.messages, in parts), on
    the span, or on the event gen_ai.client.inference.operation.details, which has the others, too
    (give only one of them where both have messages); or OpenLLMetry's gen_ai.prompt.0.content and
    gen_ai.completion.0.content. Spans of agents, tools and embeddings are no calls for an answer.
    The convention has no cost: gen_ai.usage.cost. Since 1.41 it has a repository of its own,
    semantic-conventions-genai, read in 2026-11.
    """

    title = (
        "OpenTelemetry GenAI spans and events (semantic conventions 1.37 to 1.41, genai 0.1; "
        "OTLP JSON, SDK console)"
    )
    keeps_texts = (
        "instrumentations record them with OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true "
        "(SPAN_ONLY or EVENT_ONLY in newer ones)"
    )

    def recognises(self, record: Fields) -> bool:
        """By attributes of the convention; a request of OTLP may begin with other spans."""
        if "resourceSpans" in record or "resourceLogs" in record:
            return True
        return any(name.startswith("gen_ai.") for name in _attributes(record))

    def parts(self, record: Fields) -> Iterator[Mapping[str, Any]]:
        """All spans and events in it; events are records of a log."""
        if "resourceSpans" not in record and "resourceLogs" not in record:
            yield record
            return
        for resource in record.get("resourceSpans") or ():
            for scope in resource.get("scopeSpans") or resource.get("scope_spans") or ():
                yield from scope.get("spans") or ()
        for resource in record.get("resourceLogs") or ():
            for scope in resource.get("scopeLogs") or resource.get("scope_logs") or ():
                yield from scope.get("logRecords") or scope.get("log_records") or ()

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The request of a span or event."""
        return _request(record, _attributes(record))


def _attributes(span: Fields) -> Fields:
    """Name -> value, of an object or of OTLP's list of keys and typed values."""
    attributes = span.parsed("attributes", "span_attributes")
    if not isinstance(attributes, list):
        return Fields(attributes if isinstance(attributes, Mapping) else {})
    named = (attribute for attribute in attributes if isinstance(attribute, Mapping))
    return Fields({str(pair.get("key")): _value(pair.get("value")) for pair in named})


def _value(value: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
    if not isinstance(value, Mapping):
        return value
    if "arrayValue" in value:
        return [_value(item) for item in (value["arrayValue"] or {}).get("values") or ()]
    if "kvlistValue" in value:
        pairs = (value["kvlistValue"] or {}).get("values") or ()
        return {item.get("key"): _value(item.get("value")) for item in pairs}
    if "intValue" in value:  # OTLP writes it as a text
        return Fields(value).whole("intValue")
    return next(iter(value.values()), None)


def _request(span: Fields, of: Fields) -> LoggedRequest | LeftOut:
    if not any(name.startswith("gen_ai.") for name in of):
        return LeftOut("spans that are no calls of a model")
    operation = of.named("gen_ai.operation.name")
    if operation is not None and operation not in _CHAT:
        return LeftOut(f"spans of {operation}")
    messages = _asked(of)
    if not messages:
        return without_text
    unknown = _unknown_parts(of)
    if unknown:
        return LeftOut(f"with a part of kind {', '.join(unknown)}, which no chat completion has")
    start = span.time("startTimeUnixNano", "start_time_unix_nano", "start_time", "timeUnixNano")
    end = span.time("endTimeUnixNano", "end_time_unix_nano", "end_time")
    answer, reason = _answered(of)
    return LoggedRequest(
        messages=messages,
        parameters=_parameters(of),
        asked_at=start,
        model=of.named("gen_ai.response.model", "gen_ai.request.model"),
        answer=answer,
        finish_reason=reason,
        input_tokens=of.whole("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        output_tokens=of.whole("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        cost_usd=of.number("gen_ai.usage.cost"),
        latency_seconds=end - start if start is not None and end is not None else None,
    )


def _parameters(of: Fields) -> dict[str, Any]:
    parameters = {name: of.get(f"gen_ai.request.{name}") for name in _PARAMETERS}
    tools = of.parsed("gen_ai.tool.definitions")
    return parameters_of({**parameters, "tools": tools if isinstance(tools, list) else None})


def _asked(of: Fields) -> list[dict[str, Any]]:
    content = of.parsed("gen_ai.input.messages")
    if not isinstance(content, list):
        return [_indexed(of, f"gen_ai.prompt.{i}") for i in _places(of, "gen_ai.prompt")]
    instructions = of.parsed("gen_ai.system_instructions")
    messages = [message for item in content for message in _messages(item)]
    if isinstance(instructions, list) and instructions:
        messages.insert(0, {"role": "system", "content": _content(instructions)})
    return messages


def _places(of: Fields, prefix: str) -> list[int]:
    """The numbers i of attributes prefix.i.role and prefix.i.content."""
    ends = (name.removeprefix(f"{prefix}.").split(".")[0] for name in of if name.startswith(prefix))
    return sorted({int(end) for end in ends if end.isdecimal()})


def _indexed(of: Fields, prefix: str) -> dict[str, Any]:
    return {"role": of.get(f"{prefix}.role") or "user", "content": of.get(f"{prefix}.content")}


def _messages(item: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """A message of the convention as messages of a chat completion."""
    if not isinstance(item, Mapping) or not isinstance(item.get("parts"), list):
        return
    parts = [Fields(part) for part in item["parts"] if isinstance(part, Mapping)]
    for part in parts:
        if part.get("type") == "tool_call_response":
            result = part.first("response", "result")
            text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
            yield {"role": "tool", "tool_call_id": part.get("id"), "content": text}
    calls = [_call(part) for part in parts if part.get("type") == "tool_call"]
    content = _content(parts)
    if calls:
        yield {"role": "assistant", "content": content or None, "tool_calls": calls}
    elif content:
        yield {"role": item.get("role") or "user", "content": content}


def _call(part: Mapping[str, Any]) -> dict[str, Any]:
    arguments = part.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": part.get("name"), "arguments": text}
    return {"id": part.get("id"), "type": "function", "function": function}


def _content(parts: list[Any]) -> Any:  # noqa: ANN401
    """Texts and pictures of parts: a text where there are only texts."""
    shown_parts = [shown for part in parts if (shown := _shown(part)) is not None]
    if all(part["type"] == "text" for part in shown_parts):
        return "\n".join(str(part["text"]) for part in shown_parts)
    return shown_parts


def _shown(part: Mapping[str, Any]) -> dict[str, Any] | None:
    if part.get("type") == "text":
        return {"type": "text", "text": part.get("content")}
    if part.get("type") == "file":
        return {"type": "file", "file": {"file_id": part.get("file_id")}}
    if part.get("modality") == "image":
        url = part.get("uri") or f"data:{part.get('mime_type')};base64,{part.get('content')}"
        return {"type": "image_url", "image_url": {"url": url}}
    if part.get("modality") == "audio" and part.get("type") == "blob":
        kind = str(part.get("mime_type") or "audio/wav").partition("/")[2]
        sound = {"data": part.get("content"), "format": {"mpeg": "mp3"}.get(kind, kind)}
        return {"type": "input_audio", "input_audio": sound}
    return None


def _unknown_parts(of: Fields) -> list[str]:
    """Kinds of what was sent and cannot be sent again, such as a video."""
    content = of.parsed("gen_ai.input.messages")
    parts = [
        part
        for message in (content if isinstance(content, list) else ())
        if isinstance(message, Mapping)
        for part in message.get("parts") or ()
        if isinstance(part, Mapping) and part.get("type") in ("blob", "uri")
    ]
    return sorted({str(part.get("modality")) for part in parts if _shown(part) is None})


def _answered(of: Fields) -> tuple[str | None, str | None]:
    """The text of the answer and why it ended."""
    content = of.parsed("gen_ai.output.messages")
    reasons = of.parsed("gen_ai.response.finish_reasons")
    reason = str(reasons[0]) if isinstance(reasons, list) and reasons else None
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        texts = [m["content"] for m in _messages(content[0]) if isinstance(m.get("content"), str)]
        return "\n".join(texts), Fields(content[0]).named("finish_reason") or reason
    text = of.get("gen_ai.completion.0.content")
    reason = reason or of.named("gen_ai.completion.0.finish_reason")
    return (None if text is None and reason is None else str(text or "")), reason

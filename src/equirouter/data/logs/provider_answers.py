"""Answers as providers send them: text, why it ended, tokens, model.

Chat completions and text completions, the Responses API and Anthropic's messages, as documented in
November 2026.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from equirouter.data.logs.fields import inner, named, parsed, whole


class ReplyFields(TypedDict, total=False):
    """Fields of a LoggedRequest that an answer says."""

    model: str | None
    answer: str | None
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None


def reply_of(response: Any) -> ReplyFields:  # noqa: ANN401  # whatever JSON can hold
    """The fields that an answer says of itself; {} for nothing, or an answer that is an error."""
    document = parsed(response)
    reply = _reply_in(document)
    if reply is not None or not isinstance(response, str) or not document:
        return reply or ReplyFields()
    is_error = isinstance(document, Mapping) and "error" in document
    return (
        ReplyFields() if is_error else ReplyFields(answer=response)
    )  # the model itself wrote JSON


def _reply_in(response: Any) -> ReplyFields | None:  # noqa: ANN401
    """Reply out of a provider's answer; None for whatever is none."""
    if isinstance(response, list):
        response = {"output": response} if _is_output(response) else {"content": response}
        if "content" in response and not text_of(response["content"]):
            return None
    if not isinstance(response, Mapping) or (message := _said(response)) is None:
        return None
    answer, reason = message
    usage = inner(response, "usage")
    return ReplyFields(
        model=named(response, "model"),
        answer=answer,
        finish_reason=reason,
        input_tokens=_input_tokens(usage),
        output_tokens=whole(usage, "completion_tokens", "output_tokens"),
    )


def text_of(content: Any) -> str:  # noqa: ANN401
    """The text of a message's content; "" where it has none."""
    if isinstance(content, str):
        return content
    return "\n".join(_texts(content)) if isinstance(content, list) else ""


def _is_output(parts: list[Any]) -> bool:
    return any(isinstance(part, Mapping) and part.get("type") == "message" for part in parts)


def _texts(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            if part.get("type") not in ("thinking", "reasoning", "summary_text"):
                yield part["text"]
        elif isinstance(part, str):
            yield part


def _said(response: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """The text of an answer and why it ended; None where the response holds no answer."""
    choices = response.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        choice = choices[0]
        message = choice.get("message")
        content = message.get("content") if isinstance(message, Mapping) else choice.get("text")
        return text_of(content), named(choice, "finish_reason")
    output = response.get("output")
    if isinstance(output, list):
        spoken = [o for o in output if isinstance(o, Mapping) and o.get("type") == "message"]
        text = "\n".join(filter(None, (text_of(part.get("content")) for part in spoken)))
        return text, _ended(response, calls=len(spoken) < len(output) and not spoken)
    if "content" in response or "tool_calls" in response:
        return text_of(response.get("content")), named(response, "stop_reason", "finish_reason")
    return None


def _ended(response: Mapping[str, Any], *, calls: bool) -> str | None:
    """Why an answer of the Responses API ended, in the words of chat completions."""
    why = named(inner(response, "incomplete_details"), "reason")
    if why is not None:
        return "length" if why == "max_output_tokens" else why
    if response.get("status") == "completed":
        return "tool_calls" if calls else "stop"
    return named(response, "status")


def _input_tokens(usage: Mapping[str, Any]) -> int | None:
    """Anthropic counts what a cache read and wrote beside the input; others within it."""
    tokens = whole(usage, "prompt_tokens", "input_tokens")
    if tokens is None or "prompt_tokens" in usage:
        return tokens
    cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return tokens + sum(whole(usage, name) or 0 for name in cached)

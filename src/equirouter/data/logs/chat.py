"""Chat-format JSON lines, as fine-tuning, evaluation and home-made request logs have them."""

from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import parameters_of, request_of
from equirouter.data.logs.fields import (
    first,
    inner,
    named,
    number,
    parsed,
    share,
    unix_seconds,
    whole,
)
from equirouter.data.logs.provider_answers import reply_of, text_of

_REPLIES = ("response", "response_body", "completion", "output", "answer", "reply")
_ABOUT = (
    *("id", "created", "created_at", "timestamp", "time", "model", "usage", "cost_usd", "cost"),
    *(
        "latency_seconds",
        "latency",
        "latency_ms",
        "feedback",
        "score",
        "rating",
        "task",
        "category",
    ),
    *("metadata", "user", "request", "finish_reason", "input_tokens", "output_tokens", *_REPLIES),
)


class Chat(LogReader):
    """An object with `messages`, or with a `request` that has them.

    The answer is in response (or completion, output, answer, reply): a text or a provider's whole
    answer; where there is none, a last message of the assistant is it. Also read: model; created
    (timestamp, time); usage, or input_tokens and output_tokens; cost_usd (cost); latency_seconds
    (latency_ms); feedback (score, rating) from 0 to 1; task (category); tools and other parameters.
    """

    title = 'chat-format JSON lines: {"messages": [...], ...}'
    keeps_texts = "each line needs its messages"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By a list of messages."""
        return isinstance(_body(record).get("messages"), list)

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The one request of a line."""
        body = _body(record)
        messages, _ = request_of(body)
        others = {name: value for name, value in body.items() if name not in _ABOUT}
        reply = reply_of(first(record, *_REPLIES))
        answer = reply.get("answer")
        if answer is None:
            messages, answer = split_answer(messages)
        if not messages:
            yield without_text
            return
        usage = {**record, **inner(record, "usage")}
        seconds, milli = number(record, "latency_seconds", "latency"), number(record, "latency_ms")
        yield LoggedRequest(
            messages=messages,
            parameters=parameters_of(others),
            task=named(record, "task", "category"),
            asked_at=unix_seconds(first(record, "created", "created_at", "timestamp", "time")),
            model=named(body, "model") or named(record, "model") or reply.get("model"),
            answer=answer,
            finish_reason=reply.get("finish_reason") or named(record, "finish_reason"),
            input_tokens=_count(reply.get("input_tokens"), usage, "prompt_tokens", "input_tokens"),
            output_tokens=_count(
                reply.get("output_tokens"), usage, "completion_tokens", "output_tokens"
            ),
            cost_usd=number(record, "cost_usd", "cost"),
            latency_seconds=milli / 1e3 if seconds is None and milli is not None else seconds,
            feedback=share(first(record, "feedback", "score", "rating")),
        )


def _count(count: int | None, usage: Mapping[str, Any], *names: str) -> int | None:
    """Tokens as the answer says, else as the line does."""
    return whole(usage, *names) if count is None else count


def _body(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that has the messages; JSON in a text is read, as tables have it."""
    body = record if "messages" in record else inner(record, "request")
    return {**body, "messages": parsed(body.get("messages"))}


def split_answer(
    messages: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], str | None]:
    """A conversation up to its last request, and the answer to that, None where there is none."""
    if messages and messages[-1].get("role") == "assistant":
        return messages[:-1], text_of(messages[-1].get("content"))
    return messages, None

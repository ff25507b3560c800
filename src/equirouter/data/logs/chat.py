"""Chat-format JSON lines, as fine-tuning, evaluation and home-made request logs have them."""

from collections.abc import Mapping
from typing import Any

from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import parameters_of, reply_of, request_of, text_of
from equirouter.errors import FieldError

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

    def recognises(self, record: Fields) -> bool:
        """By a list of messages."""
        return isinstance(_body(record).get("messages"), list)

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The one request of a line."""
        body = _body(record)
        messages, _ = request_of(body)
        others = {name: value for name, value in body.items() if name not in _ABOUT}
        reply = reply_of(record.first(*_REPLIES))
        answer = reply.get("answer")
        if answer is None:
            messages, answer = split_answer(messages)
        if not messages:
            return without_text
        usage = Fields({**record, **record.inner("usage")})
        seconds, milli = record.number("latency_seconds", "latency"), record.number("latency_ms")
        return LoggedRequest(
            messages=messages,
            parameters=parameters_of(others),
            task=record.named("task", "category"),
            asked_at=record.time("created", "created_at", "timestamp", "time"),
            model=body.named("model") or record.named("model") or reply.get("model"),
            answer=answer,
            finish_reason=reply.get("finish_reason") or record.named("finish_reason"),
            input_tokens=_count(reply.get("input_tokens"), usage, "prompt_tokens", "input_tokens"),
            output_tokens=_count(
                reply.get("output_tokens"), usage, "completion_tokens", "output_tokens"
            ),
            cost_usd=record.number("cost_usd", "cost"),
            latency_seconds=milli / 1e3 if seconds is None and milli is not None else seconds,
            feedback=record.share("feedback", "score", "rating"),
        )


def _count(count: int | None, usage: Fields, *names: str) -> int | None:
    """Tokens as the answer says, else as the line does."""
    return usage.whole(*names) if count is None else count


def _body(record: Fields) -> Fields:
    """The object that has the messages; JSON in a text is read, as tables have it."""
    body = record if "messages" in record else record.inner("request")
    return Fields({**body, "messages": body.parsed("messages")})


def split_answer(
    messages: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], str | None]:
    """A conversation up to its last request, and the answer to that, None where there is none."""
    if messages and messages[-1].get("role") == "assistant":
        return messages[:-1], text_of(messages[-1].get("content"))
    return messages, None


_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
_ROLES |= {"chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "system": "system"}


class ShareGPT(LogReader):
    """Objects with `conversations`: turns `from` human or gpt, with a `value`; perhaps `system`.

    A conversation is one request: its last turn of the person, with all before it. Nobody publishes
    a specification: these are the files of FastChat and LLaMA-Factory, as of 2026-11.
    """

    title = 'ShareGPT conversations: {"conversations": [{"from": "human", "value": ...}]}'
    keeps_texts = "each object needs its conversations"

    def recognises(self, record: Fields) -> bool:
        """By its turns."""
        return bool(_turns(record))

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The last request of a conversation."""
        instructions = record.named("system")
        messages = [{"role": "system", "content": instructions}] if instructions else []
        for turn in _turns(record):
            who = str(turn.first("from", "role"))
            if who not in _ROLES:
                raise FieldError(f"a turn is from {who!r}, expected one of {', '.join(_ROLES)}")
            messages.append({"role": _ROLES[who], "content": str(turn.first("value") or "")})
        messages, answer = split_answer(messages)
        if not messages:
            return without_text
        return LoggedRequest(
            messages=messages,
            answer=answer,
            model=record.named("model"),
            task=record.named("task"),
        )


def _turns(record: Fields) -> list[Fields]:
    turns = record.parsed("conversations", "conversation")
    if not isinstance(turns, list):
        return []
    known = (Fields(turn) for turn in turns if isinstance(turn, Mapping))
    return [turn for turn in known if "from" in turn or "value" in turn]

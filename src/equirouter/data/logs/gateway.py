"""This gateway's own log: its requests, or the table that `equirouter log export` writes."""

from collections.abc import Iterator, Mapping
from typing import Any

from equirouter.data.logs.base import LeftOut, LoggedRequest, LogReader, without_text
from equirouter.data.logs.bodies import as_messages
from equirouter.data.logs.fields import first, named, number, parsed, share, unix_seconds, whole


class GatewayLog(LogReader):
    """Lines of `equirouter log requests`, with whole conversations, and long outcomes tables.

    A table has a row per query and model: rows without any outcome are pairs that were never asked.
    Its performance is the feedback.
    """

    title = "the log of this gateway (equirouter log requests, equirouter log export)"
    keeps_texts = "set log_texts = true under [log] in gateway.toml"

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """By its columns."""
        if "decided_by" in record and "served_model" in record:
            return True
        return {"query", "model", "performance"} <= set(record)

    def read(self, record: Mapping[str, Any]) -> Iterator[LoggedRequest | LeftOut]:
        """The one request of a line or row."""
        yield _row(record) if "performance" in record else _request(record)


def _request(record: Mapping[str, Any]) -> LoggedRequest | LeftOut:
    endpoint = str(record.get("endpoint") or "chat.completions")
    if endpoint in ("embeddings", "route"):
        return LeftOut(f"calls of {endpoint}")
    messages = parsed(first(record, "messages"))
    if not messages:
        return without_text
    return LoggedRequest(
        messages=as_messages(messages),
        asked_at=unix_seconds(record.get("asked_at")),
        model=named(record, "served_model"),
        answer=_answer(record),
        input_tokens=whole(record, "input_tokens"),
        output_tokens=whole(record, "output_tokens"),
        cost_usd=number(record, "cost_usd"),
        latency_seconds=number(record, "latency_seconds"),
        feedback=share(record.get("feedback")),
        disagreed=_flag(record.get("disagreed")),
    )


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _answer(record: Mapping[str, Any]) -> str | None:
    answer = record.get("answer")
    return None if answer is None else str(answer)


def _row(record: Mapping[str, Any]) -> LoggedRequest | LeftOut:
    score, cost = number(record, "performance"), number(record, "cost_usd", "cost")
    if score is None and cost is None:
        return LeftOut("pairs of query and model that were never asked")
    text = named(record, "query")
    if text is None:
        return without_text
    return LoggedRequest(
        messages=[{"role": "user", "content": text}],
        task=named(record, "task"),
        model=named(record, "model"),
        answer=_answer(record),
        finish_reason=named(record, "finish_reason"),
        input_tokens=whole(record, "input_tokens"),
        output_tokens=whole(record, "output_tokens"),
        cost_usd=cost,
        feedback=share(score),
    )

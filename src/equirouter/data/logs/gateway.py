"""This gateway's own log: its requests, or the table that `equirouter log export` writes."""

from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, LogReader, share, without_text
from equirouter.data.logs.bodies import as_messages


class GatewayLog(LogReader):
    """Lines of `equirouter log requests`, with whole conversations, and long outcomes tables.

    A table has a row per query and model: rows without any outcome are pairs that were never asked.
    Its performance is the feedback.
    """

    title = "the log of this gateway (equirouter log requests, equirouter log export)"
    keeps_texts = "set log_texts = true under [log] in gateway.toml"

    def recognises(self, record: Fields) -> bool:
        """By its columns."""
        if "decided_by" in record and "served_model" in record:
            return True
        return {"query", "model", "performance"} <= set(record)

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The one request of a line or row."""
        return _row(record) if "performance" in record else _request(record)


def _request(record: Fields) -> LoggedRequest | LeftOut:
    endpoint = str(record.get("endpoint") or "chat.completions")
    if endpoint in ("embeddings", "route"):
        return LeftOut(f"calls of {endpoint}")
    messages = record.parsed("messages")
    if not messages:
        return without_text
    return LoggedRequest(
        messages=as_messages(messages),
        asked_at=record.time("asked_at"),
        model=record.named("served_model"),
        answer=_answer(record),
        input_tokens=record.whole("input_tokens"),
        output_tokens=record.whole("output_tokens"),
        cost_usd=record.number("cost_usd"),
        latency_seconds=record.number("latency_seconds"),
        feedback=record.share("feedback"),
        disagreed=_flag(record.get("disagreed")),
    )


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _answer(record: Fields) -> str | None:
    answer = record.get("answer")
    return None if answer is None else str(answer)


def _row(record: Fields) -> LoggedRequest | LeftOut:
    score, cost = record.number("performance"), record.number("cost_usd", "cost")
    if score is None and cost is None:
        return LeftOut("pairs of query and model that were never asked")
    text = record.named("query")
    if text is None:
        return without_text
    return LoggedRequest(
        messages=[{"role": "user", "content": text}],
        task=record.named("task"),
        model=record.named("model"),
        answer=_answer(record),
        finish_reason=record.named("finish_reason"),
        input_tokens=record.whole("input_tokens"),
        output_tokens=record.whole("output_tokens"),
        cost_usd=cost,
        feedback=share(score),
    )

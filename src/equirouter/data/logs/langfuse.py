"""Langfuse: observations, as its blob storage, its pages and its API export them."""

from collections.abc import Mapping
from typing import Any

from equirouter.data.logs.base import Fields, LeftOut, LoggedRequest, LogReader, share, without_text
from equirouter.data.logs.bodies import (
    as_messages,
    conversation_in,
    parameters_of,
    reply_of,
    request_of,
)


class Langfuse(LogReader):
    """Observations of type GENERATION; names in snake_case and in camelCase are the same.

    Other observations are steps around a call and no calls. The task is the name of the trace, else
    of the observation. Feedback is a score called feedback, or user-feedback, from 0 to 1: under
    scores, or as a column of its own, as exports of the pages have them.
    """

    title = (
        "Langfuse observations: JSON, JSON lines, CSV, parquet (blob storage export, API; v4, "
        "2026-11)"
    )
    keeps_texts = (
        "Langfuse exports input and output with the field group io of its blob storage export; "
        "observations that were sent with masking have none"
    )

    def recognises(self, record: Fields) -> bool:
        """By the trace, the type and the start of an observation."""
        names = {name.replace("_", "").casefold() for name in record}
        return {"traceid", "type", "starttime"} <= names

    def read(self, record: Fields) -> LoggedRequest | LeftOut:
        """The request of an observation, if it is one of a model."""
        row = Fields({_snake(name): value for name, value in record.items()})
        kind = str(row.get("type"))
        if kind != "GENERATION":
            return LeftOut(f"observations of type {kind}")
        messages, parameters = _request(row)
        if not messages:
            return without_text
        start, end = (row.time(name) for name in ("start_time", "end_time"))
        reply = reply_of(row.first("output"))
        return LoggedRequest(
            messages=messages,
            parameters=parameters,
            task=row.named("trace_name", "name"),
            asked_at=start,
            model=row.named("provided_model_name", "model") or reply.get("model"),
            answer=reply.get("answer"),
            finish_reason=reply.get("finish_reason"),
            input_tokens=_tokens(row, "input", "input_usage", "prompt_tokens"),
            output_tokens=_tokens(row, "output", "output_usage", "completion_tokens"),
            cost_usd=_cost(row),
            latency_seconds=end - start if start is not None and end is not None else None,
            feedback=_feedback(row),
        )


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _request(row: Fields) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    content = conversation_in(row.first("input"))
    of_model = parameters_of(row.inner("model_parameters"))
    if isinstance(content, Mapping):
        if "role" in content:
            return as_messages([content]), of_model
        messages, parameters = request_of(content)
        return messages, {**of_model, **parameters}
    return (as_messages(content) if content else []), of_model


def _tokens(row: Fields, kind: str, *names: str) -> int | None:
    """Tokens of "input" or "output", by the details of the usage, else by columns of the row.

    As Langfuse sums them up: all of usage_details whose name says so, such as input_cached_tokens.
    """
    details = row.inner("usage_details")
    count = [details.whole(name) for name in details if kind in name]
    if any(tokens is not None for tokens in count):
        return sum(tokens or 0 for tokens in count)
    of_usage = row.inner("usage").whole(kind)
    return row.whole(*names) if of_usage is None else of_usage


def _cost(row: Fields) -> float | None:
    total = row.number("total_cost", "calculated_total_cost")
    return row.inner("cost_details").number("total") if total is None else total


def _feedback(row: Fields) -> float | None:
    scores = row.parsed("scores")
    if not isinstance(scores, list):
        flat = row if scores is None else scores
        pairs = flat.items() if isinstance(flat, Mapping) else ()
        scores = [{"name": name, "value": value} for name, value in pairs]
    for score in scores:
        if isinstance(score, Mapping) and "feedback" in str(score.get("name")).casefold():
            value = Fields(score).parsed("value")
            return share(value[0] if isinstance(value, list) and value else value)
    return None

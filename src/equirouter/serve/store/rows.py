"""A finished request as rows of the tables: the log, texts, sums per hour, counts of latencies."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from equirouter.serve.records import Plan, RequestRecord, nusd

__all__ = [
    "HOUR_SUMS",
    "Sums",
    "bucket_of",
    "log_row",
    "milliseconds",
    "sums_of",
    "text_row",
]

HOUR_SUMS = (
    "requests",
    "errors",
    "fallbacks",
    "cost_nusd",
    "compared",
    "compared_cost_nusd",
    "compared_strongest_nusd",
    "input_tokens",
    "output_tokens",
)

_GROWTH = math.log(1.08)  # a bucket is 8 % wider than the one before: percentiles are within 4 %


def bucket_of(milliseconds: float) -> int:
    """The bucket of latencies that a time belongs to; those under a microsecond are in 0."""
    microseconds = milliseconds * 1000.0
    return 0 if microseconds <= 1.0 else int(math.log(microseconds) / _GROWTH)


def milliseconds(bucket: int) -> float:
    """The middle of a bucket."""
    return math.exp((bucket + 0.5) * _GROWTH) / 1000.0


def log_row(record: RequestRecord) -> dict[str, Any]:
    """The row of the table log."""
    plan, tokens = record.plan, record.tokens
    predicted = None if plan is None else plan.predicted_costs_usd.get(record.served_model or "")
    return {
        "request_id": clean(record.request_id),
        "at_us": round(record.started_at * 1e6),
        "endpoint": record.endpoint,
        "key_id": record.key_id,
        "requested_model": clean(record.requested_model),
        "served_model": record.served_model,
        "stream": record.stream,
        "session": clean(record.session),
        "decided_by": None if plan is None else plan.decided_by,
        "setting": None if plan is None else plan.setting,
        "value": None if plan is None else plan.value,
        "pipeline": None if plan is None else plan.pipeline,
        "plan": None if plan is None else _plan(plan),
        "attempts": _attempts(record),
        "n_attempts": len(record.attempts),
        "status": record.status,
        "error": clean(record.error),
        "note": None,
        "input_tokens": None if tokens is None else tokens.input,
        "output_tokens": None if tokens is None else tokens.output,
        "cached_input_tokens": None if tokens is None else tokens.cached_input,
        "cache_write_tokens": None if tokens is None else tokens.cache_write,
        "reasoning_tokens": None if tokens is None else tokens.reasoning,
        "tokens_estimated": tokens is not None and tokens.estimated,
        "cost_nusd": record.cost_nusd,
        "predicted_nusd": None if predicted is None else nusd(predicted),
        "strongest_nusd": record.strongest_nusd,
        "decision_us": None if plan is None else _microseconds(plan.decision_ms),
        "first_byte_us": None
        if record.first_byte_ms is None
        else _microseconds(record.first_byte_ms),
        "total_us": _microseconds(record.total_ms),
    }


def text_row(record: RequestRecord) -> dict[str, Any] | None:
    """The row of the table texts, None where the record has no texts."""
    if record.prompt is None and record.answer is None:
        return None
    return {
        "request_id": clean(record.request_id),
        "at_us": round(record.started_at * 1e6),
        "prompt": clean(record.prompt),
        "answer": clean(record.answer),
    }


def clean(text: str | None) -> str | None:
    """A text that every database takes: without NUL, and without halves of characters."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _plan(plan: Plan) -> str:
    """All of a plan that has no column of its own, as JSON."""
    document = {
        "candidates": [
            [one.model, one.upper_nusd, one.score, one.predicted_cost_usd]
            for one in plan.candidates
        ],
        "removed": dict(plan.removed),
        "scores": dict(plan.scores),
        "predicted_costs_usd": dict(plan.predicted_costs_usd),
        "prompt_tokens": plan.prompt_tokens,
        "max_output_tokens": plan.max_output_tokens,
        "confidence": plan.confidence,
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _attempts(record: RequestRecord) -> str | None:
    if not record.attempts:
        return None
    return orjson.dumps(
        [
            [one.model, one.upstream, one.outcome, one.status, round(one.ms, 3), clean(one.error)]
            for one in record.attempts
        ]
    ).decode()


def _microseconds(milliseconds: float) -> int:
    return round(milliseconds * 1000.0)


@dataclass(slots=True)
class Sums:
    """What a batch adds to the sums.

    hours: (hour, key, model, decided_by) -> HOUR_SUMS. latencies: (hour, what, bucket) -> a count.
    """

    hours: dict[tuple[int, str, str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0] * len(HOUR_SUMS))
    )
    latencies: dict[tuple[int, str, int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0])
    )


def sums_of(records: Iterable[RequestRecord]) -> Sums:
    """What requests add to the sums."""
    sums = Sums()
    for record in records:
        plan = record.plan
        hour = int(record.started_at // 3600)
        place = (
            hour,
            record.key_id or "",
            record.served_model or "",
            "" if plan is None else plan.decided_by,
        )
        _add(sums.hours[place], _counted(record))
        latencies = [("total", record.total_ms)]
        if plan is not None:
            latencies.append(("decision", plan.decision_ms))
        if record.attempts:
            latencies.append(("upstream", sum(one.ms for one in record.attempts)))
        if record.first_byte_ms is not None:
            latencies.append(("first_byte", record.first_byte_ms))
        for what, ms in latencies:
            sums.latencies[hour, what, bucket_of(ms)][0] += 1
    return sums


def _counted(record: RequestRecord) -> Sequence[int]:
    cost, strongest, tokens = record.cost_nusd, record.strongest_nusd, record.tokens
    compared = cost is not None and strongest is not None
    return (
        1,
        int(record.error is not None or not 200 <= record.status < 400),
        int(len({one.model for one in record.attempts}) > 1),
        cost or 0,
        int(compared),
        (cost or 0) if compared else 0,
        (strongest or 0) if compared else 0,
        0 if tokens is None else tokens.input,
        0 if tokens is None else tokens.output,
    )


def _add(to: list[int], these: Sequence[int]) -> None:
    for i, value in enumerate(these):
        to[i] += value

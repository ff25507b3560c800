"""A finished request as rows of the tables: the log, texts, sums and counts."""

import operator
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import orjson

from equirouter.serve.money.store.tables import sums
from equirouter.serve.records import Plan, RequestRecord, nusd

__all__ = ["PLAN_FIELDS", "STEPS", "SUMS", "Added", "Place", "added_by", "log_row", "text_row"]

SUMS = tuple(column.name for column in sums.c if column.name not in sums.primary_key.columns)

STEPS = (60, 1800)
"""Seconds over which the log is summed up."""

_OTHERWISE = frozenset(
    {"candidates", "decided_by", "setting", "value", "pipeline", "decision_ms", "paced"}
)
PLAN_FIELDS = tuple(one.name for one in fields(Plan) if one.name not in _OTHERWISE)
"""What of a plan has no column of its own; paced is for the process alone."""

Place: TypeAlias = tuple[int, int, str, str, str]
"""The key of a row of the table sums: step, start, key_id, model, decided_by."""


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
        "audio_input_tokens": None if tokens is None else tokens.audio_input,
        "audio_output_tokens": None if tokens is None else tokens.audio_output,
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
        ]
    }
    for name in PLAN_FIELDS:
        document[name] = getattr(plan, name)
    return orjson.dumps(document, default=dict, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _attempts(record: RequestRecord) -> str | None:
    if not record.attempts:
        return None
    return orjson.dumps(
        [
            [
                one.model,
                one.upstream,
                one.outcome,
                one.status,
                one.ms,
                clean(one.error),
                one.started_at,
            ]
            for one in record.attempts
        ]
    ).decode()


def _microseconds(milliseconds: float) -> int:
    return round(milliseconds * 1000.0)


@dataclass(slots=True)
class Added:
    """What a batch adds to the tables sums and counts, by the keys of their rows."""

    sums: dict[Place, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0] * len(SUMS))
    )
    counts: dict[tuple[int, int, str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0])
    )


def added_by(records: Iterable[RequestRecord]) -> Added:
    """What requests add."""
    added = Added()
    for record in records:
        plan, at = record.plan, int(record.started_at)
        who = (
            record.key_id or "",
            record.served_model or "",
            "" if plan is None else plan.decided_by,
        )
        values = _counted(record)
        names = [("status", str(record.status))]
        names += [
            ("call", orjson.dumps((one.upstream, one.model, one.outcome)).decode())
            for one in record.attempts
        ]
        for step in STEPS:
            start = at - at % step
            row = added.sums[step, start, *who]
            row[:] = map(operator.add, row, values)
            for kind, name in names:
                added.counts[step, start, kind, name][0] += 1
    return added


def _counted(record: RequestRecord) -> Sequence[int]:
    """The values of SUMS."""
    cost, strongest, tokens = record.cost_nusd, record.strongest_nusd, record.tokens
    compared = cost is not None and strongest is not None
    return (
        1,
        int(record.status >= 400),
        int(len({one.model for one in record.attempts}) > 1),
        int(tokens is not None and tokens.estimated),
        cost or 0,
        int(compared),
        (cost or 0) if compared else 0,
        (strongest or 0) if compared else 0,
        0 if tokens is None else tokens.input,
        0 if tokens is None else tokens.output,
    )

"""A finished request as rows of the tables beside the log: texts, sums and counts."""

import operator
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from equirouter.serve.money.store.columns import clean
from equirouter.serve.money.store.tables import sums
from equirouter.serve.records import RequestRecord

__all__ = ["STEPS", "SUMS", "Added", "Place", "added_by", "text_row"]

SUMS = tuple(column.name for column in sums.c if column.name not in sums.primary_key.columns)

STEPS = (60, 1800)
"""Seconds over which the log is summed up."""

Place: TypeAlias = tuple[int, int, str, str, str]
"""The key of a row of the table sums: step, start, key_id, model, decided_by."""


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


@dataclass(slots=True)
class Added:
    """Additions of a batch to the tables sums and counts, by the keys of their rows."""

    sums: dict[Place, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0] * len(SUMS))
    )
    counts: dict[tuple[int, int, str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0])
    )


def added_by(records: Iterable[RequestRecord]) -> Added:
    """The additions of some requests."""
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
            ("call", orjson.dumps((attempt.upstream, attempt.model, attempt.outcome)).decode())
            for attempt in record.attempts
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
        int(len({attempt.model for attempt in record.attempts}) > 1),
        int(tokens is not None and tokens.estimated),
        cost or 0,
        int(compared),
        (cost or 0) if compared else 0,
        (strongest or 0) if compared else 0,
        0 if tokens is None else tokens.input,
        0 if tokens is None else tokens.output,
    )

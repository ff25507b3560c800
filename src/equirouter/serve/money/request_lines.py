"""The requests of the log one by one, with their texts: what `data import` reads again."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson
import sqlalchemy as sa

from equirouter.serve.money.log_export import log_pages, served_call, served_cost_nusd
from equirouter.serve.money.store.log_columns import attempts_of
from equirouter.serve.money.store.schema import feedback, log, texts
from equirouter.serve.records import usd_or_none


def request_lines(
    connection: sa.Connection, *, since: float = 0.0, until: float = 2.0**40
) -> Iterator[dict[str, Any]]:
    """The requests of a period in Unix seconds, oldest first, as JSON can hold them.

    messages and answer are null where the gateway logged no texts. Tokens and cost_usd are those of
    the answer that was served, as one call of its model; request_cost_usd is what all calls cost.
    disagreed: whether two models that were asked at once differed, null where no two answered.
    """
    c = log.c
    wanted = (
        sa.select(
            *(c.id, c.request_id, c.at_us, c.endpoint, c.requested_model, c.served_model),
            *(c.decided_by, c.status, c.input_tokens, c.output_tokens, c.cost_nusd, c.total_us),
            *(c.attempts, c.charged_by, c.cascade),
            *(texts.c.prompt, texts.c.answer, feedback.c.score),
        )
        .select_from(
            log.outerjoin(texts, texts.c.request_id == c.request_id).outerjoin(
                feedback, feedback.c.request_id == c.request_id
            )
        )
        .where(c.at_us >= round(since * 1e6), c.at_us < round(until * 1e6))
    )
    return (_line(dict(row)) for row in log_pages(connection, wanted))


def _line(row: dict[str, Any]) -> dict[str, Any]:
    attempts = attempts_of(row)
    served, cost_nusd = served_call(row, attempts), served_cost_nusd(row, attempts)
    of = row if served is None or served.role is None else asdict(served)  # role: one of several
    return {
        "request_id": row["request_id"],
        "asked_at": row["at_us"] / 1e6,
        "endpoint": row["endpoint"],
        "requested_model": row["requested_model"],
        "served_model": row["served_model"],
        "decided_by": row["decided_by"],
        "status": row["status"],
        "messages": None if row["prompt"] is None else orjson.loads(row["prompt"]),
        "answer": row["answer"],
        "input_tokens": of["input_tokens"],
        "output_tokens": of["output_tokens"],
        "cost_usd": usd_or_none(cost_nusd),
        "request_cost_usd": usd_or_none(row["cost_nusd"]),
        "latency_seconds": row["total_us"] / 1e6,
        "feedback": row["score"],
        "disagreed": _disagreed(row["cascade"]),
    }


def _disagreed(cascade: str | None) -> bool | None:
    """Whether two that were asked at once gave different answers, None where no two did."""
    why = None if cascade is None else orjson.loads(cascade)["why"]
    return why == "disagree" if why in ("agree", "disagree") else None

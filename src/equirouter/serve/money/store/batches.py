"""Batches, written behind the requests: settlements and the log, one transaction each.

A batch is written once even if the answer to its commit was lost: its number goes with it.
"""

import operator
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from equirouter.serve.money.ledger import Settlement
from equirouter.serve.money.store.books import Runner
from equirouter.serve.money.store.log_columns import clean, log_row
from equirouter.serve.money.store.schema import OPEN, STEPS, SUMS, Place, accounts, counts, sums
from equirouter.serve.money.store.statements import summed
from equirouter.serve.money.store.workers import charged_sums, entry
from equirouter.serve.records import RequestRecord

__all__ = ["Batch", "added_by", "text_row", "write_batch"]


@dataclass(slots=True)
class Batch:
    """A worker's batch of that number; a batch without anything says that the worker is alive."""

    number: int
    settlements: list[Settlement] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)
    _rows: "_Rows | None" = None

    def prepare(self) -> "_Rows":
        """Make the rows, best before the transaction: others wait for its lock."""
        if self._rows is None:
            self._rows = _Rows(
                [log_row(record) for record in self.records],
                [row for row in map(text_row, self.records) if row is not None],
                added_by(self.records),
            )
        return self._rows


@dataclass(slots=True)
class Added:
    """Additions of a batch to the tables sums and counts, by the keys of their rows."""

    sums: dict[Place, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0] * len(SUMS))
    )
    counts: dict[tuple[int, int, str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0])
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    log: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    added: Added


def write_batch(run: Runner, worker: int, batch: Batch) -> None:
    """Write a batch, unless it is written."""
    rows = batch.prepare()
    if not _first_time(run, worker, batch.number):
        return
    money, unused = _settled(run, worker, batch.settlements)
    for name, values in (
        ("log", rows.log),
        ("text", rows.texts),
        ("sum", summed(sums, rows.added.sums)),
        ("count", summed(counts, rows.added.counts)),
        ("account", summed(accounts, money)),  # last, as reservations wait for these rows
    ):
        if values:
            run.change_all(name, values)
    for (key_id, minute), tokens in sorted(unused.items()):
        for name, at in (("tokens", minute), ("last_tokens", minute + 1)):
            run.change(name, {"key_id_": key_id, "minute_": at, "unused": tokens})


def _first_time(run: Runner, worker: int, number: int) -> bool:
    """Count the batch as written; False if it was."""
    if run.change("beat", {"worker_": worker, "number": number}):
        return True
    if run.rows("worker", {"worker_": worker}):
        return False
    # It was taken for dead for long, and struck off.
    run.change_all("enter", [entry() | {"id": worker, "batch": number}])
    return True


def _settled(
    run: Runner, worker: int, settlements: Sequence[Settlement]
) -> tuple[dict[tuple[Any, ...], list[int]], dict[tuple[str, int], int]]:
    """End reservations; what that adds to accounts, and which tokens of which minute are free."""
    money: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])  # spent, reserved
    unused: dict[tuple[str, int], int] = defaultdict(int)
    numbers = [settlement.n for settlement in settlements if settlement.n is not None]
    taken = _taken(run, worker, numbers) if numbers else {}
    for settlement in settlements:
        if settlement.unused and settlement.minute:
            unused[settlement.key_id, settlement.minute] += settlement.unused
        if settlement.n is None:
            money[settlement.key_id, *settlement.account][0] += settlement.cost_nusd
            continue
        reservation = taken.pop(settlement.n, None)
        if reservation is None:
            continue  # it is settled, or was never made
        key_id, period, day, amount, state = reservation
        account = money[key_id, period, day]
        account[0] += settlement.cost_nusd
        if state == OPEN:
            account[1] -= amount
        else:  # this worker was taken for dead: what was charged in full is put right
            account[0] -= amount
    return money, unused


def _taken(run: Runner, worker: int, numbers: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """Take reservations out of their table."""
    values = {"worker_": worker, "numbers": run.listed(numbers)}
    rows = run.rows("taken", values)
    run.change("end", values)
    for row in rows:
        if row[5] != OPEN:
            _forget(run, row[6])
    return {row[0]: tuple(row[1:6]) for row in rows}


def _forget(run: Runner, request_id: str) -> None:
    """Take back what was logged of a request whose worker was taken for dead."""
    for at_us, key_id, cost_nusd in run.rows("charged", {"request_id_": request_id}):
        run.change("forget", {"request_id_": request_id})
        run.change_all("sum", summed(sums, charged_sums(at_us // 1_000_000, key_id, cost_nusd, -1)))


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
        if record.cascade is not None:
            names.append(("cascade", record.cascade.ended))
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
        int(record.is_fallback),
        int(tokens is not None and tokens.estimated),
        cost or 0,
        int(compared),
        (cost or 0) if compared else 0,
        (strongest or 0) if compared else 0,
        0 if tokens is None else tokens.input,
        0 if tokens is None else tokens.output,
    )

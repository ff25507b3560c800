"""Batches, written behind the requests: settlements and the log, one transaction each.

A batch is written once even if the answer to its commit was lost: its number goes with it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from equirouter.serve.money.slices import Settlement
from equirouter.serve.money.store.books import Runner
from equirouter.serve.money.store.log_columns import clean, log_row
from equirouter.serve.money.store.schema import OPEN, STEPS, SUMS, Place, accounts, counts, sums
from equirouter.serve.money.store.statements import summed
from equirouter.serve.money.store.workers import charged_sums, entry
from equirouter.serve.records import RequestRecord

_Sums: TypeAlias = dict[Place, list[int]]
_Counts: TypeAlias = dict[tuple[int, int, str, str], list[int]]


@dataclass(slots=True)
class Batch:
    """A worker's batch of that number; a batch without anything says that the worker is alive.

    unused: requests and tokens of a key's rate, by key and minute, that were not needed.
    """

    number: int = 0
    settlements: list[Settlement] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)
    unused: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    _rows: "BatchRows | None" = None

    def rows(self) -> "BatchRows":
        """All rows, made once."""
        if self._rows is None:
            texts = [row for record in self.records if (row := text_row(record)) is not None]
            log = [log_row(record) for record in self.records]
            self._rows = BatchRows(log, texts, *_added(self.records))
        return self._rows

    def halves(self) -> "list[Batch]":
        """Two batches of what is in this one, money first; none where it is a single thing."""
        settlements, records, unused = self.settlements, self.records, self.unused
        if records and (settlements or unused):
            return [Batch(0, settlements, unused=unused), Batch(0, records=records)]
        if settlements and unused:
            return [Batch(0, unused=unused), Batch(0, settlements)]
        if max(len(settlements), len(records)) < 2:
            return []
        middle = (len(settlements) + len(records)) // 2  # one of them is empty
        return [
            Batch(0, settlements[:middle], records[:middle]),
            Batch(0, settlements[middle:], records[middle:]),
        ]


@dataclass(frozen=True, slots=True)
class BatchRows:
    """The rows of a batch; sums and counts: what is added to these tables, by their keys."""

    log: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    sums: _Sums
    counts: _Counts


def write_batch(run: Runner, worker: int, batch: Batch) -> None:
    """Write a batch, unless it is written."""
    rows = batch.rows()
    if not _first_time(run, worker, batch.number):
        return
    money = _settled(run, worker, batch.settlements)
    for name, values in (
        ("log", rows.log),
        ("text", rows.texts),
        ("sum", summed(sums, rows.sums)),
        ("count", summed(counts, rows.counts)),
        ("account", summed(accounts, money)),  # last, as reservations wait for these rows
    ):
        if values:
            run.change_all(name, values)
    for (key_id, minute), (requests, tokens) in sorted(batch.unused.items()):
        for name, at in (("unused", minute), ("last_unused", minute + 1)):
            counted = {"unused_requests": requests, "unused_tokens": tokens}
            run.change(name, {"key_id_": key_id, "minute_": at, **counted})


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
) -> dict[tuple[Any, ...], list[int]]:
    """Write what is owed of reservations; what that adds to accounts."""
    money: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])  # spent, reserved
    numbers = [settlement.n for settlement in settlements if settlement.n is not None]
    mine = {"worker_": worker, "numbers": run.listed(numbers)}
    taken = {row[0]: row[1:] for row in run.rows("taken", mine)} if numbers else {}
    ended, parts = [], []
    for settlement in settlements:
        if settlement.n is None:
            money[settlement.key_id, *settlement.account][0] += settlement.cost_nusd
            continue
        if settlement.n not in taken:
            continue  # it was never made
        key_id, period, day, amount, state, request_id = taken[settlement.n]
        account = money[key_id, period, day]
        account[0] += settlement.cost_nusd
        account[1] -= amount if settlement.ends else settlement.freed_nusd
        if state != OPEN:  # this worker was taken for dead: that is put right
            account[0] -= amount
            account[1] += amount
            _forget(run, request_id)
        if settlement.ends:
            ended.append(settlement.n)
        else:
            parts.append({"worker_": worker, "n_": settlement.n, "freed": settlement.freed_nusd})
    if ended:
        run.change("end", {"worker_": worker, "numbers": run.listed(ended)})
    if parts:
        run.change_all("part", parts)
    return money


def _forget(run: Runner, request_id: str) -> None:
    """Take back what was logged of a reservation whose worker was taken for dead."""
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


def _added(records: Iterable[RequestRecord]) -> tuple[_Sums, _Counts]:
    """Sums and counts of requests: all of a minute together first, then added to each step."""
    values: dict[tuple[int, str, str, str], list[Sequence[int]]] = defaultdict(list)
    numbers: dict[tuple[int, str, str | tuple[str, ...]], int] = defaultdict(int)
    for record in records:
        plan, at = record.plan, int(record.started_at)
        start = at - at % STEPS[0]
        by = "" if plan is None else plan.decided_by
        values[start, record.key_id or "", record.served_model or "", by].append(_counted(record))
        numbers[start, "status", str(record.status)] += 1
        if record.cascade is not None:
            numbers[start, "cascade", record.cascade.ended] += 1
        for attempt in record.attempts:
            numbers[start, "call", (attempt.upstream, attempt.model, attempt.outcome)] += 1
    sums: _Sums = defaultdict(lambda: [0] * len(SUMS))
    counts: _Counts = defaultdict(lambda: [0])
    for step in STEPS:
        for (start, key_id, model, decided_by), rows in values.items():
            place = step, start - start % step, key_id, model, decided_by
            sums[place] = [sum(column) for column in zip(sums[place], *rows, strict=True)]
        for (start, kind, name), number in numbers.items():
            text = name if isinstance(name, str) else orjson.dumps(name).decode()
            counts[step, start - start % step, kind, text][0] += number
    return sums, counts


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

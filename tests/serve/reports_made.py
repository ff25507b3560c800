"""A store in memory, for the tests of what is shown of it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from equirouter.serve.money.store.reports import (
    Cascades,
    Logged,
    ModelFeedback,
    Percentiles,
    Phase,
    StoreReports,
    TimeSlice,
    Totals,
)
from equirouter.serve.records import RequestRecord


def _percentile(values: list[float], share: float) -> float:
    return values[min(int(share * len(values)), len(values) - 1)]


def _percentiles(values: list[float]) -> Percentiles:
    if not values:
        return Percentiles(0)
    values = sorted(values)
    return Percentiles(len(values), *(_percentile(values, share) for share in (0.5, 0.95, 0.99)))


class MadeReports(StoreReports):
    """Reports over a list of entries, oldest first."""

    def __init__(self, entries: Sequence[Logged]) -> None:
        self.entries = list(entries)

    def _of(self, since: float, until: float) -> list[RequestRecord]:
        return [one.record for one in self.entries if since <= one.record.started_at < until]

    async def totals(self, since: float, until: float) -> Totals:
        return _totals(self._of(since, until))

    async def slices(self, since: float, until: float, seconds: float) -> Sequence[TimeSlice]:
        found = []
        start = since
        while start < until:
            records = self._of(start, min(start + seconds, until))
            calls = Counter(one.served_model for one in records if one.served_model)
            found.append(TimeSlice(start, _totals(records), dict(calls)))
            start += seconds
        return found

    async def latencies(self, since: float, until: float) -> Mapping[Phase, Percentiles]:
        answered = [one for one in self._of(since, until) if one.served_model]
        routed = [one.plan for one in answered if one.plan and one.plan.decided_by != "named"]
        decision = [plan.decision_ms for plan in routed]
        first = [one.first_byte_ms for one in answered if one.first_byte_ms is not None]
        upstream = [one.total_ms - (one.plan.decision_ms if one.plan else 0.0) for one in answered]
        return {
            "decision": _percentiles(decision),
            "first_byte": _percentiles(first),
            "upstream": _percentiles(upstream),
        }

    async def calls(self, since: float, until: float) -> Mapping[str, Mapping[str, int]]:
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for one in self._of(since, until):
            for attempt in one.attempts:
                counted[attempt.upstream][attempt.outcome] += 1
        return counted

    async def cascades(self, since: float, until: float) -> Cascades:
        found = [one for one in self._of(since, until) if one.cascade is not None]
        return Cascades(Counter(one.cascade.ended for one in found if one.cascade), _totals(found))

    async def statuses(self, since: float, until: float) -> Mapping[int, int]:
        return Counter(one.status for one in self._of(since, until))

    async def feedback(self, since: float, until: float) -> Sequence[ModelFeedback]:
        scores = defaultdict(list)
        for one in self.entries:
            if one.score is not None and since <= one.record.started_at < until:
                scores[one.record.served_model or ""].append(one.score)
        return [
            ModelFeedback(model, len(found), sum(found) / len(found))
            for model, found in sorted(scores.items())
        ]

    async def recent(
        self, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[Logged]:
        found = [
            one
            for one in reversed(self.entries)
            if (before is None or one.number < before) and (after is None or one.number > after)
        ]
        return found[:limit]

    async def one(self, request_id: str) -> Logged | None:
        return next((one for one in self.entries if one.record.request_id == request_id), None)


def _totals(records: Sequence[RequestRecord]) -> Totals:
    compared = [one for one in records if one.strongest_nusd is not None]
    return Totals(
        requests=len(records),
        errors=sum(one.status >= 400 for one in records),
        routed=sum(one.plan is not None and one.plan.decided_by != "named" for one in records),
        cost_nusd=sum(one.cost_nusd or 0 for one in records),
        strongest_nusd=sum(one.strongest_nusd or 0 for one in compared),
        compared_nusd=sum(one.cost_nusd or 0 for one in compared),
        estimated=sum(one.tokens is not None and one.tokens.estimated for one in records),
        fallbacks=sum(one.is_fallback for one in records),
    )

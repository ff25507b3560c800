"""Prometheus metrics: what every request adds, and the state of this process.

Labels are bounded: names of the pool and of upstreams, fixed words, HTTP statuses. A model that is
not of the pool, or nobody, is "none". Keys are a label only where by_key asks for them.

Any worker may be asked for the metrics, so where PROMETHEUS_MULTIPROC_DIR names a folder before
prometheus_client is imported, all count in files there, and the one that is asked adds them up.
Requests are counted together, those of other workers a tenth of a second late.
"""

import asyncio
import logging
import os
import threading
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from equirouter import __version__
from equirouter.serve.records import Cascaded, RequestRecord, Tokens, usd
from equirouter.serve.watch.side_by_side import MeasureEvidence

_LOG = logging.getLogger("equirouter.serve")

BreakerState: TypeAlias = Literal["closed", "half-open", "open"]
BREAKER_STATES: Final[dict[BreakerState, int]] = {"closed": 0, "half-open": 1, "open": 2}
NOBODY: Final = "none"
MOST_CLASSES: Final = 32
"""Classes of the collapse alarm that get series of their own; the gateway's default has 4."""

# a static pipeline decides in 0.1 ms, MiniLM on a long text in 20 ms; a queue takes more
_DECISION: Final = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
# an answer comes within half a second or within minutes
_ANSWER: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0)
_BATCH: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_SCORE: Final = (0.25, 0.5, 0.75, 1.0)
_COUNT_SECONDS: Final = 0.1
_LARGEST_COUNT: Final = 256  # some 2 ms of the event loop


class Metrics:
    """All metrics of the gateway. models, upstreams: the names that may be labels."""

    def __init__(
        self, *, models: Iterable[str], upstreams: Iterable[str], by_key: bool = False
    ) -> None:
        # they double the series, and Prometheus knows when one began
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._models = frozenset(models)
        self._by_key = by_key
        self._classes: set[str] = set()
        self._over: deque[RequestRecord] = deque()  # requests that are not counted yet
        self.running = 0
        """Requests that this process is serving."""
        self._some = asyncio.Event()
        self._counting = threading.Lock()
        self._sums: defaultdict[tuple[Counter, tuple[str, ...]], float] = defaultdict(int)
        self._times: defaultdict[tuple[_Times, tuple[str, ...]], list[float]] = defaultdict(list)
        self._make_counters(["key"] if by_key else [])
        self._make_histograms()
        self._make_gauges()
        for upstream in upstreams:
            self.breaker(upstream, "closed")

    def _make_counters(self, key: list[str]) -> None:
        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"equirouter_{name}", says, labels, registry=self.registry)

        of_request = ("endpoint", "model", "decided_by", "status")
        self._requests = counter("requests", "Requests that are over.", *of_request, *key)
        self._cost = counter("cost_usd", "What the upstreams charge.", "model", *key)
        self._compared = counter("compared_cost_usd", "Cost where the strongest's is known too.")
        self._strongest = counter("strongest_cost_usd", "The same tokens with the strongest model.")
        self._tokens = counter("tokens", "Tokens that were charged.", "model", "kind")
        self._estimated = counter("estimated_usage", "Answers with tokens counted here.", "model")
        self._implausible = counter(
            "implausible_usage", "Reports of usage that cannot be true.", "model"
        )
        of_call = ("upstream", "model", "outcome")
        self._attempts = counter("attempts", "Calls of upstreams by how they ended.", *of_call)
        self._failures = counter("router_failures", "Decisions that could not be made.")
        self._dropped = counter("log_dropped", "Log entries dropped: the queue was full.")
        self._cascades = counter("cascades", "Two models asked at once.", "why", "ended")
        self._canaries = counter("canaries", "Versions that were tried, by their end.", "verdict")
        for verdict in ("promoted", "rolled back", "withdrawn"):
            self._canaries.labels(verdict)
        self._learning = {
            "explore": counter("explored_cost_usd", "Requests sent elsewhere to learn.", "model"),
            "shadow": counter("shadow_cost_usd", "Answers for the log alone.", "model"),
        }
        self._audits = counter("cascade_audits", "Accepted answers asked again.", "agrees")
        self._reloads = counter("reloads", "Attempts to load a new pipeline.", "result")
        self._retrains = counter("retrains", "Runs of retrain by the gateway.", "result")
        for result in ("promoted", "passed", "refused", "failed"):
            self._retrains.labels(result)
        for result in ("taken", "refused"):
            self._reloads.labels(result)  # a series that is there from the start can be alarmed on

    def _make_histograms(self) -> None:
        def histogram(name: str, says: str, buckets: tuple[float, ...], *labels: str) -> _Times:
            full = f"equirouter_{name}"
            return _Times(full, says, labels, registry=self.registry, buckets=buckets)

        self._decision = histogram("decision_seconds", "Until the models are ranked.", _DECISION)
        of_request = ("endpoint", "stream")
        self._seconds = histogram("request_seconds", "Until the last byte.", _ANSWER, *of_request)
        self._first = histogram("first_byte_seconds", "Until the first byte.", _ANSWER, "model")
        self._upstream = histogram("upstream_seconds", "One call.", _ANSWER, "upstream")
        self._wait = histogram("cascade_wait_seconds", "Until two models had replied.", _ANSWER)
        self._batch = histogram("batch_size", "Queries that were encoded together.", _BATCH)
        self._score = histogram("feedback_score", "Feedback on answers.", _SCORE, "model")

    def _make_gauges(self) -> None:
        def gauge(name: str, says: str, *labels: str, added: bool = False) -> Gauge:
            full = f"equirouter_{name}"
            mode: Literal["livesum", "livemax"] = "livesum" if added else "livemax"
            return Gauge(full, says, labels, registry=self.registry, multiprocess_mode=mode)

        self._breaker = gauge("breaker_state", "0 closed, 1 half open, 2 open.", "upstream")
        self._queue = gauge("queue_depth", "Queries that wait for a decision.", added=True)
        self._in_flight = gauge("in_flight", "Requests that are being served.", added=True)
        self._alarm = gauge("collapse_alarm", "1: routing has collapsed.", "class")
        self._share = gauge("strongest_share", "Of recent routed requests.", "class")
        self._expected = gauge("expected_strongest_share", "In the calibration.", "class")
        self._agreement_alarm = gauge("agreement_alarm", "1: agreement has drifted.")
        self._agreement = gauge("agreement_share", "Of recent pairs whose answer was accepted.")
        self._expected_agreement = gauge("expected_agreement_share", "When plans were learned.")
        self._drift = gauge("drift_alarm", "1: not as it was.", "kind", "about")
        self._canary = gauge("canary", "1: a version is tried beside the current one.")
        self._evidence = gauge("canary_evidence", "1: it is shown.", "measure", "of")
        gauge("build_info", "Always 1.", "version").labels(__version__).set(1)

    def observe(self, record: RequestRecord) -> None:
        """Count a request that is over, soon."""
        self._over.append(record)
        self._some.set()
        if len(self._over) >= _LARGEST_COUNT:
            self.count()

    async def keep(self) -> None:
        """Count what is over now and then, so that other workers can read it. Never returns."""
        while True:
            await self._some.wait()
            self._some.clear()
            await asyncio.sleep(_COUNT_SECONDS)
            try:
                self.count()
            except Exception:  # whatever it is, the next ones are to be counted
                _LOG.exception("requests cannot be counted")

    def count(self) -> None:
        """Count all that is over now. Prometheus' counters are added to once for many requests."""
        with self._counting:  # metrics are rendered in a thread
            while self._over:
                self._add(self._over.popleft())
            self._write()

    def _write(self) -> None:
        for (counter, labels), amount in self._sums.items():
            (counter.labels(*labels) if labels else counter).inc(amount)
        for (times, labels), seconds in self._times.items():
            (times.labels(*labels) if labels else times).observe_all(seconds)
        self._sums.clear()
        self._times.clear()
        self._in_flight.set(self.running)

    def _add(self, record: RequestRecord) -> None:
        model = self._known(record.served_model)
        plan = record.plan
        by = NOBODY if plan is None else plan.decided_by
        key = (record.key_id or NOBODY,) if self._by_key else ()
        self._count(self._requests, record.endpoint, model, by, str(record.status), *key)
        if plan is not None and by != "named":
            self._time(self._decision, plan.decision_ms)
        stream = "yes" if record.stream else "no"
        self._time(self._seconds, record.total_ms, record.endpoint, stream)
        if record.first_byte_ms is not None:
            self._time(self._first, record.first_byte_ms, model)
        for attempt in record.attempts:
            asked = self._known(attempt.model)
            self._count(self._attempts, attempt.upstream, asked, attempt.outcome)
            self._time(self._upstream, attempt.ms, attempt.upstream)
        if record.cascade is not None:
            self._observe_cascade(record, record.cascade)
        if record.cost_nusd is not None:
            self._observe_money(record, record.cost_nusd, model, key)

    def _observe_cascade(self, record: RequestRecord, how: Cascaded) -> None:
        self._count(self._cascades, how.why, how.ended)
        self._time(self._wait, how.wait_ms)
        replied = [
            call for call in record.attempts if call.outcome == "ok" and call.role != "check"
        ]
        answers = {call.model: call.answer_id for call in replied}
        for attempt in record.attempts:
            if attempt.role == "audit" and attempt.outcome == "ok":
                agrees = attempt.answer_id == answers.get(record.served_model or "")
                self._count(self._audits, "yes" if agrees else "no")

    def _observe_money(
        self, record: RequestRecord, cost_nusd: int, model: str, key: tuple[str, ...]
    ) -> None:
        by_model = {model: cost_nusd}
        for attempt in record.attempts:  # what other models are charged is theirs
            asked = self._known(attempt.model)
            if asked != model:
                by_model[asked] = by_model.get(asked, 0) + (attempt.cost_nusd or 0)
                by_model[model] -= attempt.cost_nusd or 0
        for charged, amount in by_model.items():
            self._count(self._cost, charged, *key, by=usd(amount))
        learning = self._learning.get("" if record.plan is None else record.plan.decided_by)
        if learning is not None:
            self._count(learning, model, by=usd(cost_nusd))
        if record.strongest_nusd is not None:
            self._count(self._compared, by=usd(cost_nusd))
            self._count(self._strongest, by=usd(record.strongest_nusd))
        tokens = record.tokens
        if tokens is None:
            return
        self._observe_tokens(record, tokens, model)
        if tokens.estimated:
            self._count(self._estimated, model)
        if record.charged_by == "implausible":
            self._count(self._implausible, model)

    def _observe_tokens(self, record: RequestRecord, tokens: Tokens, model: str) -> None:
        """Count tokens by model: those of others in a cascade are not the answer's."""
        served = tokens
        for attempt in record.attempts:
            other = self._known(attempt.model)
            read, written = attempt.input_tokens or 0, attempt.output_tokens or 0
            if other != model and read + written:
                self._count(self._tokens, other, "input", by=read)
                self._count(self._tokens, other, "output", by=written)
                served = replace(served, input=served.input - read, output=served.output - written)
        for kind, count in (
            ("input", served.input - served.cached_input),
            ("cached_input", served.cached_input),
            ("output", served.output - served.reasoning),
            ("reasoning", served.reasoning),
        ):
            if count > 0:
                self._count(self._tokens, model, kind, by=count)

    def feedback(self, model: str, score: float) -> None:
        """Count feedback in [0, 1] on an answer of a model."""
        self._score.labels(self._known(model)).observe(score)

    def router_failed(self) -> None:
        """Count a decision that could not be made."""
        self._failures.inc()

    def log_dropped(self, entries: int = 1) -> None:
        """Count log entries for which there was no room."""
        self._dropped.inc(entries)

    def reloaded(self, *, taken: bool) -> None:
        """Count a new pipeline that was taken, or refused."""
        self._reloads.labels("taken" if taken else "refused").inc()

    def retrained(self, result: str) -> None:
        """Count a run of retrain: "promoted", "passed", "refused" or "failed"."""
        self._retrains.labels(result).inc()

    def drift(self, kind: str, about: str, *, is_on: bool) -> None:
        """Set an alarm for drift, which has a series from when it was first on."""
        self._drift.labels(kind, about).set(int(is_on))

    def canary(self, evidence: Mapping[str, MeasureEvidence] | None) -> None:
        """Set what is known of the version that is tried, None where none is."""
        self._canary.set(int(evidence is not None))
        for measure, bounds in (evidence or {}).items():
            self._evidence.labels(measure, "worse").set(bounds.worse)
            self._evidence.labels(measure, "not worse").set(bounds.not_worse)

    def canary_ended(self, verdict: str) -> None:
        """Count a version whose trial ended: "promoted", "rolled back" or "withdrawn"."""
        self._canaries.labels(verdict).inc()

    def breaker(self, upstream: str, state: BreakerState) -> None:
        """Set the state of an upstream's circuit breaker."""
        self._breaker.labels(upstream).set(BREAKER_STATES[state])

    def queued(self, depth: int) -> None:
        """Set how many queries wait for a decision."""
        self._queue.set(depth)

    def in_flight(self, change: int) -> None:
        """One request more (1) or fewer (-1) is being served."""
        self.running += change
        self._some.set()

    def batched(self, size: int) -> None:
        """Count queries that were encoded together."""
        self._batch.observe(size)

    def collapse(self, class_: str, *, share: float, expected: float | None, alarm: bool) -> None:
        """Set the state of the collapse alarm for a class; classes beyond the 32nd are left out."""
        if class_ not in self._classes:
            if len(self._classes) >= MOST_CLASSES:
                return
            self._classes.add(class_)
        self._alarm.labels(class_).set(int(alarm))
        self._share.labels(class_).set(share)
        if expected is not None:
            self._expected.labels(class_).set(expected)

    def agreement(self, share: float, expected: float | None, *, alarm: bool) -> None:
        """Set how often the answers of two models were accepted of late."""
        self._agreement_alarm.set(int(alarm))
        self._agreement.set(share)
        if expected is not None:
            self._expected_agreement.set(expected)

    def alarms(self) -> frozenset[str]:
        """The classes for which any worker's collapse alarm is on. Reads files: not free."""
        return frozenset(
            sample.labels["class"]
            for metric in self._all().collect()
            if metric.name == "equirouter_collapse_alarm"
            for sample in metric.samples
            if sample.value
        )

    def render(self) -> tuple[bytes, str]:
        """The metrics of all workers as text, and its content type. Reads files: not free."""
        return generate_latest(self._all()), CONTENT_TYPE_LATEST

    def _all(self) -> CollectorRegistry:
        """The metrics of all workers."""
        self.count()
        if not _are_shared():
            return self.registry
        from prometheus_client import multiprocess

        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def _known(self, model: str | None) -> str:
        return model if model is not None and model in self._models else NOBODY

    def _count(self, counter: Counter, *labels: str, by: float = 1) -> None:
        self._sums[counter, labels] += by

    def _time(self, times: "_Times", ms: float, *labels: str) -> None:
        self._times[times, labels].append(ms / 1000)


class _Times(Histogram):
    """A histogram that takes many values at once."""

    def observe_all(self, values: Iterable[float]) -> None:
        total, counts = 0.0, [0] * len(self._upper_bounds)
        for value in values:
            total += value
            counts[bisect_left(self._upper_bounds, value)] += 1
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


def _are_shared() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def worker_is_gone(pid: int) -> None:
    """Forget the state of a worker that ended; what it has counted stays."""
    if _are_shared():
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]

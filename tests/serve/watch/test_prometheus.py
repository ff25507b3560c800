"""Metrics: what a request adds, labels that stay bounded, several workers in one answer."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from equirouter.serve.records import Attempt, RequestRecord
from equirouter.serve.watch.prometheus import Metrics
from tests.serve.records_made import MODELS, made_record

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def made_metrics(*, by_key: bool = False) -> Metrics:
    return Metrics(models=MODELS, upstreams=("east", "west"), by_key=by_key)


def series(text: bytes) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return series(metrics.render()[0]).get((f"equirouter_{name}", frozenset(labels.items())))


def test_a_request_is_counted_once() -> None:
    metrics = made_metrics()
    metrics.observe(made_record())
    labels = {"endpoint": "chat.completions", "model": "small", "decided_by": "policy"}
    assert value(metrics, "requests_total", **labels, status="200") == 1
    assert value(metrics, "cost_usd_total", model="small") == pytest.approx(0.00025)
    assert value(metrics, "compared_cost_usd_total") == pytest.approx(0.00025)
    assert value(metrics, "strongest_cost_usd_total") == pytest.approx(0.001)
    # 100 in, of which 60 cached; 50 out, of which 20 reasoning
    kinds = {"input": 40, "cached_input": 60, "output": 30, "reasoning": 20}
    for kind, count in kinds.items():
        assert value(metrics, "tokens_total", model="small", kind=kind) == count
    failed = {"upstream": "east", "model": "medium", "outcome": "status"}
    assert value(metrics, "attempts_total", **failed) == 1
    # 0.6 ms is above the bucket of 0.5 ms and below that of 1 ms
    assert value(metrics, "decision_seconds_bucket", le="0.0005") == 0
    assert value(metrics, "decision_seconds_bucket", le="0.001") == 1


def test_a_request_that_nobody_answered_costs_nothing() -> None:
    metrics = made_metrics()
    metrics.observe(made_record(served=None))
    labels = {"endpoint": "chat.completions", "model": "none", "decided_by": "policy"}
    assert value(metrics, "requests_total", **labels, status="504") == 1
    assert value(metrics, "strongest_cost_usd_total") == 0
    assert not any(name == "equirouter_cost_usd_total" for name, _ in series(metrics.render()[0]))


def test_a_request_without_a_plan_is_counted() -> None:
    metrics = made_metrics()
    metrics.observe(RequestRecord("r", 0.0, "embeddings", "anything", status=404))
    labels = {"endpoint": "embeddings", "model": "none", "decided_by": "none", "status": "404"}
    assert value(metrics, "requests_total", **labels) == 1
    assert value(metrics, "decision_seconds_count") == 0


@given(name=st.text(min_size=1), session=st.text(), key=st.text())
def test_no_text_of_a_client_becomes_a_label(name: str, session: str, key: str) -> None:
    metrics = made_metrics()
    metrics.observe(made_record(served=None))
    metrics.observe(made_record())
    known = labels(metrics)
    record = made_record(name)
    record.requested_model, record.session, record.key_id, record.error = name, session, key, name
    record.served_model = name  # no upstream has it, but were it so
    record.attempts = [Attempt(name, "east", "status", 503, 1.0, name), record.attempts[1]]
    metrics.observe(record)
    assert labels(metrics) - {("model", "none")} <= known


def labels(metrics: Metrics) -> set[tuple[str, str]]:
    return {pair for _, pairs in series(metrics.render()[0]) for pair in pairs}


def test_keys_are_labels_only_when_asked() -> None:
    metrics = made_metrics(by_key=True)
    metrics.observe(made_record())
    assert value(metrics, "cost_usd_total", model="small", key="key-7") is not None
    plain = made_metrics()
    plain.observe(made_record())
    assert b"key-7" not in plain.render()[0]


def test_requests_are_counted_without_being_asked_for() -> None:
    metrics = made_metrics()
    read = metrics.registry.get_sample_value  # which counts nothing

    async def kept() -> None:
        keeping = asyncio.create_task(metrics.keep())
        for _ in range(3):
            metrics.observe(made_record())
        metrics.in_flight(4)
        async with asyncio.timeout(10):
            while not read("equirouter_strongest_cost_usd_total"):
                await asyncio.sleep(0.01)
        keeping.cancel()

    asyncio.run(kept())
    assert read("equirouter_strongest_cost_usd_total") == pytest.approx(0.003)
    assert read("equirouter_in_flight") == 4


def test_times_are_in_the_buckets_up_to_their_bounds() -> None:
    metrics = made_metrics()
    for ms in (50.0, 50.1, 600_000.0, 600_001.0):
        record = made_record()
        record.total_ms = ms
        metrics.observe(record)
    of = {"endpoint": "chat.completions", "stream": "yes"}
    buckets = {"0.05": 1, "0.1": 2, "160.0": 2, "600.0": 3, "+Inf": 4}
    for bound, count in buckets.items():
        assert value(metrics, "request_seconds_bucket", **of, le=bound) == count
    assert value(metrics, "request_seconds_sum", **of) == pytest.approx(1200.1011)


def test_state_is_shown() -> None:
    metrics = made_metrics()
    assert value(metrics, "breaker_state", upstream="east") == 0
    metrics.breaker("east", "open")
    metrics.queued(3)
    metrics.in_flight(1)
    metrics.in_flight(1)
    metrics.in_flight(-1)
    metrics.reloaded(taken=False)
    metrics.log_dropped(5)
    metrics.router_failed()
    metrics.feedback("large", 0.25)
    metrics.collapse("budget", share=0.9, expected=0.3, alarm=True)
    assert value(metrics, "breaker_state", upstream="east") == 2
    assert value(metrics, "queue_depth") == 3
    assert value(metrics, "in_flight") == 1
    assert value(metrics, "reloads_total", result="refused") == 1
    assert value(metrics, "reloads_total", result="taken") == 0
    assert value(metrics, "log_dropped_total") == 5
    assert value(metrics, "router_failures_total") == 1
    assert value(metrics, "feedback_score_sum", model="large") == 0.25
    assert value(metrics, "collapse_alarm", **{"class": "budget"}) == 1
    metrics.collapse("auto", share=0.1, expected=0.3, alarm=False)
    assert metrics.alarms() == {"budget"}


def test_classes_of_the_alarm_are_bounded() -> None:
    metrics = made_metrics()
    for number in range(100):
        metrics.collapse(f"budget {number}", share=0.1, expected=None, alarm=False)
    shown = [name for name, _ in series(metrics.render()[0]) if name == "equirouter_collapse_alarm"]
    assert len(shown) == 32


def test_promtool_finds_nothing() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    metrics = made_metrics()
    metrics.observe(made_record())
    done = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.render()[0], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


WORKER = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from equirouter.serve.watch.prometheus import Metrics
from tests.serve.records_made import MODELS, made_record
metrics = Metrics(models=MODELS, upstreams=("east", "west"))
metrics.observe(made_record())
metrics.in_flight(2)
metrics.breaker("west", sys.argv[2])
metrics.collapse("auto", share=0.5, expected=0.4, alarm=sys.argv[2] == "open")
print(os.getpid(), *metrics.alarms(), flush=True)
sys.stdin.readline()
"""
READER = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from equirouter.serve.watch.prometheus import Metrics, worker_is_gone
for pid in sys.argv[2:]:
    worker_is_gone(int(pid))
sys.stdout.buffer.write(Metrics(models=(), upstreams=()).render()[0])
"""


def read(folder: Path, *gone: int) -> Series:
    command = [sys.executable, "-c", READER, str(folder), *map(str, gone)]
    return series(subprocess.run(command, capture_output=True, check=True).stdout)


def test_several_workers_are_added_up(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for state in ("closed", "open")
    ]
    try:
        said = [worker.stdout.readline().split() for worker in workers if worker.stdout]
        pids = [int(words[0]) for words in said]
        assert said[1][1:] == [b"auto"]
        seen = read(tmp_path)
        assert seen["equirouter_strongest_cost_usd_total", frozenset()] == pytest.approx(0.002)
        assert seen["equirouter_in_flight", frozenset()] == 4
        assert seen["equirouter_breaker_state", frozenset({("upstream", "west")})] == 2
        # the state of the second goes with it, what it has counted stays
        after = read(tmp_path, pids[1])
        assert after["equirouter_in_flight", frozenset()] == 2
        assert after["equirouter_breaker_state", frozenset({("upstream", "west")})] == 0
        assert after["equirouter_strongest_cost_usd_total", frozenset()] == pytest.approx(0.002)
    finally:
        for worker in workers:
            worker.communicate(b"\n")

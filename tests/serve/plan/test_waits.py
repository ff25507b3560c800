"""How long whole answers take, and pairs that would be late."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.evaluation.train import train
from equirouter.serve.plan.cascades import Waits
from equirouter.serve.records import Attempt, Cascaded, Plan, RequestRecord
from tests.serve.pipelines import GatedEncoder
from tests.serve.plan.test_cascades import ON, RULE
from tests.serve.planners import PRICES, Planned
from tests.toys import make_table

FIRST = "first"
TOKENS = {"small": 800, "middle": 1000, "large": 1200}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that learned tokens: some 18 of a prompt, and about TOKENS of answers."""
    GatedEncoder.gate.set()
    table, rng = make_table(incomplete=0), np.random.default_rng(0)
    read = rng.integers(15, 22, table.performance.shape).astype(np.float64)
    written = np.array([*TOKENS.values()]) + rng.integers(-20, 21, table.performance.shape)
    price = np.array([PRICES[model]["input"] for model in table.models])
    tokens: dict[str, Any] = {"input_tokens": read, "output_tokens": written}
    known = replace(table, cost_usd=(read + written) * price / 1e6, **tokens)
    made = train(known, GatedEncoder(), router="knn:k=5", quality=0.2, policy="utility")
    assert made.stage.cost_model.predicts == "tokens"
    return replace(made, plans=RULE).save(tmp_path_factory.mktemp("tokens"))


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def answered(model: str, tokens: int | None, seconds: float, **more: Any) -> RequestRecord:
    """A request of which a model was asked."""
    one = Attempt(model, "there", "ok", 200, seconds * 1000, output_tokens=tokens)
    record = RequestRecord("r", 0.0, "chat.completions", "auto", stream=more.pop("stream", False))
    record.plan = more.pop("plan", None)
    record.cascade = more.pop("cascade", None)
    record.attempts.append(replace(one, **more))
    return record


@pytest.fixture
def planned(folder: Path) -> Planned:
    return Planned(folder, **ON)


def waits_of(planned: Planned, clock: Clock, max_wait_ms: float) -> Waits:
    made = Waits(max_wait_ms, clock)
    made.learn(planned.loaded.pipeline)
    return made


def bound_of(planned: Planned, *calls: tuple[int, float]) -> float:
    """Seconds that the small one is expected to take, after calls of so many tokens and seconds."""
    plan = planned.plan()
    low, high = 0.0, 1000.0
    while high - low > 0.001:
        middle = (low + high) / 2
        waits = waits_of(planned, Clock(), middle * 1000)
        for tokens, seconds in calls:
            waits.note(answered("small", tokens, seconds))
        low, high = (middle, high) if waits.too_long(plan, ["small"]) else (low, middle)
    return high


def test_seconds_follow_from_tokens(planned: Planned) -> None:
    # 0.02 s a token, as is usual: and 800 tokens
    assert bound_of(planned, *[(100, 2.0), (200, 4.0)] * 5) == pytest.approx(16.0, abs=1.0)
    # answers of one length say how long they take, and the usual slope adds the rest
    assert bound_of(planned, *[(5, 1.0)] * 10) == pytest.approx(1.0 + 795 * 0.02, abs=1.0)
    # a fast model, 0.001 s a token from 0.4 s on
    assert bound_of(planned, *[(100, 0.5), (1600, 2.0)] * 5) == pytest.approx(1.2, abs=0.1)


def test_what_is_not_known_is_in_time(planned: Planned) -> None:
    clock, plan = Clock(), planned.plan()
    waits = waits_of(planned, clock, 8000.0)
    slow = answered("small", 800, 60.0)
    assert not waits.too_long(plan, ["small"])
    for _ in range(5):
        waits.note(slow)
    assert not waits.too_long(plan, ["small"])  # too few
    for _ in range(10):
        waits.note(slow)
    assert waits.too_long(plan, ["small", "middle"])
    assert not waits.too_long(plan, ["middle"])
    clock.seconds = 601.0  # it is tried again
    assert not waits.too_long(plan, ["small"])
    for _ in range(20):  # times that are not of a whole answer
        waits.note(answered("small", 800, 60.0, stream=True))
        waits.note(answered("small", None, 60.0))
        waits.note(answered("small", 800, 60.0, outcome="cancelled", role=FIRST))
    assert not waits.too_long(plan, ["small"])


def test_calls_that_were_cut_off_as_time_was_over_count(planned: Planned) -> None:
    plan = planned.plan()
    waits = waits_of(planned, Clock(), 8000.0)
    late = Cascaded(("small", "middle"), "late", "accepted", 8000.0)
    for _ in range(20):
        cut = answered("small", None, 8.1, outcome="cancelled", role=FIRST, plan=plan, cascade=late)
        waits.note(cut)
    assert waits.too_long(plan, ["small"])


def test_a_pair_that_would_be_late_is_not_asked(planned: Planned) -> None:
    assert planned.plan().pair is not None
    for _ in range(20):
        plan: Plan = planned.plan()
        planned.planner.finished(answered("middle", 1000, 30.0, plan=plan))
    plan = planned.plan()
    assert plan.pair is None
    assert plan.decided_by == "policy"

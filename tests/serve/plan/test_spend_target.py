"""A mean spend per request: kept on what calls really cost, whoever waits for whom."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from equirouter.serve.dashboard.documents import why
from equirouter.serve.records import Plan, RequestControl, RequestRecord, nusd
from tests.serve.pipelines import save_pipeline
from tests.serve.planners import AUTO, Planned, order, settings_of

SPEND_USD = 0.002
"""Between the cheapest model of the toy pool, 0.0001 USD a call, and the most expensive, 0.01."""

REAL = 1.7
"""What calls cost here, as a multiple of what is predicted."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("pipeline"))


def paced(folder: Path, **pipeline: object) -> Planned:
    return Planned(folder, pipeline={"spend_usd": SPEND_USD, **pipeline})


def texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    levels = rng.choice(["easy", "medium", "hard"], n)
    return [
        f"{level} task{task} query"
        for level, task in zip(levels, rng.integers(0, 4, n), strict=True)
    ]


def predicted(plan: Plan) -> float:
    """What the first model is expected to cost."""
    return plan.predicted_costs_usd[plan.candidates[0].model]


def finish(planned: Planned, plan: Plan, cost_usd: float | None) -> None:
    """The request is over, and cost so much."""
    planned.planner.finished(
        RequestRecord(
            request_id="r",
            started_at=0.0,
            endpoint="chat.completions",
            requested_model=AUTO,
            plan=plan,
            served_model=None if cost_usd is None else order(plan)[0],
            cost_nusd=None if cost_usd is None else nusd(cost_usd),
        )
    )


def stream(
    planned: Planned, n: int, *, waiting: int = 0, cost: Callable[[float], float] | None = None
) -> list[float]:
    """What each of n requests cost; `waiting` of them are on their way at any time."""
    cost = cost or (lambda predicted: REAL * predicted)
    paid, on_their_way = [], deque[Plan]()
    for text in texts(n):
        on_their_way.append(planned.plan(text))
        if len(on_their_way) > waiting:
            plan = on_their_way.popleft()
            paid.append(cost(predicted(plan)))
            finish(planned, plan, paid[-1])
    return paid


@pytest.mark.parametrize("waiting", [0, 32])
def test_the_mean_is_kept_on_what_calls_really_cost(folder: Path, waiting: int) -> None:
    paid = stream(paced(folder), 1500, waiting=waiting)
    assert np.mean(paid[200:]) == pytest.approx(SPEND_USD, rel=0.05)


def test_without_a_spend_the_pipeline_spends_what_it_likes(folder: Path) -> None:
    # so that the test above shows something
    assert np.mean(stream(Planned(folder), 300)) != pytest.approx(SPEND_USD, rel=0.3)


def test_what_calls_cost_more_from_now_on_is_followed(folder: Path) -> None:
    planned = paced(folder)
    stream(planned, 500)
    before = document(planned)["lambda"]
    after = stream(planned, 1200, cost=lambda predicted: 3 * REAL * predicted)
    assert np.mean(after[300:]) == pytest.approx(SPEND_USD, rel=0.08)
    assert document(planned)["lambda"] > 1.5 * before


def document(planned: Planned) -> dict[str, float]:
    status = planned.planner.status()
    assert status is not None
    found = status["pacing"]
    assert isinstance(found, dict)
    return found


def test_a_plan_says_the_price_and_the_spend(folder: Path) -> None:
    planned = paced(folder)
    plan = planned.plan("hard task2 query")
    decision = planned.loaded.pipeline.decide("hard task2 query", lambda_=plan.value)
    assert order(plan) == [decision.model, *decision.fallbacks]
    assert (plan.setting, plan.spend_usd) == ("lambda", SPEND_USD)
    assert plan.confidence == decision.confidence is not None
    said = why(RequestRecord("r", 0.0, "chat.completions", AUTO, plan=plan, served_model="large"))
    assert f"so that requests cost {SPEND_USD:g} USD on average" in said[0]


def test_only_calls_that_leave_the_choice_to_it_are_counted(folder: Path) -> None:
    planned = paced(folder)
    for control in (
        RequestControl(budget_usd=0.01),
        RequestControl(quality=0.5),
        RequestControl(lambda_=50.0),
    ):
        plan = planned.plan("hard task2 query", control)
        assert (plan.spend_usd, plan.paced) == (None, None)
        finish(planned, plan, 1.0)
    assert planned.plan("hard task2 query", RequestControl(lambda_=50.0)).value == 50.0
    finish(planned, planned.plan(model="large"), 1.0)
    assert document(planned)["requests"] == 0

    looked = planned.plan("hard task2 query", endpoint="route")
    assert (looked.spend_usd, document(planned)["requests"]) == (SPEND_USD, 0)
    plan = planned.plan("hard task2 query", RequestControl(exclude=frozenset({"large"})))
    assert "large" not in order(plan)
    finish(planned, plan, 0.005)
    assert document(planned) | {"lambda": 0} == {
        "spend_usd": SPEND_USD,
        "mean_usd": pytest.approx(0.005),
        "requests": 1,
        "lambda": 0,
    }


def test_a_question_alone_says_what_a_call_would_get(folder: Path) -> None:
    planned = paced(folder)
    stream(
        planned, 100, cost=lambda _: 200 * SPEND_USD
    )  # so much is owed that the cheapest is left
    for text in texts(20, seed=1):
        looked = planned.plan(text, endpoint="route")
        called = planned.plan(text)
        assert order(looked) == order(called)
        assert order(called)[0] == "small"
        finish(planned, called, 0.0001)


def test_requests_that_nobody_answered_are_not_counted(folder: Path) -> None:
    """Such as those of a key without money: the others would spend what they save."""
    planned = paced(folder)
    paid = []
    for text in texts(1200):
        for _ in range(4):
            finish(planned, planned.plan("hard task2 query"), None)
        plan = planned.plan(text)
        paid.append(REAL * predicted(plan))
        finish(planned, plan, paid[-1])
    assert np.mean(paid[200:]) == pytest.approx(SPEND_USD, rel=0.05)
    assert document(planned)["requests"] == 1200
    assert document(planned)["mean_usd"] == pytest.approx(np.mean(paid))


def test_a_request_that_nobody_answered_leaves_the_price_as_it_was(folder: Path) -> None:
    planned = paced(folder)
    stream(planned, 200)
    stream(planned, 5, cost=lambda _: 5 * SPEND_USD)  # something is owed
    before = document(planned)
    for text in texts(300, seed=2):
        finish(planned, planned.plan(text), None)
    assert document(planned) == pytest.approx(before)


def test_another_pipeline_goes_on_with_the_stream(folder: Path, tmp_path: Path) -> None:
    planned = paced(folder)
    assert planned.decider is not None
    stream(planned, 200)
    waiting = planned.plan("easy task1 query")
    before = document(planned)
    save_pipeline(tmp_path, quality=0.5)
    asyncio.run(planned.planner.reload(tmp_path))
    planned.plan("easy task1 query", endpoint="route")
    assert document(planned) == before
    finish(planned, waiting, 0.001)
    spent = float(before["mean_usd"]) * before["requests"]
    assert document(planned)["mean_usd"] == pytest.approx(
        (spent + 0.001 - predicted(waiting)) / before["requests"]
    )


def test_a_spend_without_a_pipeline_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"pipeline\.spend_usd needs a pipeline"):
        settings_of(None, pipeline={"spend_usd": SPEND_USD})
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(ValidationError, match="spend_usd"):
            settings_of(Path("pipeline"), pipeline={"spend_usd": wrong})

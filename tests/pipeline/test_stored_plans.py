"""A pipeline that asks more than one model: saved, loaded, and asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.errors import ConfigError, PipelineError
from equirouter.evaluation.train import train
from equirouter.pipeline import Ask, AskModel, Decision, QueryPlan, RoutingPipeline, Serve
from equirouter.policy import Calibration, Control
from equirouter.policy.plan import AskColumn, PlanPolicy, State, Stop
from equirouter.policy.plans import Plans
from equirouter.policy.pool_plans import AgreementRule, AtPrice, Gain, PoolPlans
from equirouter.policy.replies import Reply
from equirouter.training.plan_fit import fit_plans
from equirouter.training.pool_changes import repriced, without
from tests.pipeline.sealed import change_arrays, change_description
from tests.policy.plans_by_hand import COSTS, SCORES, by_hand
from tests.toys import HashingEncoder, make_table
from tests.training.independent_errors import world

QUERIES = ("easy task1 query", "medium task2 query", "hard task3 query")
RULE = AgreementRule((0, 1), 2, 0.4)
UNMEASURED = PoolPlans("number@1", Plans(3), RULE)


def measured(*deciders: str, relative_cost: float = 0.1) -> PoolPlans:
    """Plans at the prices 0, 10, 20 ..., which keep all of the quality at a share of the cost."""
    prices = tuple(10.0 * place for place in range(len(deciders)))
    each = (1.0,) * len(deciders)
    calibration = Calibration(
        setting="lambda",
        n_queries=4000,
        points=prices,
        performance=each,
        cost_usd=tuple(relative_cost * 0.01 / (1 + place) for place in range(len(deciders))),
        variance=(0.0,) * len(deciders),
        covariance=(0.0,) * len(deciders),
        strongest_performance=0.9,
        strongest_variance=0.09,
        strongest_cost_usd=0.01,
        lowest=0.0,
        highest=1.0,
    )
    at_prices = tuple(
        AtPrice(price, by, Gain(0.01, 0.002), Gain(0.02, 0.002), 0.9, 0.3)  # type: ignore[arg-type]
        for price, by in zip(prices, deciders, strict=True)
    )
    return PoolPlans("number@1", by_hand(), RULE, at_prices, calibration)


@pytest.fixture(scope="module")
def bare() -> RoutingPipeline:
    return train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.8, resamples=0)


@pytest.fixture(scope="module")
def made(bare: RoutingPipeline) -> RoutingPipeline:
    return replace(bare, plans=measured("learned", "rule", "routing"))


@pytest.fixture
def folder(made: RoutingPipeline, tmp_path: Path) -> Path:
    return made.save(tmp_path)


def loaded(folder: Path) -> RoutingPipeline:
    return RoutingPipeline.load(folder, encoder=HashingEncoder())


def decided(pipeline: RoutingPipeline, **control: float) -> list[Decision]:
    asks = [Ask(query, control=Control(**control), may_check=True) for query in QUERIES]
    return pipeline.decide_each(asks)


def plan_of(pipeline: RoutingPipeline, **control: float) -> QueryPlan:
    plan = decided(pipeline, **control)[0].plan
    assert plan is not None
    return plan


def test_a_loaded_pipeline_asks_as_the_saved_one_bit_for_bit(
    made: RoutingPipeline, folder: Path
) -> None:
    again = loaded(folder)
    assert again.plans is not None
    assert again.plans.at_prices == measured("learned", "rule", "routing").at_prices
    for price in (0.0, 5.0, 10.0, 15.0, 25.0):
        for was, now in zip(
            decided(made, lambda_=price), decided(again, lambda_=price), strict=True
        ):
            assert now._replace(plan=None) == was._replace(plan=None)
            assert (now.plan is None) == (was.plan is None) == (price >= 20)
            if was.plan is None or now.plan is None:
                continue
            assert (now.plan.action, now.plan.learned) == (was.plan.action, price < 10)
            for replies in ({"small": Reply("1", 9.0), "middle": Reply("2", 4.0)}, {}):
                said = now.plan.then(("small", "middle"), replies)
                assert said == was.plan.then(("small", "middle"), replies)


def test_saving_what_was_loaded_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    again = loaded(folder).save(tmp_path / "again")
    for name in ("pipeline.json", "weights.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_a_rule_that_learned_nothing_is_saved(bare: RoutingPipeline, tmp_path: Path) -> None:
    again = loaded(replace(bare, plans=UNMEASURED).save(tmp_path))
    plan = plan_of(again)
    assert (plan.first, plan.last, plan.p_escalate) == (("small", "middle"), ("large",), 0.4)
    assert plan.then(plan.first, {"small": Reply("4"), "middle": Reply("4")}) == Serve(
        "small", None
    )
    assert plan.then(plan.first, {"small": Reply("4"), "middle": Reply("5")}) == AskModel("large")


def test_only_who_may_be_checked_is(made: RoutingPipeline) -> None:
    assert made.decide(QUERIES[0]).plan is None
    assert decided(made, budget_usd=1.0)[0].plan is None


def test_a_quality_means_the_plans_price_where_that_costs_less(bare: RoutingPipeline) -> None:
    cheap, expensive = (
        replace(bare, plans=measured("learned", "rule", relative_cost=cost)) for cost in (0.01, 2.0)
    )
    assert cheap.plan_lambda(Control(quality=0.9)) == 10.0  # of the two the cheaper
    assert decided(cheap, quality=0.9)[0].value == 10.0
    assert expensive.plan_lambda(Control(quality=0.9)) is None
    assert decided(expensive, quality=0.9) == [expensive.decide(q, quality=0.9) for q in QUERIES]


def test_the_one_model_is_that_of_the_plans_price(made: RoutingPipeline) -> None:
    for was, now in zip(
        made.decide_many(QUERIES, lambda_=10.0), decided(made, lambda_=10.0), strict=True
    ):
        assert now._replace(plan=None) == was


def test_a_model_that_is_ruled_out_is_in_no_plan(made: RoutingPipeline) -> None:
    for price in (0.0, 10.0):
        ask = Ask(QUERIES[0], None, Control(lambda_=price), None, {"middle": "down"}, True)
        assert made.decide_each([ask])[0].plan is None


def test_a_model_may_be_ruled_out_between_the_rounds(made: RoutingPipeline) -> None:
    differ = {"small": Reply("1"), "middle": Reply("2")}
    for price in (0.0, 10.0):
        plan = plan_of(made, lambda_=price)
        assert plan.then(plan.first, differ) == AskModel("large")
        said = plan.then(plan.first, differ, without=["large"])
        assert isinstance(said, Serve)
        assert said.model in differ
        with pytest.raises(ConfigError, match="no model has replied"):
            plan.then(plan.first, {}, without=["large"])
        with pytest.raises(ConfigError, match="asked were"):
            plan.then(("small",), differ)


def test_far_queries_that_go_to_the_strongest_have_no_plan(made: RoutingPipeline) -> None:
    careful = replace(made, ood="strongest")
    ask = Ask("words never seen", control=Control(lambda_=0.0), may_check=True)
    (decision,) = careful.decide_each([ask])
    assert decision.far
    assert decision.plan is None
    assert made.decide_each([ask])[0].plan is not None


def test_plans_are_of_the_pool_that_they_were_measured_on(bare: RoutingPipeline) -> None:
    priced = replace(bare, plans=measured("rule"))
    changed = without(priced, "large")
    assert changed.plans is None
    assert "train again" in changed.provenance.data["notes"][-1]
    rule = replace(bare, plans=UNMEASURED)
    assert without(rule, "middle").plans is None
    again = repriced(rule, {})
    assert again.plans is not None
    assert again.plans.rule == RULE


def test_parts_that_do_not_fit_together_are_refused(bare: RoutingPipeline) -> None:
    with pytest.raises(ConfigError, match="other models"):
        replace(bare, plans=PoolPlans(None, Plans(4), RULE))
    with pytest.raises(ConfigError, match="rule"):
        PoolPlans(None, Plans(3))
    with pytest.raises(ConfigError, match="not an answer extractor"):
        PoolPlans("words@1", Plans(3), RULE)
    with pytest.raises(ConfigError, match="operating points"):
        replace(measured("rule"), calibration=None)


def _put(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document["plans"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_put("rule", "pair", value=["small", "other"]), "small, other"),
        (_put("rule", "pair", value=["middle", "small"]), "in its order"),
        (_put("rule", value=None), "rule"),
        (_put("learned", "members", value=["small", "small", "large"]), "members|small"),
        (_put("learned", "pairs", value=[]), "no plan has"),
        (_put("learned", "pairs", value=[["small", "large"]]), "expected finite"),
        (_put("learned", "check_usd", value={"small": 1.0}), "check_usd"),
        (_put("learned", "check_usd", value={"small": -1.0}), "check_usd"),
        (_put("extractor", value="number@7"), "number@7"),
        (_put("at_prices", 0, "price", value=-1), "price"),
        (_put("at_prices", 0, "by", value="chance"), "by"),
        (_put("at_prices", 1, "price", value=3), "operating points"),
        (_put("command", value="rm"), "command"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    change_description(folder, change)
    with pytest.raises(PipelineError, match=named):
        loaded(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("plans.more.0-1.2.weights"),
        lambda arrays: arrays.update({"plans.coef": np.zeros((3, 1, 2, 4))}),
        lambda arrays: arrays.update({"plans.lambdas": np.array([0.0, 10.0])}),
        lambda arrays: arrays.update({"plans.level": np.full((3, 1, 2), np.nan)}),
        lambda arrays: arrays.update({"plans.other": np.zeros(1)}),
    ],
)
def test_an_array_that_does_not_fit_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    change_arrays(folder, change)
    with pytest.raises(PipelineError, match=r"plans"):
        loaded(folder)


def test_the_signals_of_checks_are_saved(bare: RoutingPipeline, tmp_path: Path) -> None:
    labelled = world(600, 0)
    cost = np.tile([0.001, 0.002, 0.5], (600, 1))
    signals = {"tests": labelled.performance, "tests.cost_usd": cost}
    known = replace(labelled, replies=replace(labelled.replies, signals=signals))
    learned = fit_plans(known, np.random.default_rng(0))
    plans = replace(measured("learned"), learned=learned, rule=None)
    again = loaded(replace(bare, plans=plans).save(tmp_path))
    assert again.plans is not None
    assert again.plans.learned.signals == ("tests",)
    assert again.plans.learned.check_usd is not None
    assert again.plans.learned.check_usd.tolist() == pytest.approx(cost[0].tolist())
    policy = PlanPolicy(again.plans.learned, 0.1)
    for right, kind in ((0.0, AskColumn), (1.0, Stop)):
        replies = {0: Reply("1", signals={"tests": right}), 1: Reply("2", signals={"tests": 0.0})}
        assert isinstance(policy.then(State((0, 1), replies, SCORES, COSTS)), kind)

"""What a pipeline says of, and does with, queries that are unlike its training queries."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.evaluation.sweeps import ServedQueries
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import BudgetPolicy, UtilityPolicy
from equirouter.policy.constraints import Needs
from equirouter.training.protocol import prepare_in_sample
from tests.toys import HashingEncoder, make_table

NEAR, FAR = "easy task1 query 7", "entirely other words here"


@pytest.fixture(scope="module")
def careful() -> RoutingPipeline:
    table = make_table(n=300)
    return train(table, HashingEncoder(), quality=0.5, ood="strongest")


def test_a_far_query_is_marked_and_goes_to_the_strongest_model(careful: RoutingPipeline) -> None:
    near, far = careful.decide_many([NEAR, FAR], lambda_=1e6)
    assert (near.far, near.model) == (False, "small")  # next to nothing may be paid
    assert (far.far, far.model, far.fallbacks) == (True, "large", ("middle", "small"))


def test_limits_hold_for_far_queries_too(careful: RoutingPipeline) -> None:
    costs = careful.decide(FAR).predicted_costs_usd
    between = (costs["middle"] + costs["large"]) / 2
    within = careful.decide(FAR, budget_usd=between)
    assert (within.model, within.fits) == ("middle", True)
    without = careful.decide(FAR, needs=Needs(exclude=frozenset({"large"})))
    assert without.model == "middle"
    nothing = careful.decide(FAR, budget_usd=1e-9)
    assert (nothing.model, nothing.fits) == ("small", False)


def test_texts_and_embeddings_are_decided_alike(careful: RoutingPipeline) -> None:
    texts = [NEAR, FAR, *make_table(n=20).texts]
    encoded = HashingEncoder().encode(texts)
    controls: tuple[dict[str, Any], ...] = (
        {"lambda_": 50.0},
        {"budget_usd": 0.005},
        {"budget_usd": 1e-9},
    )
    for control in controls:
        chosen = careful.decide_many(embeddings=encoded, **control).chosen
        decided = [decision.model for decision in careful.decide_many(texts, **control)]
        assert [careful.models[column] for column in chosen] == decided


def test_a_diagnosis_measures_what_the_pipeline_decides() -> None:
    made = train(make_table(n=300), HashingEncoder(), quality=0.5, ood="strongest")
    other = make_table(n=60, seed=4, incomplete=0)
    texts = tuple(f"{FAR} {row}" if row % 2 else text for row, text in enumerate(other.texts))
    other = replace(other, texts=texts)
    served = ServedQueries.read(made, other)
    part = prepare_in_sample(other, served.embeddings, device="cpu").test
    chosen = served.choose(made.policy_for()[0])
    assert [made.models[column] for column in chosen] == [
        decision.model for decision in made.decide_many(texts)
    ]
    for rule in (BudgetPolicy(), UtilityPolicy()):
        found = served.sweep(rule, part, seed=1)
        place = len(found.points) // 2
        point = float(found.points[place])
        name = "budget_usd" if rule.setting == "budget_usd" else "lambda_"
        control: dict[str, Any] = {name: point}
        decided = made.decide_many(texts, **control)
        assert [made.models[column] for column in found.chosen[:, place]] == [
            decision.model for decision in decided
        ]


def test_the_policy_decides_far_queries_unless_told_otherwise() -> None:
    plain = train(make_table(n=300), HashingEncoder(), quality=0.5)
    assert plain.ood == "policy"
    decision = plain.decide(FAR, lambda_=1e6)
    assert (decision.far, decision.model) == (True, "small")
    encoded = HashingEncoder().encode([FAR])
    assert plain.models[plain.decide_many(embeddings=encoded, lambda_=1e6).chosen[0]] == "small"


def test_the_rule_is_kept_with_the_pipeline(careful: RoutingPipeline, tmp_path: Path) -> None:
    loaded = RoutingPipeline.load(careful.save(tmp_path), encoder=HashingEncoder())
    assert loaded.ood == "strongest"
    assert loaded.decide_many([NEAR, FAR]) == careful.decide_many([NEAR, FAR])


def test_a_decision_says_how_sure_it_is(careful: RoutingPipeline) -> None:
    table = make_table(n=400, seed=5, incomplete=0)
    decisions = careful.decide_many(table.texts, lambda_=0.0)
    stated = np.array([decision.confidence for decision in decisions], dtype=float)
    columns = [careful.models.index(str(decision.model)) for decision in decisions]
    got = table.performance[np.arange(400), columns]
    good = got >= table.performance.max(axis=1) - 0.02
    assert stated.mean() == pytest.approx(good.mean(), abs=0.08)
    assert stated.min() > 0
    assert stated.max() < 1


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected policy or strongest"):
        train(make_table(), HashingEncoder(), quality=0.5, ood="cheapest")  # type: ignore[arg-type]

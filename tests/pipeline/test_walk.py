"""Queries decided together, each under its own control and constraints."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equirouter.encoders.base import Encoder
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.train import train
from equirouter.pipeline import Ask, RoutingPipeline
from equirouter.policy import ABILITIES, Control, ModelFacts, Needs
from equirouter.registry import ENCODERS
from tests.toys import HashingEncoder, make_table

MODELS = make_table().models
FACTS = {
    "small": ModelFacts(4096, frozenset(), frozenset({"eu"})),
    "middle": ModelFacts(8192, frozenset({"json"}), frozenset({"us"})),
    "large": ModelFacts(None, frozenset(ABILITIES), frozenset({"eu", "us"})),
}
CONTROLS = (
    Control(),
    Control(budget_usd=0.002),
    Control(budget_usd=1e-9),
    Control(lambda_=50.0),
    Control(quality=0.3),
    Control(performance=0.2, confidence=0.6),
)


@pytest.fixture(scope="module")
def made() -> RoutingPipeline:
    return train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2, model_facts=FACTS)


NEEDS = st.builds(
    Needs,
    exclude=st.frozensets(st.sampled_from(MODELS), max_size=2),
    context_tokens=st.none() | st.integers(1, 10_000),
    abilities=st.frozensets(st.sampled_from(ABILITIES), max_size=1),
    regions=st.none() | st.frozensets(st.sampled_from(["eu", "us"])),
)
ASKS = st.builds(
    Ask,
    query=st.sampled_from(make_table().texts),
    control=st.sampled_from(CONTROLS),
    needs=st.none() | NEEDS,
    removed=st.dictionaries(st.sampled_from(MODELS), st.just("down"), max_size=1),
)


def violates(model: str, ask: Ask) -> bool:
    """By the definition, without the code under test."""
    facts, needs = FACTS[model], ask.needs or Needs()
    return (
        model in needs.exclude
        or model in ask.removed
        or (facts.context_tokens or 0) < (needs.context_tokens or 0)
        or not needs.abilities <= (facts.abilities or set())
        or (needs.regions is not None and not (facts.regions or set()) <= needs.regions)
    )


@given(asks=st.lists(ASKS, max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("when", ["cheapest", "refuse"])
def test_what_violates_a_constraint_never_answers(
    when: Any, asks: list[Ask], made: RoutingPipeline
) -> None:
    made.when_nothing_fits = when
    for ask, decision in zip(asks, made.decide_each(asks), strict=True):
        wrong = {model for model in MODELS if violates(model, ask)}
        assert decision.removed.keys() == wrong
        assert not wrong & {decision.model, *decision.fallbacks}
        if len(wrong) == len(MODELS):
            assert (decision.model, decision.fits, decision.fallbacks) == (None, False, ())
        elif when == "cheapest":
            assert decision.model is not None
        if not decision.fits and decision.model is not None:
            left = [model for model in MODELS if model not in wrong]
            assert decision.model == min(left, key=decision.predicted_costs_usd.__getitem__)
    made.when_nothing_fits = "cheapest"


@given(asks=st.lists(ASKS, min_size=1, max_size=12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("when", ["cheapest", "refuse"])
@pytest.mark.parametrize("ood", ["policy", "strongest"])
def test_each_is_decided_as_it_is_alone(
    ood: Any, when: Any, asks: list[Ask], made: RoutingPipeline
) -> None:
    stage = dataclasses.replace(
        made.stage, familiar=dataclasses.replace(made.stage.familiar, threshold=0.5)
    )
    made = dataclasses.replace(made, stage=stage, ood=ood, when_nothing_fits=when)
    asks = [*asks, Ask("like no other")]
    assert made.decide_each(asks) == [made.decide_each([ask])[0] for ask in asks]


class Counting(HashingEncoder):
    """Keeps how many texts each call had."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def embed(self, texts: tuple[str, ...], *rest: Any) -> Any:
        self.calls.append(len(texts))
        return super().embed(texts, *rest)


def test_all_are_encoded_in_one_batch(made: RoutingPipeline) -> None:
    encoder: Encoder = Counting()
    stage = dataclasses.replace(made.stage, encoder=encoder)
    pipeline = dataclasses.replace(made, stage=stage)
    asks = [
        Ask(f"easy {row}", control=CONTROLS[row % 3], needs=Needs(exclude=frozenset({MODELS[row]})))
        for row in range(3)
    ]
    pipeline.decide_each(asks)
    assert encoder.calls == [3]  # type: ignore[attr-defined]


def test_a_decision_says_who_was_removed_by_whom(made: RoutingPipeline) -> None:
    ask = Ask(
        "easy task1 query",
        control=Control(lambda_=1e6),  # the cheapest that may
        needs=Needs(abilities=frozenset({"json"})),
        removed={"middle": "its upstream is down"},
    )
    decision = made.decide_each([ask])[0]
    assert decision.removed == {"small": "abilities: no json", "middle": "its upstream is down"}
    assert (decision.model, decision.fallbacks) == ("large", ())


def test_nobody_answers_where_no_model_is_known_to_meet_a_constraint(made: RoutingPipeline) -> None:
    nothing_known = dataclasses.replace(made, model_facts={})
    needs = Needs(regions=frozenset({"eu"}))
    decision = nothing_known.decide("easy task1 query", needs=needs)
    assert (decision.model, decision.fallbacks) == (None, ())
    reason = "regions: not known, state it in model_facts (--model-facts FILE)"
    assert decision.removed == dict.fromkeys(MODELS, reason)
    rows = HashingEncoder().encode(["easy task1 query"])
    assert nothing_known.decide_many(embeddings=rows, needs=needs).chosen.tolist() == [-1]
    stated = {"middle": ModelFacts(regions=frozenset({"eu"}))}
    known = dataclasses.replace(made, model_facts=stated)
    assert known.decide("easy task1 query", needs=needs).model == "middle"


def test_embeddings_are_decided_under_constraints_too(made: RoutingPipeline) -> None:
    texts = make_table().texts
    needs = Needs(exclude=frozenset({"small"}))
    choices = made.decide_many(embeddings=HashingEncoder().encode(texts), needs=needs, lambda_=9.0)
    decisions = made.decide_many(texts, needs=needs, lambda_=9.0)
    assert [MODELS[column] for column in choices.chosen] == [d.model for d in decisions]
    assert choices.removed == decisions[0].removed == {"small": "excluded by name"}
    everyone = Needs(exclude=frozenset(MODELS))
    none = made.decide_many(embeddings=HashingEncoder().encode(texts[:2]), needs=everyone)
    assert none.chosen.tolist() == [-1, -1]
    assert np.isnan(none.predicted_cost_usd).all()
    assert not none.fits.any()


def test_names_that_no_model_has_are_refused(made: RoutingPipeline) -> None:
    with pytest.raises(ConfigError, match="exclude: no model named 'larg'; did you mean 'large'"):
        made.decide("x", needs=Needs(exclude=frozenset({"larg"})))
    with pytest.raises(ConfigError, match="removed: no model named 'gone'"):
        made.decide_each([Ask("x", removed={"gone": "down"})])
    with pytest.raises(ConfigError, match="model_facts: no model named 'tiny'"):
        train(make_table(), HashingEncoder(), model_facts={"tiny": ModelFacts()})


def test_images_are_one_per_query(made: RoutingPipeline) -> None:
    with pytest.raises(DataError, match="1 images for 2 texts"):
        made.decide_many(["a", "b"], images=[None])


def test_facts_are_saved_with_the_pipeline(
    made: RoutingPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
    loaded = RoutingPipeline.load(made.save(tmp_path))
    assert loaded.model_facts == FACTS
    needs = Needs(abilities=frozenset({"json"}))
    assert loaded.decide("easy", needs=needs) == made.decide("easy", needs=needs)


def test_a_calibration_belongs_to_its_policy(made: RoutingPipeline) -> None:
    with pytest.raises(ConfigError, match="policy budget moves along budget_usd, but its calib"):
        dataclasses.replace(made, policy="budget")


def test_a_stream_is_paced_by_the_numbers_of_the_stage(made: RoutingPipeline) -> None:
    texts = make_table().texts
    pacer, alone = made.pacer(0.002), made.pacer(0.002)
    assert pacer.state.log_lambda is not None  # from the calibration
    decided = made.pace([Ask(text) for text in texts], pacer)
    for decision, paced in decided:
        assert (decision.setting, decision.value, decision.fits) == ("spend_usd", 0.002, True)
        scores, costs = (
            np.array([each[model] for model in MODELS], dtype=np.float32)
            for each in (decision.scores, decision.predicted_costs_usd)
        )
        again = alone.decide(scores, costs)
        assert again.columns.tolist() == paced.columns.tolist()
        assert decision.model == MODELS[paced.chosen]
        assert decision.predicted_cost_usd == paced.predicted_usd


def test_a_paced_stream_keeps_constraints_and_the_cap(made: RoutingPipeline) -> None:
    pacer = made.pacer(1.0, cap_usd=0.05)
    needs = Needs(exclude=frozenset({"large"}))
    asks = [Ask(f"hard task1 query {row}", needs=needs if row % 2 else None) for row in range(40)]
    most = [dict.fromkeys(MODELS, 0.02) for _ in asks]
    decided = made.pace(asks, pacer, most_usd=most)
    answered = [decision for decision, _ in decided if decision.model is not None]
    assert len(answered) == 2  # nothing is settled, so each holds 0.02
    for ask, (decision, _) in zip(asks, decided, strict=True):
        assert ("large" in decision.removed) == (ask.needs is not None or decision.model is None)
    last = decided[-1][0]
    assert last.removed == {
        "small": "cap: 0.05 USD in all has too little left",
        "middle": "cap: 0.05 USD in all has too little left",
        "large": "excluded by name",
    }
    for _, paced in decided:
        pacer.settle(paced, 0.0)
    assert pacer.left_usd == pytest.approx(0.05)
    unknown = made.pace([Ask("x")], pacer, most_usd=[{"small": 0.01}])[0][0]
    assert (unknown.model, unknown.fallbacks) == ("small", ())


def test_a_cap_on_predicted_costs_does_not_depend_on_how_many_are_decided_together(
    made: RoutingPipeline,
) -> None:
    asks = [Ask(f"{'hard' if row % 3 else 'easy'} task1 query {row}") for row in range(40)]
    together, alone = (made.pacer(0.003, cap_usd=0.05) for _ in range(2))
    decided = [decision for decision, _ in made.pace(asks, together, settled=True)]
    one_by_one = [made.pace([ask], alone, settled=True)[0][0] for ask in asks]
    assert decided == one_by_one
    spent = sum(decision.predicted_cost_usd or 0.0 for decision in decided)
    assert spent == pytest.approx(together.state.spent_usd)
    assert together.state.held_usd == 0
    assert 0.04 < spent <= 0.05  # no call costs as much as 0.01 more than what was left


def test_the_pacer_leaves_no_place_for_a_control(made: RoutingPipeline) -> None:
    with pytest.raises(ConfigError, match="the pacer decides by its spend"):
        made.pace([Ask("x", control=Control(lambda_=1.0))], made.pacer(0.1))

"""Whether comparing answers would pay, on tables in which it is known."""

from dataclasses import replace

import pytest

from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.evaluation.diagnosis.checking import check_finding, family_of
from equirouter.evaluation.diagnosis.contents import CheckFinding
from equirouter.training.protocol import prepare
from tests.toys import HashingEncoder, make_answered_table


def found(table: Outcomes) -> CheckFinding | None:
    embeddings = HashingEncoder().encode(table.texts)
    prepared = prepare(table, embeddings, split_outcomes(table))
    return check_finding(table, prepared, seed=42, resamples=50)


def test_agreement_of_independent_errors_knows_much_that_the_router_does_not() -> None:
    check = found(make_answered_table())
    assert check is not None
    (pair,) = check.pairs
    assert (pair.models, pair.family) == (("one", "two"), None)
    assert pair.relative_cost == pytest.approx(0.03)
    # both right on .49, the same error on .3 * .3 / 50: they agree on .49 and are right there
    assert pair.agreed == pytest.approx(0.49, abs=0.05)
    assert pair.performance_agreed == pytest.approx(1.0, abs=0.01)
    assert pair.strongest_agreed == pytest.approx(0.95, abs=0.03)
    # of the right ones .7 agree, of the wrong ones hardly one: .7 + .3 / 2
    assert pair.agreement_auc == pytest.approx(0.85, abs=0.04)
    assert pair.beyond_router_auc == pytest.approx(0.85, abs=0.05)
    assert pair.router_auc == pytest.approx(0.5, abs=0.1)
    at = {each.quality: each for each in check.costs}[0.98]
    assert at.taken != "routing"
    assert at.saved is not None
    assert 0 < at.saved[0] < at.saved[1] < 1


def test_answers_that_are_no_texts_alike_know_nothing() -> None:
    table = make_answered_table()
    assert table.answers is not None
    rows = table.answers.to_lists()
    own = [[f"{answer} {model}" for model, answer in enumerate(row)] for row in rows]
    check = found(replace(table, answers=type(table.answers).of(own)))
    assert check is not None
    assert check.pairs[0].agreed == 0
    assert check.pairs[0].performance_agreed is None
    assert check.pairs[0].agreement_auc == 0.5
    assert {at.taken for at in check.costs} == {"routing"}


def test_without_answers_nothing_is_said() -> None:
    assert found(replace(make_answered_table(), answers=None)) is None


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt"),
        ("openai/gpt-3.5-turbo-0125", "gpt"),
        ("Meta-Llama-3.1-70B-Instruct", "llama"),
        ("meta-llama/Llama-3-8b", "llama"),
        ("claude-3-5-haiku", "claude"),
        ("Qwen2.5-72B", "qwen"),
        ("4711", "4711"),
    ],
)
def test_the_family_of_a_model_is_in_its_name(model: str, family: str) -> None:
    assert family_of(model) == family

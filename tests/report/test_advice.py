"""What is advised about routers on the queries that they were fitted on."""

from types import SimpleNamespace
from typing import cast

import pytest

from equirouter.evaluation.diagnosis.contents import (
    CheckFinding,
    CostsSaved,
    Diagnosis,
    PairFinding,
    TrainedHere,
)
from equirouter.report.advice import _check, _in_sample, _text_free


def made(**shares: tuple[float, float]) -> Diagnosis:
    """A diagnosis of which only the shares in-sample and held out are known."""
    found = tuple(TrainedHere(name, *both, 0.5, 0.5) for name, both in shares.items())
    table = SimpleNamespace(strongest="large")
    return cast("Diagnosis", SimpleNamespace(in_sample=found, table=table))


def test_only_routers_that_call_it_less_are_said_to_do_so() -> None:
    said = _in_sample(made(mlp=(0.86, 0.69), knn=(0.5, 1.0)))
    assert said is not None
    less, _, others = said.partition("Others call it as much there: ")
    assert "knn 50.0 % (unseen queries 100.0 %)" in less
    assert "mlp" not in less
    assert others == "mlp 86.0 % (unseen queries 69.0 %)."


@pytest.mark.parametrize(
    ("both", "words"), [((0.9, 0.9), "as much: knn"), ((0.5, 0.9), "less: knn")]
)
def test_one_router_is_one_or_the_other(both: tuple[float, float], words: str) -> None:
    said = _in_sample(made(knn=both))
    assert said is not None
    assert words in said
    assert "Others" not in said


def test_nothing_is_said_where_unseen_queries_do_not_collapse() -> None:
    assert _in_sample(made(knn=(0.9, 0.3))) is None


def beside(**intervals: tuple[float, float] | None) -> Diagnosis:
    """Routers whose cost at 98 % is known beside that of mixture; they differ in this alone."""
    routers = tuple(
        SimpleNamespace(name=name, utility_cost_at_98=0.5, cost_minus_text_free={"0.98": interval})
        for name, interval in intervals.items()
    )
    return cast("Diagnosis", SimpleNamespace(routers=routers, text_free={"0.98": "mixture"}))


def test_reading_pays_where_the_paired_cost_is_clearly_lower() -> None:
    said = _text_free(beside(knn=(-0.3, -0.1), mlp=(-0.2, 0.1)))
    assert said is not None
    assert "Reading the query pays" in said
    assert "knn [-0.300, -0.100] at 98 % against mixture" in said
    assert "mlp" not in said


def test_no_router_is_said_to_pay_within_the_interval() -> None:
    said = _text_free(beside(mlp=(-0.2, 0.1)))
    assert said is not None
    assert "No router is clearly cheaper at equal quality than what reads no text" in said
    assert "[-0.200, +0.100] at 98 % against mixture" in said
    assert _text_free(beside(mlp=None)) is None, "without intervals nothing is said"


def checked(taken: str, saved: tuple[float, float] | None, family: str | None = None) -> Diagnosis:
    """What is known of checks at one quality, 0.6 of the cost by routing and 0.4 by the rule."""
    pair = PairFinding(("a", "b"), family, 0.1, 0.6, 0.9, 0.9, 0.7, 0.8, 0.75)
    check = CheckFinding(500, (pair,), (CostsSaved(0.98, 0.6, 0.4, None, taken, saved),), ("why",))
    return cast("Diagnosis", SimpleNamespace(check=check))


def test_a_check_pays_where_the_interval_is_above_zero() -> None:
    said = _check(checked("rule", (0.1, 0.3)))
    assert said is not None
    assert "pays here: 98% of the strongest model's performance costs 60.0 % of its cost" in said
    assert "0.200 less by the agreement rule (95 % interval of what is saved: [+0.100" in said
    for unsure in ((-0.1, 0.3), None):
        assert "may pay here" in str(_check(checked("rule", unsure)))
    assert "of one family" not in said
    assert "a and b are of one family" in str(_check(checked("rule", None, "gpt")))


def test_a_check_that_is_not_taken_is_not_shown_to_pay() -> None:
    assert _check(checked("routing", None)) == (
        "Comparing the answers of two cheap models is not shown to pay here: why."
    )
    assert _check(cast("Diagnosis", SimpleNamespace(check=None))) is None

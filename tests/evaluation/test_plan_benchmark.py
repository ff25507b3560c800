"""`bench --policy plan`: all calls of a plan are paid for, and agreeing answers save money."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from equirouter import benchmark
from equirouter.encoders.lexical import LexicalEncoder
from equirouter.errors import DataError
from equirouter.evaluation.plan_figures import figures_of
from equirouter.policy.plan import Replayed
from equirouter.registry import ROUTERS
from equirouter.routers import make_router
from tests.toys import make_answered_table


def test_two_that_agree_save_money_and_all_calls_are_paid(tmp_path: Path) -> None:
    encoder = LexicalEncoder(dimension=64)
    options = {"routers": ["factors"], "n_seeds": 1, "resamples": 0}
    made = benchmark(make_answered_table(), encoder, policy="plan", out=tmp_path, **options)  # type: ignore[arg-type]
    routed = benchmark(make_answered_table(), encoder, policy="utility", **options)  # type: ignore[arg-type]
    # With the strongest on the 0.51 on which they differ: 0.03 + 0.51, and no quality is lost.
    cost, usual = (each["factors"].cost_at_quality.root["0.98"].mean for each in (made, routed))
    assert cost is not None
    assert usual is not None
    assert cost < 0.65 < 0.8 < usual
    curve = made.curves["factors"]
    assert curve.calls is not None
    assert curve.rounds is not None
    assert 1.0 <= min(curve.calls) < 2.0 < max(curve.calls) <= 3.0
    assert max(curve.rounds) <= 2.0
    assert curve.escalated is not None
    assert curve.wrongly_accepted is not None
    np.testing.assert_allclose(curve.rounds, 1.0 + np.array(curve.escalated))
    assert max(curve.wrongly_accepted) < 0.02  # .3 * .3 / 50 agree on an error
    assert made.curves["oracle"].calls is None
    log = pq.read_table(tmp_path / "decisions.parquet").to_pydict()
    rows = [i for i, name in enumerate(log["router"]) if name == "factors"]
    paid = np.array([log["cost_usd"][i] for i in rows]).reshape(100, -1).mean(axis=1)
    np.testing.assert_allclose(paid, curve.cost_usd)
    assert made.protocol.read_at == "the operating points"


def test_every_router_is_measured_under_plans() -> None:
    table = make_answered_table(300)  # 120 of them train and validate, so the rule alone compares
    table = replace(table, model_descriptions=("a small one", "another", "the strong one"))
    specs = [
        f"{name}:epochs=1" if "epochs" in router.settings else name
        for name in ROUTERS.names()
        if not (router := make_router(name)).is_anchor
    ]
    options = {"routers": specs, "n_seeds": 1, "resamples": 0}
    made = benchmark(table, LexicalEncoder(dimension=64), policy="plan", **options)  # type: ignore[arg-type]
    for spec in specs:
        calls = made.curves[spec].calls
        assert calls is not None
        # the router knows nothing here: at some price the pair is asked, and the third on .51
        assert min(calls) == 1.0
        assert max(calls) == pytest.approx(2.51, abs=0.1)


def test_it_is_said_why_there_are_no_plans() -> None:
    few = make_answered_table(900)  # 360 of them train and validate
    encoder = LexicalEncoder(dimension=64)
    made = benchmark(few, encoder, routers=["factors"], policy="plan", n_seeds=1, resamples=0)
    said = "answers are compared by the agreement rule alone: 360 labelled queries: plans need 400"
    assert f"plans of factors, seed 42: {said}" in made.outcomes.notes
    assert made.checks["factors"].check_auc.mean is None


def test_a_table_without_answers_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(DataError, match="policy plan compares the answers of models"):
        benchmark(
            replace(make_answered_table(), answers=None),
            LexicalEncoder(dimension=64),
            policy="plan",
        )


def test_anchors_that_compare_and_what_the_check_knows() -> None:
    table = make_answered_table()
    n = table.n_queries
    tokens = np.tile([100.0, 30.0, 200.0], (n, 1))
    table = replace(table, input_tokens=tokens, output_tokens=tokens)
    encoder = LexicalEncoder(dimension=64)
    options = {"routers": ["factors"], "n_seeds": 1, "resamples": 20}
    made = benchmark(table, encoder, policy="plan", **options)  # type: ignore[arg-type]
    agree, oracle = made.anchors["agree"], made.anchors["oracle-check"]
    # .49 agree and are right, else the strongest, which is right on .95: above it, at .03 + .51
    assert agree.peak_quality.mean == pytest.approx(1.025, abs=0.02)
    assert agree.peak_cost_usd.mean == pytest.approx(0.54, abs=0.03)
    # one of the two is right on .91; the strongest is asked on .09 * .95
    assert oracle.peak_score.mean == pytest.approx(0.91 + 0.09 * 0.95, abs=0.02)
    assert oracle.peak_cost_usd.mean == pytest.approx(0.03 + 0.09 * 0.95, abs=0.02)
    curve = made.curves["agree"]
    assert curve.output_tokens_p50 in ((100,), (300,))  # about half of them are escalated
    assert curve.output_tokens_p95 == (300,)  # 100 beside 30, then 200
    for row in (agree, oracle, made["factors"]):
        assert row.rci.mean is None
        assert row.rci_at_quality["0.98"].mean is None
    assert made.curves["agree"].rci is None
    assert made.paired["factors"]["agree"].rci is None
    assert "0.98" in made.paired["factors"]["agree"].cost_at_quality
    assert made.anchors["random"].rci.mean is not None
    check = made.checks["factors"]
    assert check.pairs == (("one", "two"),)
    # of the right ones .7 agree, of the wrong ones hardly one: .7 + .3 / 2; the router knows
    # nothing
    assert check.agreement_auc.mean == pytest.approx(0.85, abs=0.04)
    assert check.check_beyond.mean == pytest.approx(0.85, abs=0.05)
    assert check.router_auc.mean is not None
    assert check.router_auc.mean < 0.6
    assert type(made).model_validate(made.to_json()) == made


def test_without_a_cheap_pair_no_anchor_compares() -> None:
    table = make_answered_table(300)
    expensive = replace(table, cost_usd=np.tile([0.3, 0.3, 1.0], (300, 1)))
    options = {"routers": ["factors"], "n_seeds": 1, "resamples": 0}
    made = benchmark(expensive, LexicalEncoder(dimension=64), policy="plan", **options)  # type: ignore[arg-type]
    assert "agree" not in made.anchors
    assert made.checks == {}
    assert made.curves["factors"].calls == (1.0,) * 100


def test_figures_of_a_replay_by_hand() -> None:
    asked = np.array([[[0, -1, -1]], [[0, 1, -1]], [[0, 1, 2]], [[0, 1, -1]]])
    served = np.array([[0], [1], [2], [0]])
    made = Replayed(served, asked, np.zeros((4, 1)))
    performance = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1], [1, 0, 0]])
    tokens = np.tile([10.0, 20.0, 100.0], (4, 1))
    found = figures_of(made, performance.astype(float), 2, tokens)
    assert {name: values.tolist() for name, values in found.items()} == {
        "calls": [2.0],  # 1, 2, 3, 2
        "rounds": [1.25],
        "escalated": [0.25],
        "wrongly_accepted": [0.25],  # the second; the first was asked alone
        "output_tokens_p50": [20.0],  # 10, 20, 120, 20
        "output_tokens_p95": [pytest.approx(105.0)],  # 0.85 of the way from 20 to 120
    }
    tokens[2, 2] = np.nan
    assert "output_tokens_p50" not in figures_of(made, performance.astype(float), 2, tokens)

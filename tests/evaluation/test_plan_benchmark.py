"""`bench --policy plan`: all calls of a plan are paid for, and agreeing answers save money."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from equirouter import benchmark
from equirouter.encoders.lexical import LexicalEncoder
from equirouter.errors import DataError
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
    assert made.curves["oracle"].calls is None
    log = pq.read_table(tmp_path / "decisions.parquet").to_pydict()
    rows = [i for i, name in enumerate(log["router"]) if name == "factors"]
    paid = np.array([log["cost_usd"][i] for i in rows]).reshape(100, -1).mean(axis=1)
    np.testing.assert_allclose(paid, curve.cost_usd)
    assert made.protocol.read_at == "the operating points"


def test_it_is_said_why_there_are_no_plans() -> None:
    few = make_answered_table().take(range(900))  # 360 of them train and validate
    encoder = LexicalEncoder(dimension=64)
    made = benchmark(few, encoder, routers=["factors"], policy="plan", n_seeds=1, resamples=0)
    assert "plans of factors, seed 42: 360 labelled queries: plans need 400" in made.outcomes.notes
    assert made.curves["factors"].calls == (1.0,) * 100


def test_a_table_without_answers_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(DataError, match="policy plan compares the answers of models"):
        benchmark(
            replace(make_answered_table(), answers=None),
            LexicalEncoder(dimension=64),
            policy="plan",
        )

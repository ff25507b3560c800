"""Models that have queries in common, and the choice of models of a table."""

from pathlib import Path

import numpy as np
import pytest

from equirouter.data import Outcomes, load_dataset, read_table, split_outcomes
from equirouter.data.pools import pool_advice, working_pools
from equirouter.errors import ConfigError, DataError

NAN = float("nan")


def table(known: dict[str, range], n: int) -> Outcomes:
    """A table of n queries in which each model is known on a range of them."""
    cells = np.full((n, len(known)), NAN)
    for column, rows in enumerate(known.values()):
        cells[list(rows), column] = 1.0
    return Outcomes(
        query_ids=tuple(f"q{i}" for i in range(n)),
        texts=tuple(f"text {i}" for i in range(n)),
        tasks=("t",) * n,
        models=tuple(known),
        performance=cells,
        cost_usd=cells,
        name="mine",
    )


# a and b are known on all 200, c on the first 120, d on the last 80, e on 10 only
PARTLY = table(
    {"a": range(200), "b": range(200), "c": range(120), "d": range(120, 200), "e": range(10)}, 200
)


def test_the_largest_pools_with_queries_in_common() -> None:
    # three models on 120 queries are the most models, and 360 cells; two on 200 have 400 cells
    assert [(pool.models, pool.n_queries) for pool in working_pools(PARTLY)] == [
        (("a", "b", "c"), 120),
        (("a", "b"), 200),
    ]


def test_a_refused_table_names_sparse_models_and_pools_that_work() -> None:
    with pytest.raises(DataError) as caught:
        split_outcomes(PARTLY)
    message = str(caught.value)
    assert "0 of 200 queries have the outcome of every model" in message
    assert "Known on the fewest queries: e (10), d (80), c (120)." in message
    assert "3 models with 120 queries: --exclude-models d,e" in message
    assert "2 models with 200 queries: --models a,b" in message
    with pytest.raises(DataError, match="2 models with 200 queries: --models a,b"):
        PARTLY.describe()
    for pool in working_pools(PARTLY):
        chosen = PARTLY.choose_models(pool.models)
        assert int(chosen.is_complete.sum()) == pool.n_queries
        split_outcomes(chosen)


def test_a_pool_of_all_models_is_no_advice() -> None:
    advice = pool_advice(table({"a": range(100), "b": range(98)}, 100))
    assert advice == "Known on the fewest queries: b (98)."


def test_models_without_a_query_in_common_have_no_pool() -> None:
    apart = table({"a": range(50), "b": range(50, 100)}, 100)
    assert working_pools(apart) == []
    with pytest.raises(DataError, match="No two models have 20 queries in common: run the models"):
        split_outcomes(apart)


def test_outcomes_missing_at_random_leave_a_pool() -> None:
    rng = np.random.default_rng(0)
    cells = np.where(rng.random((400, 8)) < 0.3, NAN, 1.0)
    cells[:, 0] = np.where(rng.random(400) < 0.9, NAN, 1.0)
    whole = load_dataset("simulated:n_queries=400")
    scattered = Outcomes(
        query_ids=whole.query_ids,
        texts=whole.texts,
        tasks=whole.tasks,
        models=whole.models[:8],
        performance=cells,
        cost_usd=cells,
    )
    pools = working_pools(scattered)
    # seven models at 0.7 each: 0.7 ** 7 * 400 = 33 complete queries
    assert len(pools[0].models) == 7
    assert scattered.models[0] not in pools[0].models
    for pool in pools:
        assert pool.n_queries >= 20
        assert scattered.choose_models(pool.models).is_complete.sum() == pool.n_queries


def test_chosen_models_and_the_queries_that_they_have() -> None:
    chosen = PARTLY.choose_models(["e", "c"])
    assert chosen.models == ("e", "c")
    assert chosen.query_ids == PARTLY.query_ids[:120]
    assert chosen.notes == (
        "2 of 5 models were chosen; 80 queries without an outcome of them left out",
    )
    assert PARTLY.choose_models(exclude=["e"]).models == ("a", "b", "c", "d")
    assert PARTLY.choose_models() is PARTLY


def test_models_that_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match="mine: there is no model 'aa'; did you mean 'a'"):
        PARTLY.choose_models(["aa", "b"])
    with pytest.raises(ConfigError, match="there is no model 'x'; it has a, b, c, d, e"):
        PARTLY.choose_models(exclude=["x"])
    with pytest.raises(ConfigError, match="'a' is named twice"):
        PARTLY.choose_models(["a", "a"])
    with pytest.raises(ConfigError, match="mine: 1 model of 5 would be left"):
        PARTLY.choose_models(["a", "b"], exclude=["b"])


def test_a_real_table_of_pools_that_overlap(shared_data: Path) -> None:
    outcomes = read_table(shared_data / "zeroeval_all.parquet")
    pools = working_pools(outcomes)
    assert [(len(pool.models), pool.n_queries) for pool in pools] == [(51, 800), (30, 2825)]
    with pytest.raises(DataError, match=r"fewest queries: Meta-Llama-3.1-70B-Instruct@hyperbolic"):
        split_outcomes(outcomes)

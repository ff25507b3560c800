"""A diagnosis as a whole: the facts of its table, and the tables that it refuses."""

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.evaluation.diagnosis.measuring import diagnose
from tests.toys import HashingEncoder, make_log, make_table


def test_a_log_with_few_complete_queries_is_refused_with_the_way_out() -> None:
    log = make_log(make_table(200, incomplete=0), 0.3)
    with pytest.raises(DataError, match="needed to say why routing pays or does not"):
        diagnose(log, HashingEncoder())


def test_facts_of_the_table_are_those_of_its_complete_queries() -> None:
    table = make_table(200, incomplete=40)
    facts = diagnose(table, HashingEncoder(), routers=["knn:k=5"], resamples=0).table
    rows = [
        (scores, costs)
        for scores, costs in zip(table.performance.tolist(), table.cost_usd.tolist(), strict=True)
        if not np.isnan(costs).any()
    ]
    assert len(rows) == 160
    alike = sum(len(set(scores)) == 1 for scores, _ in rows)
    tied = sum(scores.count(max(scores)) > 1 for scores, _ in rows)
    best = [min((-score, cost) for score, cost in zip(*row, strict=True)) for row in rows]
    assert (facts.strongest, facts.cheapest) == ("large", "small")
    assert 0 < facts.all_alike == pytest.approx(alike / 160)
    assert facts.margins[0.0] == pytest.approx(tied / 160)
    assert facts.oracle_performance == pytest.approx(-sum(score for score, _ in best) / 160)
    assert facts.oracle_relative_cost == pytest.approx(
        sum(cost for _, cost in best) / sum(costs[2] for _, costs in rows)
    )
    assert facts.oracle_without_strongest == pytest.approx(
        sum(max(scores[:2]) for scores, _ in rows) / 160
    )

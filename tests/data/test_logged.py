"""What means are taken over: complete rows, or a log's, weighted by the chances of its outcomes."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter.data.logged import cell_weights, effective_queries, effective_size, estimated
from equirouter.data.outcomes import Outcomes
from tests.toys import make_log, make_table

NAN = float("nan")


def table(
    performance: list[list[float]], propensity: list[list[float]] | None, cost: float = 1.0
) -> Outcomes:
    known = np.array(performance)
    n = len(known)
    return Outcomes(
        query_ids=tuple(map(str, range(n))),
        texts=tuple(f"query {row}" for row in range(n)),
        tasks=("all",) * n,
        models=("small", "large"),
        performance=known,
        cost_usd=np.where(np.isnan(known), NAN, cost),
        propensity=None if propensity is None else np.array(propensity),
    )


LOG = table(
    [[1, NAN], [NAN, 0], [NAN, 1], [NAN, NAN], [1, 1]],
    [[0.5, 0.5], [0.75, 0.25], [0.0, 1.0], [0.5, 0.5], [NAN, NAN]],
)
"""Of one query each is known, then one of the large model; the third could not go to the small one,
of the fourth nothing is known, the last is complete."""


def test_weights_by_hand() -> None:
    assert cell_weights(LOG).tolist() == [[2, 0], [0, 4], [0, 1], [0, 0], [1, 1]]
    assert effective_size(np.array([2.0, 4.0])) == pytest.approx(36 / 20)
    assert effective_queries(np.array([[1, 2], [1, 4]])) == pytest.approx(36 / 20)


def test_rows_of_a_log_count_where_they_tell_more_than_complete_ones() -> None:
    # small is known with weights 2 and 1, large with 4 and 1: 9 / 5 and 25 / 17 queries, and 1 is
    # complete
    assert LOG.is_measured.tolist() == [True, True, False, False, True]
    many = table([[1, NAN], [1, 1], [0, 0]], [[0.1, 0.9], [NAN, NAN], [NAN, NAN]])
    # small 12^2 / 102 = 1.4 queries, less than 2 complete ones
    assert many.is_measured.tolist() == [False, True, True]
    assert table([[1, NAN], [1, 0]], None).is_measured.tolist() == [False, True]


def test_estimates_by_hand() -> None:
    # means of small (2 + 1) / 3 = 1, of large (4 * 0 + 1 * 1 + 1) / 6 = 1 / 3
    third = 1 / 3
    assert estimated(LOG, LOG.performance, None) == pytest.approx(
        np.array([[1, third], [1, third - 4 * third], [NAN] * 2, [NAN] * 2, [1, 1]]), nan_ok=True
    )
    told = np.full((5, 2), 0.5)
    assert estimated(LOG, LOG.performance, told)[:2] == pytest.approx(
        np.array([[0.5 + 2 * 0.5, 0.5], [0.5, 0.5 - 4 * 0.5]])
    )


def test_means_of_a_log_are_those_of_all_queries() -> None:
    world = make_table(6000, incomplete=0)
    log = make_log(world, 0.3)
    for told, true in zip(log.means(), world.means(), strict=True):
        assert told == pytest.approx(true, abs=0.04)
    assert log.models[log.strongest] == "large"
    described = log.describe()
    assert (described.n_complete, described.n_logged) == (0, 6000)
    assert described.tie_rate is None
    assert "ties and the oracle: not known" in str(described)
    plain = replace(log, propensity=None)  # each model on its own queries alone
    assert not plain.is_measured.any()

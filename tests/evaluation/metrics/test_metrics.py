"""The listing of the metrics, and what each says of itself."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from equirouter.evaluation.metrics import COLUMNS, METRICS, RouterMetrics, SweepMeans
from equirouter.evaluation.metrics.base import Direction

# two samples of a sweep with three points, of two models; the second model is the strongest
MEANS = SweepMeans(
    reference=1,
    swept_collapse=np.array([[0.4, 0.3, 0.2], [0.6, 0.5, 0.1]]),
    model_performance=np.array([[0.5, 0.8], [0.5, 0.8]]),
    model_cost_usd=np.array([[1.0, 4.0], [1.0, 4.0]]),
    call_share=np.array([[0.7, 0.3], [0.2, 0.8]]),
    orbit_collapse=np.array([[0.9], [0.7]]),
    reference_collapse=np.array([[0.6], [0.7]]),
    performance=np.array([[0.5, 0.75, 0.79], [0.5, 0.8, 0.9]]),
    cost_usd=np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]),
    collapse=np.array([[0.4, 0.3, 0.2], [0.6, 0.5, 0.1]]),
)
NEVER = np.nan


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nauc", [(0.625 + 0.77) / 2, (0.65 + 0.85) / 2]),
        # from always the first model, 0.5 at cost 1, to always the second, 0.8 at 4; in the second
        # sample the 0.9 at cost 3 counts for all that costs more
        ("nauc_common", [(0.625 + 0.77 + 0.795) / 3, (0.65 + 0.85 + 0.9) / 3]),
        # each point is on the front; always the second costs 4, where the last performance is added
        ("nauc_orbit", [(0.625 + 0.77 + 0.79) / 4, (0.65 + 0.85 + 0.9) / 4]),
        ("peak_score", [0.79, 0.9]),
        ("peak_cost_usd", [3.0, 3.0]),
        ("qnc", [NEVER, 2.0 / 4.0]),  # 0.8 is reached in the second sample, at cost 2
        ("rci", [0.2, 0.1]),
        ("rci_mean", [0.3, 0.4]),
        ("rci_orbit", [0.9, 0.7]),
        ("peak_quality", [0.79 / 0.8, 0.9 / 0.8]),
        ("strongest_share", [0.3, 0.8]),
        ("call_share", [[0.7, 0.3], [0.2, 0.8]]),
    ],
)
def test_a_metric_by_hand(name: str, expected: list[float]) -> None:
    values = METRICS[name].values(MEANS)
    assert isinstance(values, np.ndarray)
    np.testing.assert_allclose(values, np.array(expected))


def test_metrics_at_a_quality_by_hand() -> None:
    # 98 % of 0.8 is 0.784: the first sample has it at cost 3, the second at 2; 90 % is 0.72
    costs, collapse = (METRICS[f"{name}_at_quality"].values(MEANS) for name in ("cost", "rci"))
    assert isinstance(costs, dict)
    assert isinstance(collapse, dict)
    # in the first sample only always calling the second model has all of its performance
    np.testing.assert_allclose(costs["1.00"], [1.0, 0.5])
    np.testing.assert_allclose(collapse["1.00"], [0.6, 0.5])
    np.testing.assert_allclose(costs["0.98"], [0.75, 0.5])
    np.testing.assert_allclose(costs["0.90"], [0.5, 0.5])
    np.testing.assert_allclose(collapse["0.98"], [0.2, 0.5])


def test_qualities_are_shares_of_the_reference_also_where_another_model_is_stronger() -> None:
    # of the first model's 0.5 all is there at cost 1, which is what always calling it costs
    means = replace(MEANS, reference=0)
    costs = METRICS["cost_at_quality"].values(means)
    assert isinstance(costs, dict)
    np.testing.assert_allclose(costs["1.00"], [1.0, 1.0])
    expected = {"peak_quality": [0.79 / 0.5, 0.9 / 0.5], "strongest_share": [0.7, 0.2]}
    expected["qnc"] = [NEVER, 0.5]  # the paper's: of the model that is strongest in the sample
    for name, values in expected.items():
        np.testing.assert_allclose(np.asarray(METRICS[name].values(means)), values)


def test_no_quality_costs_more_than_always_calling_the_reference() -> None:
    # all of the curve costs more than the second model, which is the reference
    means = replace(MEANS, cost_usd=MEANS.cost_usd + 4.0, performance=MEANS.performance + 0.1)
    costs = METRICS["cost_at_quality"].values(means)
    assert isinstance(costs, dict)
    assert all((cost == 1.0).all() for level, cost in costs.items() if level != "1.02")
    assert np.asarray(METRICS["qnc"].values(means))[1] == 6.0 / 4.0  # its own curve


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_has_a_docstring_and_a_direction(name: str) -> None:
    metric = METRICS[name]
    assert metric.direction in get_args(Direction)
    assert len((type(metric).__doc__ or "").splitlines()[0]) > 30
    assert RouterMetrics.model_fields[name].is_required()


def test_the_columns_of_the_tables_are_those_of_the_metrics() -> None:
    assert [column.heading.replace("\n", " ") for column in COLUMNS] == [
        *("nAUC ↑", "P_s ↑", "QNC ↓", "RCI ↓", "cost at 98 % ↓", "cost at 95 % ↓"),
        "strongest calls",
    ]
    for column in COLUMNS:
        assert column.direction == METRICS[column.metric].direction
        assert column.least_quality == ("0.95" if column.metric == "rci" else None)

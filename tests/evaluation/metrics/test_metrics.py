"""The listing of the metrics, and what each says of itself."""

from typing import get_args

import numpy as np
import pytest

from equirouter.evaluation.metrics import COLUMNS, METRICS, RouterMetrics, SweepMeans
from equirouter.evaluation.metrics.base import Direction

# two samples of a sweep with three points, of two models; the second model is the strongest
MEANS = SweepMeans(
    swept_collapse=np.array([[0.4, 0.3, 0.2], [0.6, 0.5, 0.1]]),
    model_performance=np.array([[0.5, 0.8], [0.5, 0.8]]),
    model_cost_usd=np.array([[1.0, 4.0], [1.0, 4.0]]),
    call_share=np.array([[0.7, 0.3], [0.2, 0.8]]),
    orbit_collapse=np.array([[0.9], [0.7]]),
    performance=np.array([[0.5, 0.75, 0.79], [0.5, 0.8, 0.9]]),
    cost_usd=np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]),
    collapse=np.array([[0.4, 0.3, 0.2], [0.6, 0.5, 0.1]]),
)
NEVER = np.nan


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nauc", [(0.625 + 0.77) / 2, (0.65 + 0.85) / 2]),
        ("peak_score", [0.79, 0.9]),
        ("peak_cost_usd", [3.0, 3.0]),
        ("qnc", [NEVER, 2.0 / 4.0]),  # 0.8 is reached in the second sample, at cost 2
        ("rci", [0.2, 0.1]),
        ("rci_mean", [0.3, 0.4]),
        ("rci_orbit", [0.9, 0.7]),
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
    np.testing.assert_allclose(costs["1.00"], [NEVER, 0.5])
    np.testing.assert_allclose(costs["0.98"], [0.75, 0.5])
    np.testing.assert_allclose(costs["0.90"], [0.5, 0.5])
    np.testing.assert_allclose(collapse["0.98"], [0.2, 0.5])


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

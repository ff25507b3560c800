"""fig1."""

from xml.etree import ElementTree as ET

import pytest

from equirouter.paper.context import Context
from equirouter.paper.strongest_calls import _finding, strongest_share
from tests.paper.conftest import ROUTERS


def test_the_table_has_the_shares_of_the_benchmark(context: Context) -> None:
    section = strongest_share(context)
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert set(rows) == {"oracle", *ROUTERS}
    shares = context.bench().curves["knn:k=5"].call_share["large"]
    # 100 budgets: places 0 to 99, a quarter of the way is place 25 (24.75 rounded)
    assert rows["knn:k=5"] == tuple(shares[place] for place in (25, 50, 74, 99))


def test_the_figure_names_every_router(context: Context) -> None:
    figure = strongest_share(context).figures[0]
    assert ET.fromstring(figure.svg).tag.endswith("svg")  # noqa: S314  # our own file
    for name in ("oracle", *ROUTERS):
        assert f"<!-- {name} -->".encode() in figure.svg
    assert strongest_share(context).figures[0].svg == figure.svg


@pytest.mark.parametrize(
    ("knn", "mlp", "verdict"),
    [
        (0.95, 0.91, "reproduced"),
        (0.95, 0.5, "partly reproduced"),
        (0.2, 0.5, "not reproduced"),
    ],
)
def test_the_verdict_follows_from_the_largest_budget(knn: float, mlp: float, verdict: str) -> None:
    shares = {"oracle": [0.0, 0.03], "knn": [0.0, knn], "mlp": [0.0, mlp], "equirouter": [0.0, 1.0]}
    found, text = _finding(shares, "large")
    assert found == verdict
    assert "oracle sends 3.0 %" in text
    assert "equirouter 100.0 %" in text


def test_without_another_router_nothing_is_claimed() -> None:
    assert _finding({"oracle": [0.1], "equirouter": [0.9]}, "large")[0] == "not tested"

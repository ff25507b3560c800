"""The verdict of table1 on made results: who leads, and what does not count as leading."""

from typing import Any

import pytest

from equirouter.paper.main_table import _finding


def entry(nauc: float, qnc: float | None, rci: float, cost_at_95: float | None = 0.5) -> Any:
    """One seed of a router; None was never reached."""

    def one(value: Any) -> dict[str, Any]:
        return {"mean": value, "low": value, "high": value, "per_seed": [value]}

    costs = {"1.00": qnc, "0.98": cost_at_95, "0.95": cost_at_95}
    return {
        "nauc": one(nauc),
        "qnc": one(qnc),
        "rci": one(rci),
        "cost_at_quality": one(costs),
    }


def verdict(own: Any, rival: Any) -> tuple[str, str]:
    routers = {"equirouter:paper": own, "knn": rival}
    return _finding({"routers": routers, "outcomes": {"strongest": "large"}})


@pytest.mark.parametrize(
    ("own", "rival", "expected"),
    [
        (entry(0.8, 0.7, 0.6), entry(0.7, 0.9, 0.7), "reproduced"),  # leads in all three
        (entry(0.8, 0.9, 0.7), entry(0.7, 0.8, 0.6), "partly reproduced"),  # in nAUC alone
        (entry(0.6, 0.9, 0.7), entry(0.7, 0.8, 0.6), "not reproduced"),  # in none
    ],
)
def test_leading_in_all_some_or_none(own: Any, rival: Any, expected: str) -> None:
    assert verdict(own, rival)[0] == expected


def test_a_low_rci_below_the_quality_does_not_count() -> None:
    # always a cheap model: RCI 0.3, but 95 % of the strongest's quality is never reached
    found, text = verdict(entry(0.6, None, 0.3, cost_at_95=None), entry(0.7, 0.8, 0.6))
    assert found == "not reproduced"
    assert "so it does not count" in text
    assert "QNC / (not reached in every seed" in text


def test_without_a_rival_nothing_is_claimed() -> None:
    results = {
        "routers": {"equirouter:paper": entry(0.8, 0.7, 0.6)},
        "outcomes": {"strongest": "large"},
    }
    assert _finding(results)[0] == "not tested"

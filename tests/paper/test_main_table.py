"""The verdict of table1 on made results: who leads, and what does not count as leading."""

import copy
from typing import Any

import numpy as np
import pytest

from equirouter.data.outcomes import Outcomes
from equirouter.evaluation.results import Results
from equirouter.paper.main_table import _finding, is_best_on_every_task
from tests.results_document import Document, build_document, made


def entry(nauc: float, qnc: float | None, rci: float, peak_quality: float = 0.97) -> Document:
    """One seed of a router; None was never reached."""

    def figure(value: Any) -> Document:
        return {"mean": value, "low": value, "high": value, "per_seed": [value]}

    costs = dict.fromkeys(("1.02", "1.00", "0.99", "0.98", "0.95", "0.90"), 0.5)
    return {
        "nauc": figure(nauc),
        "peak_quality": figure(peak_quality),
        "qnc": figure(qnc),
        "rci": figure(rci),
        "cost_at_quality": figure(costs),
    }


def results_of(routers: dict[str, Document]) -> Results:
    """Results with these routers and no others."""
    document = copy.deepcopy(build_document())
    for group in ("routers", "curves", "calibration", "paired"):
        like = document[group].pop("knn")
        for name in ("mlp", "equirouter"):
            del document[group][name]
        document[group] |= {name: copy.deepcopy(like) for name in routers}
    for name, figures in routers.items():
        document["routers"][name] |= figures
        for others in document["paired"].values():
            others[name] = copy.deepcopy(others["knn"])
    return made(document)


def verdict(own: Document, rival: Document, *, qnc_can_tell: bool = True) -> tuple[str, str]:
    results = results_of({"equirouter:original": own, "knn": rival})
    return _finding(results, qnc_can_tell=qnc_can_tell)


@pytest.mark.parametrize(
    ("own", "rival", "expected"),
    [
        (entry(0.8, 0.7, 0.6), entry(0.7, 0.9, 0.7), "reproduced"),  # leads in all three
        (entry(0.8, 0.9, 0.7), entry(0.7, 0.8, 0.6), "partly reproduced"),  # in nAUC alone
        (entry(0.6, 0.9, 0.7), entry(0.7, 0.8, 0.6), "not reproduced"),  # in none
    ],
)
def test_leading_in_all_some_or_none(own: Document, rival: Document, expected: str) -> None:
    assert verdict(own, rival)[0] == expected


def test_a_low_rci_below_the_quality_does_not_count() -> None:
    # always a cheap model: RCI 0.3, but 95 % of the strongest's quality is never reached
    found, text = verdict(entry(0.6, None, 0.3, peak_quality=0.9), entry(0.7, 0.8, 0.6))
    assert found == "not reproduced"
    assert "so it does not count" in text
    assert "QNC / (not reached in every seed" in text


def test_a_qnc_that_cannot_tell_does_not_count() -> None:
    # ahead in nAUC and RCI; QNC is never reached, and says nothing where no task has a better model
    own, rival = entry(0.8, None, 0.6), entry(0.7, 0.8, 0.7)
    assert verdict(own, rival)[0] == "partly reproduced"
    found, text = verdict(own, rival, qnc_can_tell=False)
    assert found == "reproduced"
    assert "QNC is not testable here" in text


@pytest.mark.parametrize(("second_task", "expected"), [([0.4, 0.5], True), ([0.6, 0.5], False)])
def test_whether_the_strongest_is_the_best_on_every_task(
    second_task: list[float], expected: bool
) -> None:
    table = Outcomes(
        query_ids=("a", "b", "c"),
        texts=("a", "b", "c"),
        tasks=("easy", "easy", "hard"),
        models=("small", "large"),
        performance=np.array([[0.2, 1.0], [1.0, 1.0], second_task]),
        cost_usd=np.ones((3, 2)),
    )
    assert is_best_on_every_task(table) is expected


def test_without_a_rival_nothing_is_claimed() -> None:
    results = results_of({"equirouter:original": entry(0.8, 0.7, 0.6)})
    assert _finding(results)[0] == "not tested"

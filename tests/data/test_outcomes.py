"""Outcomes: what is refused, what stays as it is, and the figures of describe, by hand."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data import Outcomes
from equirouter.errors import DataError

NAN = float("nan")


def make(**changes: Any) -> Outcomes:
    """Three queries and two models, with some fields changed."""
    fields: dict[str, Any] = {
        "query_ids": ("a", "b", "c"),
        "texts": ("one", "two", "three"),
        "tasks": ("t", "t", "u"),
        "models": ("small", "large"),
        "performance": [[1.0, 1.0], [0.0, 1.0], [0.5, NAN]],
        "cost_usd": [[0.1, 0.5], [0.2, 0.7], [0.3, 0.9]],
    }
    return Outcomes(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"performance": [[1, 1], [0, 1.5], [1, 1]]}, ["'large'", "'b'", "row 1", "1.5", "0 to 1"]),
        ({"performance": [[1, 1], [0, np.inf], [1, 1]]}, ["'large'", "'b'", "row 1", "inf"]),
        ({"cost_usd": [[0, -2], [0, 0], [0, 0]]}, ["cost_usd", "'large'", "'a'", "row 0", "-2"]),
        ({"cost_usd": [[0, 0], [0, 0], [np.inf, 0]]}, ["cost_usd", "'small'", "'c'", "row 2"]),
        ({"performance": [[1, NAN], [1, NAN], [1, NAN]]}, ["'large'", "no performance"]),
        ({"cost_usd": [[NAN, 1], [NAN, 1], [NAN, 1]]}, ["'small'", "no cost_usd"]),
        ({"performance": [[1, 1], [0, 1]]}, ["performance", "(2, 2)", "(3, 2)"]),
        ({"cost_usd": [1, 2, 3]}, ["cost_usd", "(3,)", "(3, 2)"]),
        ({"query_ids": ("a", "b", "a")}, ["'a'", "twice", "rows 0 and 2"]),
        ({"query_ids": ("a", "", "c")}, ["query id ''", "rows 1"]),
        ({"models": ("x", "x")}, ["'x'", "twice", "columns 0 and 1"]),
        ({"texts": ("one", " \n", "three")}, ["'b'", "row 1", "text is empty"]),
        ({"texts": ("one", "\ud800", "three")}, ["'b'", "row 1", "not valid Unicode"]),
        ({"query_ids": ("a", "\ud800", "c")}, ["'\\ud800'", "rows 1", "not valid Unicode"]),
        ({"models": ("x", "\ud800")}, ["'\\ud800'", "columns 1", "not valid Unicode"]),
        ({"tasks": ("t", "\ud800", "u")}, ["'b'", "row 1", "task is not valid Unicode"]),
        ({"texts": ("one",)}, ["1 texts for 3"]),
        ({"tasks": ("t", "", "u")}, ["'b'", "row 1", "task is ''"]),
        ({"image_paths": ("x.png",)}, ["1 image_paths for 3"]),
        ({"model_descriptions": ("big",)}, ["1 descriptions for 2 models"]),
        ({"model_descriptions": ("big", " ")}, ["'large'", "description is ' '"]),
        ({"model_descriptions": ("\ud800", None)}, ["'small'", "description is not valid Unicode"]),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        make(**changes)
    for part in parts:
        assert part in str(caught.value)


def test_a_table_without_queries_or_models_is_refused() -> None:
    nothing: dict[str, Any] = {"query_ids": (), "texts": (), "tasks": ()}
    with pytest.raises(DataError, match="no rows"):
        make(**nothing, performance=np.empty((0, 2)), cost_usd=np.empty((0, 2)))
    with pytest.raises(DataError, match="no models"):
        make(models=(), performance=np.empty((3, 0)), cost_usd=np.empty((3, 0)))


def test_an_image_can_stand_for_a_text() -> None:
    assert make(texts=("", "two", "three"), image_paths=("x.png", None, None)).n_queries == 3


def test_another_performance_range_is_accepted_when_it_is_stated() -> None:
    table = make(performance=[[7, 8], [9, 10], [1, 2]], performance_range=(0.0, 10.0))
    assert table.performance.max() == 10


def test_an_unknown_outcome_stays_nan() -> None:
    table = make()
    assert np.isnan(table.performance[2, 1])
    assert table.is_complete.tolist() == [True, True, False]


def test_nobody_can_change_a_table() -> None:
    given = np.array([[1.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    table = make(performance=given)
    given[0, 0] = 0.25
    assert table.performance[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        table.performance[0, 0] = 0.5
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.name = "other"  # type: ignore[misc]


def test_describe_by_hand() -> None:
    table = make().describe()
    assert (table.n_queries, table.n_models, table.n_tasks, table.n_complete) == (3, 2, 2, 2)
    assert (table.missing_performance, table.missing_cost) == (1, 0)
    # Over the complete rows a and b: small (1 + 0) / 2, large (1 + 1) / 2.
    assert table.mean_performance == (0.5, 1.0)
    # Costs: small (0.1 + 0.2) / 2, large (0.5 + 0.7) / 2.
    assert table.mean_cost_usd == pytest.approx((0.15, 0.6))
    assert (table.strongest, table.cheapest) == ("large", "small")
    assert table.tie_rate == 0.5  # a ties, b does not
    # The oracle takes small on a (a tie, the cheaper: 0.1) and large on b (0.7).
    assert table.oracle_performance == 1.0
    assert table.oracle_cost_usd == pytest.approx((0.1 + 0.7) / 2)
    assert table.oracle_call_share == (0.5, 0.5)
    assert table.task_sizes == {"t": 2, "u": 1}


def test_describe_needs_a_complete_row() -> None:
    table = make(performance=[[1, NAN], [NAN, 1], [1, NAN]])
    with pytest.raises(DataError, match="no query has the outcome of every model"):
        table.describe()


def test_equal_means_go_to_the_cheaper_and_to_the_stronger() -> None:
    same = make(performance=[[1, 1], [0, 0], [1, 1]])
    assert same.models[same.strongest] == "small"
    free = make(performance=[[0, 1], [0, 1], [0, 1]], cost_usd=[[1, 1], [1, 1], [1, 1]])
    assert free.models[free.cheapest] == "large"


def test_rounding_of_a_mean_breaks_no_tie() -> None:
    # 0.1, 0.2 and 0.3 in two orders: one mean, which as a sum is 0.6000000000000001 or 0.6
    scores = [0.1, 0.2, 0.3]
    for order in ((scores, scores[::-1]), (scores[::-1], scores)):
        performance = np.array(order).T
        assert performance[:, 0].mean() != performance[:, 1].mean()
        alike = make(performance=performance, cost_usd=[[5.0, 4.0], [5.0, 4.0], [5.0, 4.0]])
        assert alike.models[alike.strongest] == "large"  # the cheaper
        alike = make(performance=[[0.5, 0.6]] * 3, cost_usd=np.array(order).T)
        assert alike.models[alike.cheapest] == "large"  # the stronger


@pytest.mark.parametrize(
    "changes",
    [
        {"query_ids": ("a", "b", "d")},
        {"query_ids": ("b", "a", "c")},
        {"texts": ("one", "two", "three ")},
        {"tasks": ("t", "u", "u")},
        {"models": ("large", "small")},
        {"performance": [[1.0, 1.0], [0.0, 1.0], [0.5, 0.0]]},
        {"performance": [[1.0, 1.0], [NAN, 1.0], [0.5, NAN]]},
        {"cost_usd": [[0.1, 0.5], [0.2, 0.7], [0.3, np.nextafter(0.9, 1)]]},
        {"image_paths": (None, None, "x.png")},
        {"model_descriptions": (None, "the large one")},
    ],
)
def test_the_fingerprint_changes_with_the_content(changes: dict[str, Any]) -> None:
    assert make(**changes).fingerprint != make().fingerprint
    assert not make(**changes).equals(make())


def test_the_fingerprint_is_of_the_content_only() -> None:
    assert make(name="other", notes=("a note",)).equals(make())
    assert len(make().fingerprint) == 64


def test_a_table_without_descriptions_has_the_fingerprint_it_always_had() -> None:
    known = "064c561a0a31a22378a931d332c30ffafb77455e4a333e37a6970f5b8d3d6da6"
    assert make().fingerprint == known
    nothing = make(model_descriptions=(None, None))
    assert nothing.model_descriptions is None
    assert nothing.fingerprint == known


def test_descriptions_stay_with_the_models() -> None:
    described = make(model_descriptions=["small and open", None])
    assert described.take([1]).model_descriptions == ("small and open", None)
    assert described.describe().model_descriptions == ("small and open", None)


def test_take_keeps_the_order_asked_for() -> None:
    complete = [[1.0, 1.0], [0.0, 1.0], [0.5, 0.5]]
    part = make(performance=complete, image_paths=("x", None, "z")).take([2, 0])
    assert part.performance.tolist() == [[0.5, 0.5], [1.0, 1.0]]
    assert part.query_ids == ("c", "a")
    assert part.texts == ("three", "one")
    assert part.tasks == ("u", "t")
    assert part.image_paths == ("z", "x")
    assert part.cost_usd.tolist() == [[0.3, 0.9], [0.1, 0.5]]


def test_where_the_images_lie_is_not_part_of_the_table() -> None:
    paths = ("x.png", None, "/data/z.png")
    here = make(image_paths=paths, image_root=Path("/here"))
    assert here.images == ("/here/x.png", None, "/data/z.png")
    assert here.take([2, 0]).images == ("/data/z.png", "/here/x.png")
    there = make(image_paths=paths, image_root=Path("/there"))
    assert here.equals(there)
    assert make(image_paths=paths).images == paths
    assert make().images is None


def test_take_by_mask() -> None:
    table = make()
    assert table.take(table.is_complete).query_ids == ("a", "b")

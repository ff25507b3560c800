"""The verdict of fig5 on made results: who needs the least for which target."""

import pytest

from equirouter.errors import DataError
from equirouter.paper.base import Value
from equirouter.paper.cost_needed import LEVELS, _figure, _finding


def costs(*values: float | None) -> dict[str, Value]:
    """Cost at 90, 95, 98, 99 and 100 % of the performance; None: never reached."""
    return {level: Value(value) for level, value in zip(LEVELS, values, strict=True)}


RIVAL = costs(0.3, 0.4, 0.5, 0.6, 0.8)
WORSE = costs(0.35, 0.45, 0.9, 0.95, 1.0)


def finding(**routers: dict[str, Value]) -> tuple[str, str]:
    found = {name.replace("_", ":"): levels for name, levels in routers.items()}
    found_with_anchors = {**found, "oracle": costs(0.1, 0.1, 0.1, 0.1, 0.1)}
    return _finding(list(found), found_with_anchors)


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (costs(0.2, 0.3, 0.4, 0.5, 0.7), "reproduced"),  # the least at all five targets
        (costs(0.2, 0.3, 0.4, 0.5, 0.9), "partly reproduced"),  # all but the last
        (costs(0.31, 0.41, 0.51, 0.61, 0.81), "not reproduced"),
        (RIVAL, "reproduced"),  # as little as the best of the others is the least
    ],
)
def test_the_least_at_all_some_or_no_targets(own: dict[str, Value], verdict: str) -> None:
    # the oracle needs less than anybody and is no rival
    found, text = finding(equirouter_original=own, knn=RIVAL, mlp=WORSE)
    assert found == verdict
    at_98 = 100 * (own["0.98"].value or 0)
    assert f"At 98 % equirouter (authors) needs {at_98:.1f} % of the strongest's cost, knn" in text
    assert "knn needs 50.0 %" in text


def test_a_target_that_some_seed_missed_does_not_count_for_either_side() -> None:
    own = {**costs(0.2, 0.3, 0.4, 0.5, 0.7), "1.00": Value(0.7, note="(1/2)")}
    found, text = finding(equirouter=own, knn=RIVAL)
    assert found == "partly reproduced"
    assert "At 100 % equirouter does not get there in every seed, knn needs 80.0 %" in text
    missed = {**RIVAL, "1.00": Value(0.1, note="(1/2)")}
    found, text = finding(equirouter=costs(0.2, 0.3, 0.4, 0.5, 0.9), knn=missed)
    assert found == "reproduced"
    assert "no other router gets there in every seed" in text


def test_what_nobody_reaches_is_not_a_win() -> None:
    own, rival = costs(0.2, 0.3, 0.4, 0.5, None), costs(0.3, 0.4, 0.5, 0.6, None)
    assert finding(equirouter=own, knn=rival)[0] == "partly reproduced"
    nothing = costs(None, None, None, None, None)
    assert finding(equirouter=nothing, knn=RIVAL)[0] == "not reproduced"


def test_the_papers_settings_are_judged_and_the_default_is_named() -> None:
    default = costs(0.4, 0.5, 0.6, 0.7, 0.9)
    own = costs(0.2, 0.3, 0.4, 0.5, 0.7)
    found, text = finding(equirouter=default, equirouter_original=own, knn=RIVAL)
    assert found == "reproduced"
    assert "With the default settings, at 98 % equirouter needs 60.0 %" in text


@pytest.mark.parametrize("names", [("knn", "mlp"), ("equirouter", "equirouter_original")])
def test_without_two_sides_nothing_is_claimed(names: tuple[str, ...]) -> None:
    assert finding(**dict.fromkeys(names, RIVAL))[0] == "not tested"


def test_where_no_cost_can_be_given_the_figure_is_refused() -> None:
    never = costs(None, None, None, None, None)
    with pytest.raises(DataError, match="the calls of large cost nothing"):
        _figure({"oracle": never, "knn": never}, "large")

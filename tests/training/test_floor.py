"""Partial tables: what is learned from, what is measured, and when a promise is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equirouter import train
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.errors import DataError
from equirouter.pipeline import RoutingPipeline
from equirouter.training.floor import floor_of
from tests.toys import HashingEncoder, make_table


def partial(n: int, n_complete: int) -> Outcomes:
    """A table of which only the first rows have all three outcomes, every other row one of them."""
    whole = make_table(n, incomplete=0)
    hidden = np.zeros((n, 3), dtype=bool)
    hidden[n_complete:] = np.arange(3) != (np.arange(n_complete, n) % 3)[:, None]
    return replace(
        whole,
        performance=np.where(hidden, np.nan, whole.performance),
        cost_usd=np.where(hidden, np.nan, whole.cost_usd),
    )


def fitted(table: Outcomes, **options: Any) -> RoutingPipeline:
    return train(table, HashingEncoder(), resamples=0, **options)


@pytest.mark.parametrize(
    ("quality", "n"),
    # -ln(0.15) = 1.897: over 0.02, 0.05, 0.1, 0.5, and 0.8, rounded up
    [(1.0, 95), (0.98, 95), (0.95, 38), (0.9, 19), (0.5, 4), (0.2, 3)],
)
def test_the_floor_is_where_a_failure_would_have_been_seen(quality: float, n: int) -> None:
    assert floor_of(quality) == n


def test_forty_complete_rows_promise_no_098() -> None:
    with pytest.raises(DataError) as caught:
        fitted(partial(300, 40))
    said = str(caught.value)
    assert "quality 0.98 of the strongest model cannot be promised from 40 queries with" in said
    assert "95 are the least" in said
    assert "Ask every model 55 queries more (equirouter collect), or ask for --quality 0.95" in said
    assert "Known on the fewest queries" in said


def test_a_router_that_is_calibrated_on_the_validation_part_alone_needs_more_rows() -> None:
    with pytest.raises(DataError, match="from 12 queries in the validation part with") as caught:
        fitted(make_table(120, incomplete=0), router="knn:k=5")
    assert "the router factors is calibrated on all 120 complete rows" in str(caught.value)


def test_every_row_with_an_outcome_is_learned_from() -> None:
    made = fitted(partial(400, 100), quality=0.9)
    [note] = [note for note in made.provenance.data["notes"] if "learned from" in note]
    measured = made.provenance.test_metrics["at_quality"]["n_queries"]
    assert note == (
        "100 of 400 queries have the outcome of every model: 400 are learned from with the "
        f"outcomes that they have, promises rest on 100 complete ones, test figures on {measured}"
    )
    assert made.calibration.n_queries == 100
    # a complete table says nothing about it
    notes = fitted(make_table(200, incomplete=0), quality=0.9).provenance.data["notes"]
    assert not any("learned from" in note for note in notes)


def test_what_is_only_partly_known_teaches() -> None:
    table = partial(900, 100)
    with_all = fitted(table, quality=0.5)
    without = fitted(table.take(range(100)), quality=0.5)
    new = make_table(400, seed=7)
    errors = [
        np.nanmean((made.stage.look(list(new.texts)).scores - new.performance) ** 2)
        for made in (with_all, without)
    ]
    assert errors[0] < errors[1]


def test_rows_that_cannot_be_measured_move_into_training() -> None:
    table = partial(200, 60)
    before = split_outcomes(table)
    split = before.with_incomplete_in_training(table)
    everything = np.concatenate([split.train, split.validation, split.test])
    assert sorted(everything.tolist()) == list(range(200))
    for part in ("validation", "test"):
        rows = getattr(before, part)
        assert getattr(split, part).tolist() == rows[rows < 60].tolist()
    whole = make_table(200, incomplete=0)
    assert (
        split_outcomes(whole).with_incomplete_in_training(whole).hash == split_outcomes(whole).hash
    )


def test_a_row_equal_to_a_measured_one_stays_with_it() -> None:
    table = partial(200, 60)
    test = split_outcomes(table).test
    complete = int(test[test < 60][0])
    other = int(test[test >= 60][0])
    texts = list(table.texts)
    texts[other] = texts[complete].upper()
    equal = replace(table, texts=tuple(texts))
    split = split_outcomes(equal).with_incomplete_in_training(equal)
    assert (complete in split.train) == (other in split.train)


def test_whole_tasks_stay_apart() -> None:
    table = partial(200, 60)
    split = split_outcomes(table, "ood")
    assert split.with_incomplete_in_training(table).hash == split.hash

"""A finished request as sums, counts and texts, by hand."""

from typing import Any

import pytest

from equirouter.serve.money.store.rows import SUMS, added_by, text_row
from equirouter.serve.records import Attempt, RequestRecord, Tokens
from tests.serve.stores import record

AT, MINUTE, HALF_HOUR = 1_800_002_000, 1_800_001_980, 1_800_001_800  # in steps of 60 and 1800


def counted(request: RequestRecord) -> dict[str, int]:
    """What a request adds to each sum that is not 0."""
    (values,) = {tuple(row) for row in added_by([request]).sums.values()}
    return {name: value for name, value in zip(SUMS, values, strict=True) if value}


USUAL = {"requests": 1, "cost_nusd": 250, "input_tokens": 20, "output_tokens": 30}
COMPARED = {"compared": 1, "compared_cost_nusd": 250, "compared_strongest_nusd": 4000}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, USUAL | COMPARED),
        ({"strongest_nusd": None}, USUAL),
        ({"cost_nusd": None}, {"requests": 1, "input_tokens": 20, "output_tokens": 30}),
        ({"status": 399}, USUAL | COMPARED),
        ({"status": 400}, USUAL | COMPARED | {"errors": 1}),
        ({"tokens": None}, {"requests": 1, "cost_nusd": 250} | COMPARED),
        ({"tokens": Tokens(20, 30, estimated=True)}, USUAL | COMPARED | {"estimated": 1}),
        ({"attempts": [Attempt("a", "x", "ok", 200, 1.0)] * 2}, USUAL | COMPARED),
        (
            {"attempts": [Attempt(name, "x", "ok", 200, 1.0) for name in "ab"]},
            USUAL | COMPARED | {"fallbacks": 1},
        ),
        ({"attempts": []}, USUAL | COMPARED),
        ({"cost_nusd": 0}, USUAL | COMPARED | {"cost_nusd": 0, "compared_cost_nusd": 0}),
    ],
)
def test_what_a_request_adds(changes: dict[str, Any], expected: dict[str, int]) -> None:
    assert counted(record(**changes)) == {name: n for name, n in expected.items() if n}


def test_sums_are_by_step_key_model_and_who_decided() -> None:
    added = added_by(
        [
            record(key_id="k", started_at=AT),
            record(key_id="k", started_at=MINUTE + 59.9),
            record(key_id="k", started_at=MINUTE + 60.0),
            record(plan=None, served_model=None, started_at=AT),
        ]
    )
    requests = {place: row[SUMS.index("requests")] for place, row in added.sums.items()}
    assert requests == {
        (60, MINUTE, "k", "small", "policy"): 2,
        (60, MINUTE + 60, "k", "small", "policy"): 1,
        (1800, HALF_HOUR, "k", "small", "policy"): 3,
        (60, MINUTE, "", "", ""): 1,
        (1800, HALF_HOUR, "", "", ""): 1,
    }
    assert added.counts == {
        (60, MINUTE, "status", "200"): [3],
        (60, MINUTE + 60, "status", "200"): [1],
        (1800, HALF_HOUR, "status", "200"): [4],
        (60, MINUTE, "call", '["here","small","ok"]'): [3],
        (60, MINUTE + 60, "call", '["here","small","ok"]'): [1],
        (1800, HALF_HOUR, "call", '["here","small","ok"]'): [4],
    }


def test_texts_are_kept_where_there_are_any() -> None:
    assert text_row(record()) is None
    assert text_row(record("a", answer="y\0")) == {
        "request_id": "a",
        "at_us": 1_800_000_000_250_000,
        "prompt": None,
        "answer": "y\ufffd",
    }
    only_prompt = text_row(record("b", prompt="x"))
    assert only_prompt is not None
    assert (only_prompt["prompt"], only_prompt["answer"]) == ("x", None)

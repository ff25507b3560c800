"""The columns of the log: a record goes into its row, and comes back out of it."""

from dataclasses import fields, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.serve.money.store.log_columns import COLUMNS, clean, log_row, record_of
from equirouter.serve.money.store.schema import log
from equirouter.serve.records import Attempt, Cascaded, Plan, RequestRecord, Tokens
from tests.serve.stores import record


def test_the_table_has_the_declared_columns() -> None:
    assert [column.name for column in log.c] == ["id", *(column.name for column in COLUMNS)]
    required = {column.name for column in log.c if not column.nullable}
    assert required == {
        *("id", "request_id", "at_us", "endpoint", "requested_model", "stream", "n_attempts"),
        *("status", "tokens_estimated", "total_us"),
    }
    assert [column.name for column in log.c if column.unique] == ["request_id"]


def test_a_row_by_hand() -> None:
    made = record("a", key_id="k", session="s\0", first_byte_ms=1.5, error="half \ud800")
    row = log_row(made)
    assert (row["request_id"], row["key_id"], row["session"]) == ("a", "k", "s\ufffd")
    assert (row["at_us"], row["total_us"], row["first_byte_us"]) == (
        *(1_800_000_000_250_000, 14_000, 1500),
    )
    assert (row["decision_us"], row["decided_by"]) == (500, "policy")
    assert (row["setting"], row["value"], row["n_attempts"]) == ("quality", 0.98, 1)
    assert (row["predicted_nusd"], row["cost_nusd"], row["strongest_nusd"]) == (200, 250, 4000)
    assert (row["input_tokens"], row["output_tokens"], row["cached_input_tokens"]) == (20, 30, 5)
    assert (row["tokens_estimated"], row["stream"], row["status"]) == (False, False, 200)
    assert row["attempts"] == '[["small","here","ok",200,12.5]]'
    assert (row["note"], row["error"]) == (None, "half ?")


@pytest.mark.parametrize(("error", "kept"), [("a\0b", "a\ufffdb"), ("a\ud800b", "a?b")])
def test_a_call_is_written_as_every_database_takes_it(error: str, kept: str) -> None:
    made = record(attempts=[Attempt("m", "u", "timeout", None, 0.25, error)])
    (call,) = orjson.loads(log_row(made)["attempts"])
    assert call == ["m", "u", "timeout", None, 0.25, kept]


def test_what_is_not_known_is_null() -> None:
    row = log_row(RequestRecord("a", 1.0, "route", "m"))
    known = {name for name, value in row.items() if value is not None}
    assert known == {
        *("request_id", "at_us", "endpoint", "requested_model", "stream", "n_attempts", "status"),
        *("tokens_estimated", "total_us"),
    }
    assert row["tokens_estimated"] is False
    assert log_row(record(served_model="other"))["predicted_nusd"] is None
    assert log_row(record(served_model=None))["predicted_nusd"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"plan": None, "tokens": None, "attempts": [], "served_model": None, "cost_nusd": None},
        {"tokens": Tokens(5, 6, 1, 2, 3, 4, 5, estimated=True), "stream": True, "status": 502},
        {"attempts": [Attempt("m", "u", "timeout", None, 0.25, "late", 17.5)], "session": "s"},
        {
            "attempts": [
                Attempt("m", "u", "ok", 200, 1.0, None, 2.0, 3, "audit", 4, 5, 1, "x"),
                Attempt("m", "u", "ok", 200, 1.0, signals={"judge": 0.5}),
            ],
            "cascade": Cascaded(("a", "b"), "disagree", "kept", 7.5, 0.25, "c over budget"),
        },
        {"first_byte_ms": None, "strongest_nusd": None, "error": "nobody", "key_id": "k"},
    ],
)
def test_a_record_comes_back(changes: dict[str, Any]) -> None:
    made = record(**changes)
    assert record_of(log_row(made)) == made


def test_every_field_of_a_plan_comes_back() -> None:
    plan = record().plan
    assert plan is not None
    other = {"far": True, "confidence": 0.25, "fits": False, "class_": "c", "session": "h"}
    other |= {"expected_share": 0.5, "spend_usd": 0.002, "pipeline": "p", "decision_ms": 0.75}
    changed = replace(plan, **other)  # type: ignore[arg-type]
    for field in fields(Plan):
        if field.compare and field.default is not None and field.name in other:
            assert getattr(changed, field.name) != field.default
    made = record(plan=changed)
    assert record_of(log_row(made)) == made


def test_the_first_rows_had_score_and_cost_with_each_candidate() -> None:
    made = record()
    row = log_row(made)
    plan = orjson.loads(row["plan"])
    plan["candidates"] = [["small", 900, 0.7, 2e-7, None], ["large", 9000, 0.9, 4e-6, None]]
    assert record_of(row | {"plan": orjson.dumps(plan).decode()}) == made


@given(st.text())
def test_a_clean_text_stays_and_every_text_becomes_one(text: str) -> None:
    cleaned = clean(text)
    assert cleaned is not None
    assert "\0" not in cleaned
    cleaned.encode()
    assert clean(cleaned) == cleaned
    assert (cleaned == text) == ("\0" not in text)


def test_halves_of_characters_are_replaced() -> None:
    assert clean("a\ud800\0") == "a?\ufffd"
    assert clean(None) is None

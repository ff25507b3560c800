"""A table of queries: what is written is read again, and what is wrong in one is named."""

import json
from pathlib import Path

import pytest

from equirouter.data.query_table import AskedQuery, read_queries, write_queries
from equirouter.errors import DataError

MESSAGES = json.dumps(
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "é"}]
)
FULL = AskedQuery(
    query_id="a",
    query="é",
    messages=MESSAGES,
    parameters='{"max_tokens": 5}',
    task="sums",
    count=3,
    weight=12.5,
    asked_at=1764000000.25,
    model="small",
    answer="",
    finish_reason="tool_calls",
    input_tokens=2**40,
    output_tokens=0,
    cost_usd=0.0,
    latency_seconds=0.5,
    feedback=1.0,
)
BARE = AskedQuery(query_id="b", query="x", messages=MESSAGES)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    assert write_queries(iter([FULL, BARE]), path) == 2
    assert read_queries(path) == [FULL, BARE]


def test_more_rows_than_are_written_at_once(tmp_path: Path) -> None:
    many = [AskedQuery(query_id=str(i), query="x", messages=MESSAGES) for i in range(4097)]
    assert write_queries(many, tmp_path / "q.parquet") == 4097
    assert [asked.query_id for asked in read_queries(tmp_path / "q.parquet")] == [
        str(i) for i in range(4097)
    ]


def test_no_rows_are_a_table_without_rows(tmp_path: Path) -> None:
    assert write_queries([], tmp_path / "q.parquet") == 0
    with pytest.raises(DataError, match="there are no rows"):
        read_queries(tmp_path / "q.parquet")


def test_the_request_again() -> None:
    assert FULL.body() == {"max_tokens": 5, "messages": json.loads(MESSAGES)}
    assert BARE.body() == {"messages": json.loads(MESSAGES)}


def test_a_table_that_a_person_wrote_has_a_message_per_query(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("query_id,query,task\na,What is 2 + 3?,sums\n", "utf-8")
    [asked] = read_queries(path)
    assert asked.body() == {"messages": [{"role": "user", "content": "What is 2 + 3?"}]}
    assert (asked.task, asked.count, asked.weight, asked.model) == ("sums", 1, 1.0, None)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("id,query\na,x\n", "no column 'query_id'; found 'id', 'query'"),
        ("query_id,query\na,x\na,y\n", "'a' stands above already, in data row 1"),
        ("query_id,query\n,x\n", "data row 1, column 'query_id': the cell is empty"),
        ("query_id,query,count\na,x,-1\n", "column 'count': found -1; expected a number"),
        ("query_id,query,messages\na,x,[\n", "column 'messages': a JSON list of messages"),
        ("query_id,query,messages\na,x,[]\n", "column 'messages': a JSON list of messages"),
        ("query_id,query,parameters\na,x,[]\n", "column 'parameters': a JSON object"),
    ],
)
def test_what_is_wrong_is_named(rows: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(rows, "utf-8")
    with pytest.raises(DataError, match=r"q\.csv") as caught:
        read_queries(path)
    assert said in str(caught.value)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is written as"):
        write_queries([FULL], tmp_path / "queries.csv")


def test_a_log_in_place_of_a_table_of_queries_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "why?"}], "model": "m"}\n', "utf-8")
    with pytest.raises(DataError, match=r"looks like a log of requests .chat.*data import"):
        read_queries(path)
    path.write_text('{"id": 1}\n', "utf-8")
    with pytest.raises(DataError, match="there is no column 'query_id'"):
        read_queries(path)

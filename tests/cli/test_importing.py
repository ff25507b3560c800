"""`data import`, and what other commands say of a log."""

import json
from pathlib import Path
from shlex import quote

import pytest

from equirouter.data.logs.recognise import known_formats
from equirouter.data.query_table import read_queries
from equirouter.serve.records import Cascaded
from tests.cli.invoke import REPOSITORY, invoke
from tests.cli.test_log import CONFIG, keep, prompt
from tests.serve.stores import record

SAMPLES = REPOSITORY / "tests" / "data" / "logs" / "samples"
CASES = REPOSITORY.parent / "shared" / "cases"


def test_a_log_is_read_and_described(tmp_path: Path) -> None:
    out = tmp_path / "q.parquet"
    ran = invoke("data", "import", SAMPLES / "chat.jsonl", SAMPLES / "helicone.jsonl", "--out", out)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "read 1 file (chat), 1 file (helicone): 4 requests",
        "3 queries; folded into them: 1 with the same words, 0 with a similar last turn",
        "left out, calls of embeddings: 1",
        "asked: 2025-11-24 16:00 to 2025-11-24 16:00",
        "length of the texts in characters: p10 14, median 15, p90 16, longest 16",
        "written in: Latin 4",
        "tasks: sums 2, all 2",
        "models: small 1, not known 1, small-2 1, claude 1",
        "answered: 4; with feedback: 2 (mean 0.50)",
        "tokens: 64 in, 8 out, of 3 requests",
        "cost: 0.002 USD, of 2 requests",
        f"{out}: 3 queries",
    ]
    assert "--redact replaces personal data" in ran.err
    assert f"next: equirouter collect gateway.toml {out}" in ran.err
    assert [asked.count for asked in read_queries(out)] == [2, 1, 1]


def test_the_figures_are_one_document(tmp_path: Path) -> None:
    out = tmp_path / "q.parquet"
    ran = invoke("data", "import", SAMPLES / "litellm.jsonl", "--out", out, "--json")
    document = json.loads(ran.out)
    assert (document["written"], document["n_written"]) == (str(out), 2)
    log = document["log"]
    assert log["left_out"] == {"calls of type aembedding": 1, "without the text that was asked": 1}
    assert log["models"]["small"] == {"n_requests": 1, "cost_usd": 0.002}
    assert (log["n_requests"], log["n_answered"], log["cost_usd"]) == (2, 1, 0.002)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [("a.jsonl", '{"foo": 1, "bar": [2]}\n', "'foo', 'bar'"), ("a.csv", "a,b\n1,2\n", "'a', 'b'")],
)
def test_a_log_of_no_known_format_says_what_is_there_and_what_is_known(
    name: str, content: str, found: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    ran = invoke("data", "import", tmp_path / name, "--out", tmp_path / "q.parquet")
    assert ran.code == 2
    assert f"{name}: this log is in no format that is known. Its first records have {found}" in (
        ran.err
    )
    for known in known_formats():
        assert f"\n  {known}: " in ran.err
    assert "Name the nearest with --format" in ran.err
    assert not (tmp_path / "q.parquet").exists()


@pytest.mark.parametrize("command", [["describe"], ["convert"]])
@pytest.mark.parametrize(
    ("sample", "name"),
    [
        ("chat.jsonl", "chat"),
        ("langfuse.csv", "langfuse"),
        ("openai-batch-output.jsonl", "openai-batch"),
    ],
)
def test_an_outcomes_table_that_is_a_log_is_called_one(
    command: list[str], sample: str, name: str, tmp_path: Path
) -> None:
    target = [tmp_path / "t.csv"] if command == ["convert"] else []
    ran = invoke("data", *command, SAMPLES / sample, *target)
    assert ran.code == 2
    assert f"this looks like a log of requests ({name}: " in ran.err
    assert f"equirouter data import {quote(str(SAMPLES / sample))} --out queries.parquet" in ran.err


def test_a_table_that_may_be_a_log_is_told_both(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,kind\nWhat is 2 + 3?,sums\n", "utf-8")
    ran = invoke("data", "describe", path)
    assert "there are no cost columns" in ran.err
    assert "If it is a log of requests, begin with: equirouter data import" in ran.err


def test_a_table_of_queries_is_called_one(tmp_path: Path) -> None:
    invoke("data", "import", SAMPLES / "chat.jsonl", "--out", tmp_path / "q.parquet")
    ran = invoke("train", tmp_path / "q.parquet", "--out", tmp_path / "p")
    assert ran.code == 2
    assert "this is a table of queries, without any outcome: equirouter collect" in ran.err


def test_a_damaged_outcomes_table_is_still_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("query,model,performance,cost_usd\na,m,7,0.1\n", "utf-8")
    assert "found 7; expected a performance from 0 to 1" in invoke("data", "describe", path).err


def test_the_gateways_own_requests_are_imported(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG)
    keep(
        config,
        [
            (record("1", served_model="small", prompt=prompt("why?"), answer="so"), 1.0),
            (record("2", served_model="small", prompt=None), None),
            *(
                (
                    record(why, prompt=prompt(why), cascade=Cascaded(("a", "b"), why, "kept", 1.0)),
                    None,
                )
                for why in ("agree", "late", "disagree")
            ),
        ],
    )
    lines = tmp_path / "log.jsonl"
    assert invoke("log", "requests", config, lines).out == f"{lines}: 5 requests\n"
    ran = invoke("data", "import", lines, "--out", tmp_path / "q.parquet")
    assert ran.code == 0
    assert "set log_texts = true under [log]" in ran.err
    asked, *others = read_queries(tmp_path / "q.parquet")
    assert [(one.query, one.disagreed) for one in others] == [
        ("agree", 0),
        ("late", None),
        ("disagree", 1),
    ]
    assert (asked.query, asked.model, asked.answer, asked.feedback) == ("why?", "small", "so", 1.0)
    assert len(json.loads(asked.messages)) == 4


def test_redaction_needs_its_extra_or_says_what_it_did(tmp_path: Path) -> None:
    ran = invoke(
        "data", "import", SAMPLES / "chat.jsonl", "--out", tmp_path / "q.parquet", "--redact"
    )
    assert ran.code == 0 or "pip install 'equirouter[redact]'" in ran.err


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_the_logs_of_the_cases(tmp_path: Path) -> None:
    for name, n in (("chat_log.jsonl", 20), ("batch_input.jsonl", 5)):
        ran = invoke("data", "import", CASES / name, "--out", tmp_path / "q.parquet", "--json")
        assert json.loads(ran.out)["n_written"] == n
        assert "this looks like a log" in invoke("data", "describe", CASES / name).err

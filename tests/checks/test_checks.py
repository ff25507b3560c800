"""Each check by hand; what they share is in tests/test_every_check.py."""

import json
import math
import sys
from pathlib import Path

import pytest

from equirouter.checks import Response, ResponseCheck, make_check, unusable
from equirouter.checks.model_calls import AskingCheck, may_ask
from equirouter.errors import ConfigError, UnknownNameError


def check(spec: str, **settings: object) -> ResponseCheck:
    made = make_check(spec, **settings)
    assert isinstance(made, ResponseCheck)
    return made


def said(text: str) -> Response:
    return Response("a query", text)


def program(folder: Path, source: str) -> str:
    """The command that runs a program of Python."""
    path = folder / "program.py"
    path.write_text(source, "utf-8")
    return f"'{sys.executable}' '{path}'"


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (said("fine"), None),
        (Response("q", "fine", "stop"), None),
        (said(" \n"), "empty"),
        (Response("q", "half a senten", "length"), "cut"),
        (Response("q", "half a senten", "max_tokens"), "cut"),
        (Response("q", "I cannot", "content_filter"), "refused"),
        (Response("q", "I cannot", "refusal"), "refused"),
        (Response("q", "I'm sorry, I can't.", "stop"), None),  # words are not judged
    ],
)
def test_what_cannot_be_used(response: Response, why: str | None) -> None:
    assert unusable(response) == why


def test_json() -> None:
    for text in ('{"a": 1}', "Here:\n```json\n[1]\n```", "3", '"yes"', "null"):
        assert check("json")(said(text)) == 1.0
    for text in ("no", '{"a": ', ""):
        assert check("json")(said(text)) == 0.0


def test_json_by_a_schema(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema_rs")
    path = tmp_path / "answer.json"
    schema = {"required": ["answer"], "properties": {"answer": {"type": "number"}}}
    path.write_text(json.dumps(schema), "utf-8")
    by_schema = check(f"json:schema={path}")
    assert by_schema(said('{"answer": 1}')) == 1.0
    assert by_schema(said('{"answer": "1"}')) == 0.0
    assert by_schema(said('{"other": 1}')) == 0.0
    with pytest.raises(ConfigError, match="No such file"):
        make_check(f"json:schema={tmp_path / 'none.json'}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT name FROM users WHERE age > 3", 1.0),
        ("```sql\nSELECT 1\n```\nBetter:\n```sql\nWITH a AS (SELECT 1) SELECT * FROM a;\n```", 1.0),
        ("BEGIN; UPDATE t SET a = 1; COMMIT", 1.0),
        ("CREATE TABLE t (a INT)", 1.0),
        ("SELECT name FROM users WHERE", 0.0),
        ("Here:\n```sql\nSELECT * FROM\n```", 0.0),
        ("I cannot do that.", 0.0),
        ("hello world", 0.0),  # which parses, as a column with an alias
        ("-- nothing", 0.0),
        ("SELECT " + "(" * 5000, 0.0),
        ("EXPLAIN SELECT 1", None),
    ],
)
def test_sql(text: str, found: float | None, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("sqlglot")
    assert check("sql")(said(text)) == found
    assert not caplog.records  # which would quote the response


def test_sql_of_a_dialect() -> None:
    pytest.importorskip("sqlglot")
    top = said("SELECT TOP 3 [a b] FROM t")
    assert check("sql:dialect=tsql")(top) == 1.0
    assert check("sql:dialect=sqlite")(top) == 0.0
    with pytest.raises(ConfigError, match=r"dialect is 'cobol', expected .*postgres"):
        make_check("sql:dialect=cobol")


def test_a_program_says_yes_no_or_a_number(tmp_path: Path) -> None:
    source = """
import json, sys
seen = json.load(sys.stdin)
assert sorted(seen) == ["finish_reason", "query", "text"]
if seen["text"].startswith("print "):
    print(seen["text"].removeprefix("print "))
else:
    sys.exit(int(seen["text"]))
"""
    by_program = check("command", run=program(tmp_path, source))
    found = {text: by_program(said(text)) for text in ("0", "1", "2", "print 0.25", "print 7")}
    assert found == {"0": 1.0, "1": 0.0, "2": None, "print 0.25": 0.25, "print 7": None}
    assert by_program(said("print words")) is None
    counting = "import json, sys\nprint(len(json.load(sys.stdin)['text']) / 4)"
    half = said("\ud83d")  # of a character: no file holds it
    assert check("command", run=program(tmp_path, counting))(half) == 0.25


def test_a_program_that_takes_too_long_or_too_much_says_nothing(tmp_path: Path) -> None:
    endless = check("command", run=program(tmp_path, "while True: pass"), seconds=0.3)
    assert endless(said("x")) is None
    if sys.platform == "linux":
        source = "import sys\ntry: x = bytearray(10**9)\nexcept MemoryError: sys.exit(3)\n"
        assert check("command", run=program(tmp_path, source), memory_mb=200)(said("x")) is None


def test_no_shell_sees_the_command(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(ConfigError, match="no program 'true;'"):
        check("command", run=f"true; touch {mark}")
    assert check("command", run=f"true && touch {mark}")(said("x")) == 1.0  # words of its own
    assert not mark.exists()
    with pytest.raises(ConfigError, match="run is empty"):
        make_check("command", run=" ")


def test_log_probabilities() -> None:
    sure = check("log-probability")
    halves = Response("q", "a b", None, (math.log(0.5), math.log(0.125)))
    assert sure(halves) == pytest.approx(0.25)  # the root of 0.5 * 0.125
    assert sure(said("a")) is None


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("7", 0.7),
        ("7.", 0.7),
        ("Score: 10", 1.0),
        ("7/10", 0.7),
        ("7.5 / 10", 0.75),
        ("8 out of 10.", 0.8),
        ("none", None),
        ("7 or 8", None),
        ("7/100", None),
        ("11", None),
        ("85", None),
    ],
)
def test_the_number_of_a_judge(answer: str, score: float | None) -> None:
    judge = make_check("judge", model="small")
    assert isinstance(judge, AskingCheck)
    assert judge.read(answer) == score


def test_a_judge_is_asked_only_where_it_is_cheap() -> None:
    judge = make_check("judge", model="small")
    assert isinstance(judge, AskingCheck)
    assert "a query" in judge.prompt(said("an answer"))
    assert may_ask(0.05, 1.0)
    assert not may_ask(0.06, 1.0)


def test_what_is_wrong_with_a_spec_is_said() -> None:
    with pytest.raises(UnknownNameError, match="no check named 'xml'"):
        make_check("xml")
    with pytest.raises(ConfigError, match="command has no default for run"):
        make_check("command")
    with pytest.raises(ConfigError, match="json has no setting 'limit'"):
        make_check("json:limit=1")
    with pytest.raises(ConfigError, match="seconds"):
        make_check("command:run=true:seconds=-1")

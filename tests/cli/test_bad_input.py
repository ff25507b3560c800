"""What users get wrong: one sentence that names the place and the way out, and exit code 2.

No message is a traceback, and under --json an error is one JSON document on stdout.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from equirouter.pipeline.stored import SCHEMA
from tests.cli.conftest import BenchRun, bench_arguments
from tests.cli.invoke import REPOSITORY, Ran, invoke, invoke_process
from tests.pipeline.sealed import change_description
from tests.toys import HashingEncoder

HEAD = "query_id,query,task,a,b,a|total_cost,b|total_cost"
ROWS = [f"q{row},text {row},t,{row % 2},1,0.001,0.01" for row in range(30)]


def lines(*changed: str, head: str = HEAD, rows: list[str] | None = None) -> bytes:
    kept = ROWS if rows is None else rows
    return "\n".join([head, *changed, *kept[len(changed) :]]).encode("utf-8")


TABLES = {
    "an empty file": (b"", "t.csv: the file is empty (0 bytes), a table is expected"),
    "no rows": (lines(rows=[]) + b"\n", "t.csv: there are no rows, only column names"),
    "no cost columns": (
        lines(head="query_id,query,task,a,b", rows=["q,text,t,0,1"]),
        "t.csv: there are no cost columns; a table with one row per query needs 'MODEL|total_cost'",
    ),
    "decimal commas": (
        b"query_id;query;task;a;a|total_cost\nq;text;t;1;0,1",
        "found '0,1', a number is expected, or nothing where it is not known; write decimals with",
    ),
    "a model without a cost": (
        lines(head="query_id,query,task,a,b,a|total_cost", rows=["q,text,t,0,1,0.1"]),
        "model 'b' has performance but no cost column 'b|total_cost'; add it, or leave the model",
    ),
    "a cost without a model": (
        lines(head="query_id,query,task,a,a|total_cost,b|total_cost", rows=["q,text,t,0,1,0.1"]),
        "model 'b' has the cost column 'b|total_cost' but no performance column 'b'",
    ),
    "text in a number cell": (
        lines(ROWS[0], "q1,text 1,t,good,1,0.001,0.01"),
        "t.csv: data row 2, column 'a': found 'good', a number is expected",
    ),
    "performance out of range": (
        lines("q0,text 0,t,85,1,0.001,0.01"),
        "t.csv: data row 1, column 'a': found 85; expected a performance from 0 to 1",
    ),
    "a negative cost": (
        lines("q0,text 0,t,0,1,-0.001,0.01"),
        "t.csv: data row 1, column 'a|total_cost': found -0.001; expected USD of one call",
    ),
    "one model only": (
        lines(
            head="query_id,query,task,a,a|total_cost",
            rows=[f"q{row},text {row},t,1,0.1" for row in range(30)],
        ),
        "t: the only model is 'a'; routing needs at least two models",
    ),
    "fewer than 20 rows": (
        lines(rows=ROWS[:19]),
        "t: 19 of 19 queries have the outcome of every model, at least 20 are needed",
    ),
    "an empty query": (
        lines(ROWS[0], "q1,,t,0,1,0.001,0.01"),
        "t.csv: data row 2, column 'query': the cell is empty",
    ),
    "a query of spaces": (lines("q0,  ,t,0,1,0.1,0.1"), "query 'q0' (row 0): the text is empty"),
    "the same query twice": (lines(ROWS[0], ROWS[0]), "'q0' stands in data row 1 already"),
    "invalid UTF-8": (
        lines().replace(b"text 4", b"t\xe9xt 4"),
        "is not valid UTF-8",
    ),
    "a row that is too short": (lines("q0,text 0,t,0,1"), "data row 1 has 5 cells"),
    "no text column": (lines(head=HEAD.replace("query,task", "words,task")), "no column 'query'"),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("command", ["bench", "train"])
def test_a_table_that_cannot_be_used(command: str, case: str, tmp_path: Path) -> None:
    content, words = TABLES[case]
    (tmp_path / "t.csv").write_bytes(content)
    options = ["--encoder", "toy", "--out", tmp_path / "out"]
    ran = invoke(command, tmp_path / "t.csv", *options)
    check_refused(ran, words)
    assert ran.out == ""
    assert not (tmp_path / "out").is_dir() or not list((tmp_path / "out").iterdir())


NAMES = {
    "a missing file": (
        ["bench", "mine.csv"],
        "mine.csv: no file of that path was found; data sets",
    ),
    "an unknown data set": (
        ["bench", "routerbench-5shots"],
        "no data set named 'routerbench-5shots': did you mean 'routerbench-5shot'?",
    ),
    "another suffix": (["bench", "README.md"], "README.md: the suffix '.md' is not known"),
    "a folder": (["bench", "tests"], "tests: this is a folder, a file is expected"),
    "an unknown router": (
        ["bench", "TABLE", "--routers", "equiruter"],
        "no router named 'equiruter': did you mean 'equirouter'?",
    ),
    "an unknown preset": (
        ["bench", "TABLE", "--routers", "equirouter:papers"],
        "equirouter has no preset 'papers': known: default, paper",
    ),
    "an unknown setting": (
        ["bench", "TABLE", "--routers", "knn:neighbours=3"],
        "knn has no setting 'neighbours': known: k",
    ),
    "an anchor as a router": (
        ["bench", "TABLE", "--routers", "task"],
        "task is an anchor: anchors are always measured",
    ),
    "an unknown encoder": (
        ["bench", "TABLE", "--encoder", "minilmm"],
        "no encoder named 'minilmm': did you mean 'minilm'?",
    ),
    "an option of another encoder": (
        ["bench", "TABLE", "--encoder", "toy", "--window", "tail"],
        "encoder 'toy' has no option 'window'",
    ),
    "tasks too few for a split": (["bench", "TABLE", "--split", "ood", "--encoder", "toy"], "task"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_that_is_not_known(case: str, tmp_path: Path) -> None:
    arguments, words = NAMES[case]
    (tmp_path / "t.csv").write_bytes(lines())
    typed = [str(tmp_path / "t.csv") if word == "TABLE" else word for word in arguments]
    check_refused(invoke(*typed, "--out", tmp_path / "out"), words)


def test_a_name_of_any_length_is_no_traceback(tmp_path: Path) -> None:
    ran = invoke("bench", "x" * 5000, "--out", tmp_path)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("budget", ["0", "-1", "nan", "-inf"])
def test_a_budget_that_is_no_amount(budget: str, pipeline: Path) -> None:
    ran = invoke("route", pipeline, "a query", "--predicted-cost", budget)
    check_refused(ran, f"the budget is {float(budget)} USD: expected a number above 0, for one")


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
def test_an_empty_query(query: str, pipeline: Path) -> None:
    check_refused(invoke("route", pipeline, query), "text 0 is empty")


def test_a_long_query_in_a_table_is_no_problem(tmp_path: Path) -> None:
    long = "word " * 40_000  # 200,000 characters
    (tmp_path / "t.csv").write_bytes(lines(f"q0,{long},t,0,1,0.001,0.01"))
    ran = invoke(*bench_arguments(tmp_path / "t.csv", tmp_path / "out", ("knn",)), "--json")
    assert ran.code == 0, ran.err


@pytest.mark.skipif(os.name == "nt", reason="arguments are text there")
def test_bytes_that_are_no_text(pipeline: Path) -> None:
    ran = invoke_process("route", str(pipeline), b"caf\xe9")
    check_refused(ran, "'caf\\udce9' is not valid UTF-8")
    ran = invoke_process("route", str(pipeline), "-", stdin=b'{"query": "caf\xe9"}\n')
    check_refused(ran, "stdin, line 1: byte 14 is not valid UTF-8")


def flip_weights(folder: Path) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "weights.safetensors").write_bytes(content)


def cut_description(folder: Path) -> None:
    content = (folder / "pipeline.json").read_bytes()
    (folder / "pipeline.json").write_bytes(content[: len(content) // 2])


def change(key: str, value: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        change_description(folder, lambda description: description.update({key: value}))

    return apply


def make_newer(folder: Path) -> None:
    change("schema", SCHEMA + 1)(folder)
    change("package_version", "9.1.0")(folder)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


PIPELINES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped byte in the weights": (flip_weights, "weights.safetensors: SHA-256 is "),
    "a description that was cut": (
        cut_description,
        "pipeline.json: its last field must be the SHA-256",
    ),
    "a newer format": (
        make_newer,
        f"in format {SCHEMA + 1}, and this one reads format {SCHEMA}: pip install",
    ),
    "a field of another type": (change("models", "a"), "pipeline.json: models: Input should be"),
    "a field too many": (change("comment", "hello"), "pipeline.json: comment: Extra inputs"),
    "no weights": (
        remove("weights.safetensors"),
        "weights.safetensors: No such file or directory, though pipeline.json is there",
    ),
    "no description": (
        remove("pipeline.json"),
        "though weights.safetensors is there: copy the folder again",
    ),
}


@pytest.mark.parametrize("case", PIPELINES)
def test_a_pipeline_that_is_damaged(case: str, pipeline: Path, tmp_path: Path) -> None:
    damage, words = PIPELINES[case]
    folder = tmp_path / "pipeline"
    shutil.copytree(pipeline, folder)
    damage(folder)
    ran = invoke("route", folder, "a query")
    check_refused(ran, words)
    assert str(folder) in ran.err


def test_a_pipeline_of_another_encoder(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashingEncoder, "fingerprint", "toy-newer-weights")
    ran = invoke("route", pipeline, "a query")
    check_refused(ran, "trained with encoder toy {'salt': ''} (fingerprint toy--32), but the")
    assert "use the same weights and settings, or train again" in ran.err


def test_under_json_an_error_is_one_document(tmp_path: Path) -> None:
    ran = invoke("bench", tmp_path / "none.csv", "--json")
    assert ran.code == 2
    error = json.loads(ran.out)["error"]
    assert error["type"] == "UnknownNameError"
    assert ran.err == f"error: {error['message']}\n"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def limited_process(limit: int, *arguments: object) -> Ran:
    """Run with a limit on the size of a file: what a write beyond it meets is an OSError."""
    command = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from equirouter.registry import ENCODERS\n"
        'ENCODERS._paths["toy"] = "tests.toys:HashingEncoder"\n'
        "from equirouter.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE and its signal")
@pytest.mark.parametrize(
    ("limit", "file"), [(100, "decisions.parquet"), (1_000, "figures/cost-performance.svg")]
)
def test_a_process_that_may_write_no_more_leaves_what_was_there(
    limit: int, file: str, bench_run: BenchRun, table: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(bench_run.folder, folder)
    before = contents(folder)
    command = bench_arguments(table, folder, ("knn",))
    ran = limited_process(limit, *(command if file == "decisions.parquet" else ["report", folder]))
    check_refused(ran, f"{folder / file}: could not be written: File too large; free space or")
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["decisions.parquet", "results.json"])
def test_a_full_disk_leaves_the_results_that_were_there(
    name: str, bench_run: BenchRun, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(bench_run.folder, folder)
    before = contents(folder)
    fail_when_writing(name, monkeypatch)
    ran = invoke(*bench_arguments(table, folder, ("knn",)), "--json")
    check_refused(ran, f"{folder / name}: could not be written: No space left on device")
    assert json.loads(ran.out)["error"]["type"] == "OutputError"
    assert contents(folder) == before


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE and its signal")
def test_a_disk_that_lacks_one_byte_leaves_the_pipeline_that_was_there(
    pipeline: Path, table: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(pipeline.parents[1], folder)
    before = contents(folder)
    options = ["--encoder", "toy", "--router", "mlp:hidden=512:epochs=2", "--quality", "0.1"]
    assert invoke("train", table, *options, "--out", tmp_path / "whole").code == 0
    whole = contents(tmp_path / "whole" / "versions" / "0001")
    limit = len(whole["weights.safetensors"]) - 1
    assert limit > len(whole["pipeline.json"])  # this one could be written
    ran = limited_process(limit, "train", table, *options, "--out", folder)
    check_refused(ran, f"{folder / 'versions' / '.new-'}")
    assert "could not be written: File too large" in ran.err
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["pipeline.json", "weights.safetensors"])
def test_a_full_disk_leaves_the_pipeline_that_was_there(
    name: str, pipeline: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(pipeline.parents[1], folder)
    before = contents(folder)
    fail_when_writing(name, monkeypatch)
    options = ["--encoder", "toy", "--router", "mlp:epochs=2", "--quality", "0.1"]
    ran = invoke("train", table, *options, "--out", folder)
    check_refused(ran, "could not be written: No space left on device")
    assert name in ran.err
    assert contents(folder) == before
    assert invoke("route", folder, "a query").code == 0


def test_a_full_disk_leaves_the_table_that_was_there(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "t.jsonl"
    target.write_text("old")
    fail_when_writing("t.jsonl", monkeypatch)
    check_refused(invoke("data", "convert", table, target), "No space left on device")
    assert contents(tmp_path) == {"t.jsonl": b"old"}


def fail_when_writing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the first byte of a file of that name is to be written."""
    real = os.fdopen
    opened = tempfile.mkstemp

    def mkstemp(**options: object) -> tuple[int, str]:
        handle, path = opened(**options)  # type: ignore[call-overload]
        if str(options["prefix"]).lstrip(".").startswith(f"{name}."):
            full.add(handle)
        return handle, path

    full: set[int] = set()

    def fdopen(handle: int, *arguments: object, **options: object) -> object:
        stream = real(handle, *arguments, **options)  # type: ignore[call-overload]
        if handle in full:
            stream.write = _refuse
        return stream

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    monkeypatch.setattr(os, "fdopen", fdopen)


def _refuse(_: bytes | str) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_where_the_results_should_go(table: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    ran = invoke(*bench_arguments(table, taken, ("knn",)))
    check_refused(ran, f"{taken}: no folder can be made there: File exists")
    ran = invoke("train", table, "--encoder", "toy", "--out", taken)
    check_refused(ran, f"{taken}: no folder can be made there: File exists")
    assert taken.read_text() == "mine"


def check_refused(ran: Ran, words: str) -> None:
    assert ran.code == 2, ran
    error = ran.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert words in error
    assert "Traceback" not in ran.err

"""The frame around the commands: help, version, usage errors, exit codes, broken outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equirouter import __version__
from equirouter.cli import app
from equirouter.errors import FitError
from tests.cli.invoke import invoke, invoke_process


def test_without_a_command_the_commands_are_listed() -> None:
    ran = invoke()
    assert ran.code == 0
    for command in ("bench", "train", "route", "report", "data"):
        assert f"\n  {command} " in ran.out


def test_version() -> None:
    assert invoke("--version") == (0, f"equirouter {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data"], "Missing command"),
        (["bnech"], "No such command 'bnech'"),
        (["bench", "--routes", "knn"], "No such option: --routes"),
        (["bench", "--seeds", "0"], "--seeds"),
        (["bench", "--routers", ","], "name at least one router"),
        (["train", "simulated"], "--out"),
        (["bench", "--split", "luck"], "'luck' is not one of"),
        (["bench", "--policy", "luck"], "no policy named 'luck': known: budget, utility"),
    ],
)
def test_a_usage_error_is_one_sentence(arguments: list[str], words: str) -> None:
    ran = invoke(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_under_json_an_error_is_a_document() -> None:
    ran = invoke("bench", "--routes", "knn", "--json")
    document = json.loads(ran.out)
    assert document["error"]["type"] == "UsageError"
    assert "--routes" in document["error"]["message"]


def test_a_failure_that_the_caller_cannot_fix_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, table: Path, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FitError("the training loss is nan in epoch 1")

    monkeypatch.setattr("equirouter.evaluation.train.train", fail)
    ran = invoke("train", table, "--encoder", "toy", "--out", tmp_path, "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["error"]["type"] == "FitError"


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "app", interrupt)
    assert invoke("data", "list") == (130, "", "interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_on_a_full_disk_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "equirouter", "data", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "equirouter", "data", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert said == b""


@pytest.mark.skipif(os.name == "nt", reason="arguments are text there")
def test_an_argument_that_is_no_text_is_refused() -> None:
    ran = invoke_process("route", "somewhere", b"caf\xe9", "--json")
    assert ran.code == 2
    assert "'caf\\udce9' is not valid UTF-8 at character 3" in ran.err
    assert json.loads(ran.out)["error"]["type"] == "ConfigError"

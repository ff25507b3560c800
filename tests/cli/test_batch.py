"""`batch`: files of any size."""

import json
from pathlib import Path

import pytest

from tests.cli.invoke import invoke
from tests.scale.made import decided, write_lines


def test_a_file_is_decided_as_a_stream_is(pipeline: Path, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", 30)
    control = ["--predicted-cost", "0.005", "--exclude", "small"]
    ran = invoke("batch", pipeline, source, tmp_path / "out", *control)
    assert ran == (0, f"30 decisions in 1 part: {tmp_path / 'out'}\n", "")
    stream = invoke("route", pipeline, "-", *control, stdin=source.read_bytes())
    assert (tmp_path / "out" / "part-000000.jsonl").read_text("utf-8") == stream.out
    again = invoke("batch", pipeline, source, tmp_path / "out", *control)
    assert again.out.startswith("30 decisions in 1 part, of which 1 were there already: ")


def test_a_run_says_what_it_did_in_json(pipeline: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "easy task1 query", "id": 7}\n')
    options = ["--column", "prompt", "--keep", "id", "--json", "--workers", "1"]
    ran = invoke("batch", pipeline, source, tmp_path / "out", *options)
    document = json.loads(ran.out)
    assert document.pop("seconds") > 0
    assert document == {
        "output": str(tmp_path / "out"),
        "rows": 1,
        "parts": 1,
        "resumed": 0,
        "engine": "local",
        "workers": 1,
    }
    (row,) = decided(tmp_path / "out")
    assert row["id"] == 7
    assert "prompt" not in row


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], "'0': expected a number from 1, or two as in 2:16"),
        (["--workers", "4:2"], "'4:2': expected a number from 1"),
        (["--workers", "many"], "'many': expected a number from 1"),
        (["--quality", "2"], "quality is 2.0: expected a share"),
        (["--exclude", "smal"], "no model named 'smal'; did you mean 'small'"),
        (["--column", "text"], "no text among the fields 'id', 'query'"),
        (["--engine", "spark"], "'spark' is not one of 'local', 'ray'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: list[str], words: str, pipeline: Path, tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "in.jsonl", 3)
    ran = invoke("batch", pipeline, source, tmp_path / "out", *options)
    assert ran.code == 2
    assert words in ran.err
    assert not (tmp_path / "out").exists()


def test_an_address_that_no_package_reads_says_which_is_missing(
    pipeline: Path, tmp_path: Path
) -> None:
    ran = invoke("batch", pipeline, "adl://queries", tmp_path / "out")
    assert ran.code == 2
    assert "adl://queries" in ran.err
    ran = invoke("batch", pipeline, "nothing://queries", tmp_path / "out")
    assert (ran.code, "no such kind of address" in ran.err) == (2, True)

"""Files of any size: the decisions of `decide`, in parts; a run that was stopped goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import ConfigError, DataError, OutputError
from equirouter.evaluation.train import train
from equirouter.pipeline import Ask, Decision, RoutingPipeline
from equirouter.policy import Control, Needs
from equirouter.scale import run as run_module
from equirouter.scale.asked_rows import Asking
from equirouter.scale.lines import decision_fields
from equirouter.scale.output_parts import ROWS_AT_ONCE, Done, Work
from equirouter.scale.pieces import Piece, lines_of
from equirouter.scale.run import Summary, run_batch
from tests.scale.made import decided, parts, rows, write_lines, write_parquet
from tests.toys import HashingEncoder, make_table


def ran(asking: Asking, source: Path, output: Path, **options: Any) -> Summary:
    return run_batch(asking, str(source), str(output), **options)


def expected(asking: Asking, n: int) -> list[dict[str, Any]]:
    """The rows, each with what `decide` says of its query."""
    found = []
    for row in rows(n):
        decision = asking.pipeline.decide(row["query"], **_given(asking.control))
        found.append(row | decision_fields(decision))
    return found


def _given(control: Control) -> dict[str, Any]:
    return {name: value for name, value in vars(control).items() if value is not None}


def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the forms in which the two formats differ."""
    return [
        row | {"fallbacks": tuple(row["fallbacks"]), "removed": dict(row["removed"])}
        for row in found
    ]


@pytest.mark.usefixtures("small_pieces")
def test_each_query_is_decided_as_decide_does_bit_for_bit(asking: Asking, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a" / "one.parquet", 23)
    write_lines(tmp_path / "in" / "b.jsonl", 40)
    (tmp_path / "in" / "_hidden.jsonl").write_text("no JSON")
    (tmp_path / "in" / "read.me").write_text("no queries")
    done = ran(asking, tmp_path / "in", tmp_path / "out")
    assert plain(decided(tmp_path / "out")) == plain(expected(asking, 23) + expected(asking, 40))
    assert (done.rows, done.resumed, done.engine) == (63, 0, "local")
    assert done.parts == len(parts(tmp_path / "out")) > 4 + 10
    again = ran(asking, tmp_path / "in", tmp_path / "out")
    assert (again.rows, again.resumed, again.parts) == (63, done.parts, done.parts)


def test_the_control_is_kept_and_columns_can_be_left_out(asking: Asking, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in.parquet", 9)
    write_lines(tmp_path / "in.jsonl", 9)
    expensive = replace(asking, control=Control(lambda_=0.0))
    for name in ("in.parquet", "in.jsonl"):
        ran(expensive, tmp_path / name, tmp_path / f"{name}.out", keep=("id",))
        wanted = [{k: v for k, v in row.items() if k != "query"} for row in expected(expensive, 9)]
        assert plain(decided(tmp_path / f"{name}.out")) == plain(wanted)


def test_constraints_of_a_row_are_kept(asking: Asking, tmp_path: Path) -> None:
    queries = [
        {"query": "hard task1 query", "exclude": ["large"]},
        {"query": "hard", "exclude": None},
    ]
    pq.write_table(pa.Table.from_pylist(queries), tmp_path / "in.parquet")
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, queries)))
    for name in ("in.parquet", "in.jsonl"):
        ran(asking, tmp_path / name, tmp_path / f"{name}.out")
        first, second = plain(decided(tmp_path / f"{name}.out"))
        assert first["removed"] == {"large": "excluded by name"}
        assert second["removed"] == {}


def test_one_row_is_decided_as_one_of_several(asking: Asking, tmp_path: Path) -> None:
    for n in (1, 3):
        pq.write_table(pa.table({"query": ["hard"] * n}), tmp_path / "in.parquet")
        ran(asking, tmp_path / "in.parquet", tmp_path / f"{n}.out")
    assert plain(decided(tmp_path / "1.out")) == plain(decided(tmp_path / "3.out"))[:1]


def test_a_control_of_a_row_is_kept(asking: Asking, tmp_path: Path) -> None:
    queries = [{"query": "hard", "budget_usd": 0.0005}, {"query": "hard", "budget_usd": None}]
    pq.write_table(pa.Table.from_pylist(queries), tmp_path / "in.parquet")
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, queries)))
    for name in ("in.parquet", "in.jsonl"):
        ran(asking, tmp_path / name, tmp_path / f"{name}.out")
        first, second = plain(decided(tmp_path / f"{name}.out"))
        assert (first["setting"], first["value"]) == ("budget_usd", 0.0005)
        assert second["setting"] != "budget_usd"


@given(st.lists(st.text("ab", max_size=5), max_size=30), st.integers(1, 40), st.booleans())
def test_every_line_is_in_one_piece(lines: list[str], step: int, ends: bool) -> None:
    content = "\n".join(lines).encode() + (b"\n" if ends else b"")
    with fsspec.open("memory://lines.jsonl", "wb") as stream:
        stream.write(content)
    found = []
    for start in range(0, len(content), step):
        stop = min(start + step, len(content))
        piece = Piece(0, "memory://lines.jsonl", "jsonl", start, stop)
        found += [line for _, line in lines_of(piece)]
    assert found == content.splitlines(keepends=True)


@pytest.mark.usefixtures("small_pieces")
def test_a_run_that_failed_goes_on(
    asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_parquet(tmp_path / "in.parquet", 40)
    ran(asking, source, tmp_path / "whole")
    write = Work.__call__

    def full(work: Work, piece: Piece) -> Done:
        if piece.number == 3:
            raise OutputError("no space")
        return write(work, piece)

    monkeypatch.setattr(Work, "__call__", full)
    with pytest.raises(OutputError, match="no space"):
        ran(asking, source, tmp_path / "out")
    monkeypatch.setattr(Work, "__call__", write)
    done = ran(asking, source, tmp_path / "out")
    assert (done.resumed, done.rows) == (3, 40)
    assert parts(tmp_path / "out") == parts(tmp_path / "whole")


KILLED = """
import os, signal, sys
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import Control, Needs
from equirouter.scale import pieces
from equirouter.scale.asked_rows import Asking
from equirouter.scale.output_parts import Work
from equirouter.scale.run import run_batch
from tests.toys import HashingEncoder
pieces.ROWS_PER_PIECE = 7
write = Work._tables

def tables(work, piece):
    for table in write(work, piece):
        yield table
        if piece.number == 3 and work.output.under("part-000002.parquet").system.exists(
            work.output.under("part-000002.parquet").path
        ):
            os.kill(os.getpid(), signal.SIGKILL)  # while its part is being written

Work._tables = tables
pipeline = RoutingPipeline.load(sys.argv[1], encoder=HashingEncoder())
run_batch(Asking(pipeline, Control(), Needs()), sys.argv[2], sys.argv[3])
"""


@pytest.mark.usefixtures("small_pieces")
def test_a_killed_run_goes_on_without_anything_lost_or_twice(
    asking: Asking, folder: Path, tmp_path: Path
) -> None:
    source = write_parquet(tmp_path / "in.parquet", 40)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(source), str(tmp_path / "out")],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert [*parts(tmp_path / "out")] == [f"part-{number:06d}.parquet" for number in range(3)]
    ran(asking, source, tmp_path / "out")
    assert plain(decided(tmp_path / "out")) == plain(expected(asking, 40))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "_batch.json",
        *parts(tmp_path / "out"),
    }


@pytest.mark.usefixtures("small_pieces")
def test_a_part_that_is_not_as_it_was_written_is_made_again(asking: Asking, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", 30)
    ran(asking, source, tmp_path / "out")
    whole = parts(tmp_path / "out")
    cut = tmp_path / "out" / "part-000002.jsonl"
    cut.write_bytes(cut.read_bytes()[:-9])
    (tmp_path / "out" / "part-000004.jsonl").unlink()
    said: list[str] = []
    done = ran(asking, source, tmp_path / "out", say=said.append)
    assert done.resumed == done.parts - 2
    assert parts(tmp_path / "out") == whole
    assert [line.partition(":")[2] for line in said] == [
        " not as it was written, made again",
        " not as it was written, made again",
    ]


@pytest.mark.usefixtures("small_pieces")
def test_processes_write_the_same_parts(asking: Asking, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", 40)
    write_lines(tmp_path / "in" / "b.jsonl", 20)
    ran(asking, tmp_path / "in", tmp_path / "one")
    done = ran(asking, tmp_path / "in", tmp_path / "two", workers=(2, 2))
    assert done.workers == 2
    assert parts(tmp_path / "two") == parts(tmp_path / "one")
    (tmp_path / "in" / "c.jsonl").write_text('{"query": "a"}\n{"query": ""}\n')
    with pytest.raises(DataError, match=r"c.jsonl: the line at byte 15: the query is empty"):
        ran(asking, tmp_path / "in", tmp_path / "three", workers=(2, 2))


def test_a_pool_of_processes_is_started_only_where_it_pays(
    asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_parquet(tmp_path / "in.parquet", 10)
    monkeypatch.setattr(run_module, "usable_cores", lambda: 8)
    assert ran(asking, source, tmp_path / "small").workers == 1
    said: list[str] = []
    done = ran(asking, source, tmp_path / "ray", engine="ray", workers=(4, 4), say=said.append)
    assert (done.engine, done.workers) == ("local", 1)
    assert said == [
        "about 0 s of work on this machine: a cluster takes as long to start as it would save, so "
        "it is done here"
    ]


def test_addresses_of_fsspec_are_read_and_written(asking: Asking, tmp_path: Path) -> None:
    local = write_parquet(tmp_path / "in.parquet", 30)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/queries/in.parquet", local.read_bytes())
    run_batch(asking, "memory://queries", "memory://decisions/of/today")
    ran(asking, local, tmp_path / "out")
    names = {Path(name).name for name in memory.ls("/decisions/of/today", detail=False)}
    assert names == {"_batch.json", "part-000000.parquet"}
    written = memory.cat_file("/decisions/of/today/part-000000.parquet")
    assert written == parts(tmp_path / "out")["part-000000.parquet"]
    assert run_batch(asking, "memory://queries", "memory://decisions/of/today").resumed == 1


def test_a_pipeline_that_is_no_file_has_no_name_to_go_on_with(tmp_path: Path) -> None:
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.3)
    source = write_parquet(tmp_path / "in.parquet", 3)
    with pytest.raises(ConfigError, match="save it, and give the one that load returns"):
        ran(Asking(made, Control(), Needs()), source, tmp_path / "out")


def test_another_run_does_not_go_on_in_a_folder(asking: Asking, tmp_path: Path) -> None:
    source, output = write_lines(tmp_path / "in.jsonl", 5), tmp_path / "out"
    ran(asking, source, output)
    other = train(make_table(seed=1), HashingEncoder(), router="knn:k=5", quality=0.3)
    another = RoutingPipeline.load(other.save(tmp_path / "other"), encoder=HashingEncoder())
    with pytest.raises(OutputError, match=r"asked with another pipeline; repeat it as it was"):
        ran(replace(asking, pipeline=another), source, output)
    with pytest.raises(OutputError, match=r"asked with control none, not quality 0.9;"):
        ran(replace(asking, control=Control(quality=0.9)), source, output)
    with pytest.raises(OutputError, match=r"asked with keep None, not \['id'\]"):
        ran(asking, source, output, keep=("id",))
    write_lines(source, 6)
    with pytest.raises(OutputError, match="asked with other input files, or the same ones as"):
        ran(asking, source, output)
    (output / "_batch.json").write_text("[]")
    with pytest.raises(OutputError, match="this is not what a run wrote"):
        ran(asking, source, output)


def test_a_folder_with_something_else_is_left_alone(asking: Asking, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in" / "in.jsonl", 5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"files of something else, such as photo.jpg"):
        ran(asking, source, tmp_path / "out")
    with pytest.raises(ConfigError, match="this is in the input folder"):
        ran(asking, tmp_path / "in", tmp_path / "in" / "out")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.csv", b"query\na\n", "the file is of another kind; expected one of .parquet, .jsonl"),
        ("in.jsonl", b'{"text": "a"}\n', "byte 0: no query among the fields 'text'; expected"),
        ("in.jsonl", b'{"query": "a"}\n{"que', "the line at byte 15: not JSON: Unterminated"),
        ("in.jsonl", b'{"query": "a"}\n{"query": "\\ud800"}', "at byte 15: text 0 is not valid"),
        ("in.parquet", b"PAR1 no parquet", "in.parquet: not a whole parquet file"),
    ],
)
def test_bad_input_is_named(
    name: str, content: bytes, words: str, asking: Asking, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        ran(asking, tmp_path / name, tmp_path / "out")
    assert words in str(caught.value)
    assert not parts(tmp_path / "out")


class Keyless(HashingEncoder):
    """An encoder whose set-up lacks something."""

    def embed(self, *_: Any) -> Any:
        raise ConfigError("the variable KEY is not set; set it")


def test_what_the_set_up_lacks_is_not_the_fault_of_a_row(folder: Path, tmp_path: Path) -> None:
    asking = Asking(RoutingPipeline.load(folder, encoder=Keyless()), Control(), Needs())
    write_parquet(tmp_path / "in" / "a.parquet", 3)
    write_lines(tmp_path / "lines" / "b.jsonl", 3)
    for name in ("in", "lines"):
        with pytest.raises(ConfigError) as caught:
            ran(asking, tmp_path / name, tmp_path / "out")
        assert str(caught.value) == "the variable KEY is not set; set it"


def test_an_image_that_nobody_reads_is_the_fault_of_its_row(asking: Asking, tmp_path: Path) -> None:
    lines = [{"query": "hard"}, {"query": "easy", "image": "cat.png"}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match=r"the line at byte 18: encoder toy reads text only"):
        ran(asking, tmp_path / "in.jsonl", tmp_path / "out")


def test_columns_that_do_not_fit_are_named(asking: Asking, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"prompt": ["a"], "model": ["b"]}), source)
    for given_, keep, words in (
        (asking, None, r"in.parquet: no column 'query'; found prompt, model"),
        (replace(asking, text="prompt"), None, r"column 'model' would stand beside the decision's"),
        (replace(asking, text="prompt"), ("id",), r"no column 'id'; found prompt, model"),
    ):
        with pytest.raises(DataError, match=words):
            ran(given_, source, tmp_path / "out", keep=keep)
    ran(replace(asking, text="prompt"), source, tmp_path / "out", keep=("prompt",))
    pq.write_table(pa.table({"query": ["a", None]}), source)
    with pytest.raises(DataError, match=r"in.parquet: row 2: query is None; expected"):
        ran(asking, source, tmp_path / "out2")
    with pytest.raises(DataError, match=r"nowhere.parquet: there is no such file"):
        ran(asking, tmp_path / "nowhere.parquet", tmp_path / "out3")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file of queries in the folder"):
        ran(asking, tmp_path / "empty", tmp_path / "out3")


def test_a_damaged_page_is_named(asking: Asking, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", 4000, group=1000)
    content = bytearray(source.read_bytes())
    at = pq.ParquetFile(source).metadata.row_group(3).column(1).data_page_offset
    content[at : at + 400] = os.urandom(400)
    source.write_bytes(content)
    with pytest.raises(DataError, match=r"in.parquet: damaged at or behind row 2049"):
        ran(asking, source, tmp_path / "out")


def test_memory_does_not_grow_with_the_input(
    asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_parquet(tmp_path / "in.parquet", 5000, group=5000)
    at_once: list[int] = []
    decide = asking.pipeline.decide_each

    def watched(asks: Sequence[Ask]) -> list[Decision]:
        at_once.append(len(asks))
        return decide(asks)

    monkeypatch.setattr(asking.pipeline, "decide_each", watched)
    ran(asking, source, tmp_path / "out")
    assert max(at_once) == ROWS_AT_ONCE

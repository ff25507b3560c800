"""Files of a log: what they hold is read whatever they are packed in, and damage is named."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equirouter.data.logs.base import Record, Wrong
from equirouter.data.logs.recognise import format_of, no_outcomes_advice
from equirouter.data.logs.sources import files_of, records_of
from equirouter.errors import DataError

ROWS = [{"prompt": f"é {i}"} for i in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def contents(path: Path) -> list[object]:
    return [one.content if isinstance(one, Record) else one for one in records_of(path)]


def test_json_lines_with_a_mark_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\ufeff\n" + LINES + "\n\n", "utf-8")
    assert contents(path) == ROWS
    assert [one.place for one in records_of(path) if isinstance(one, Record)] == [
        f"{path}: line {i}" for i in (2, 3, 4)
    ]


@pytest.mark.parametrize("document", [ROWS, {"object": "list", "data": ROWS}])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_document(document: object, indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(document, indent=indent), "utf-8")
    assert contents(path) == ROWS


def test_one_object_on_many_lines_is_one_record(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(ROWS[0], indent=2), "utf-8")
    assert contents(path) == ROWS[:1]


def test_gzip_and_zstd_are_unpacked_whatever_their_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(LINES.encode()))
    with pa.output_stream(tmp_path / "b.jsonl.zst", compression="zstd") as stream:
        stream.write(LINES.encode())
    assert contents(tmp_path / "a.jsonl") == ROWS
    assert contents(tmp_path / "b.jsonl.zst") == ROWS


def test_what_is_read_is_told_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(LINES.encode()))
    told: list[int] = []
    assert len(list(records_of(path, told.append))) == 3
    assert sum(told) == path.stat().st_size


def test_tables_of_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt;n\n"a; ""b""\nc";1\n\nd;2\n', "utf-8")
    assert contents(tmp_path / "a.csv") == [
        {"prompt": 'a; "b"\nc', "n": "1"},
        {"prompt": "d", "n": "2"},
    ]
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert contents(tmp_path / "a.parquet") == ROWS


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt"\n[1]\n{"prompt": "b"}\n', "utf-8")
    assert contents(path) == [
        {"prompt": "a"},
        Wrong(f"{path}: line 2: this is not JSON"),
        Wrong(f"{path}: line 3: a JSON object is expected"),
        {"prompt": "b"},
    ]
    first = tmp_path / "first.jsonl"
    first.write_text('{"prompt"\n{"prompt": "b"}\n', "utf-8")
    assert contents(first) == [Wrong(f"{first}: line 1: this is not JSON"), {"prompt": "b"}]
    table = tmp_path / "log.csv"
    table.write_text("prompt,n\na,1\nb\n", "utf-8")
    assert contents(table)[1] == Wrong(
        f"{table}: data row 2: 1 cells, the line of column names has 2; is a separator or a quote "
        "missing there?"
    )


def test_a_byte_that_is_no_utf8_costs_its_record_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    many = b'{"prompt": "a"}\n' * 2000  # more than is decoded at once
    path.write_bytes(many + b'{"prompt": "caf\xe9"}\n\n{"prompt": "b"}\n')
    *before, wrong, after = contents(path)
    assert (len(before), after) == (2000, {"prompt": "b"})
    assert wrong == Wrong(f"{path}: line 2001: this is not valid UTF-8")
    first = tmp_path / "first.jsonl"
    first.write_bytes(b'{"prompt": "caf\xe9"}\n{"prompt": "b"}\n')
    assert contents(first) == [
        Wrong(f"{first}: line 1: this is not valid UTF-8"),
        {"prompt": "b"},
    ]
    table = tmp_path / "log.csv"
    table.write_bytes(b"prompt,n\ncaf\xe9,1\nb,2\n")
    assert contents(table) == [
        Wrong(f"{table}: data row 1: this is not valid UTF-8"),
        {"prompt": "b", "n": "2"},
    ]
    texts = pa.array([b"a", b"b", b"caf\xe9", b"c"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"prompt": texts}), tmp_path / "log.parquet")
    assert contents(tmp_path / "log.parquet") == [
        {"prompt": "a"},
        {"prompt": "b"},
        Wrong(f"{tmp_path / 'log.parquet'}: data row 3: this is not valid UTF-8"),
        {"prompt": "c"},
    ]
    query = tmp_path / "query.txt"
    query.write_bytes(b"caf\xe9")
    assert contents(query) == [Wrong(f"{query}: this is not valid UTF-8")]


def test_half_of_a_character_in_json_is_json(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"prompt": "\\ud83d"}\n{"prompt": "\\udcff"}\n', "utf-8")
    assert contents(path) == [{"prompt": "\ud83d"}, {"prompt": "\udcff"}]


def test_lines_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"prompt": "a"}\n\n\n{"prompt": "b"}\n{"prompt"\n', "utf-8")
    assert [record.place for record in records_of(path) if isinstance(record, Record)] == [
        f"{path}: line 1",
        f"{path}: line 4",
    ]
    assert contents(path)[-1] == Wrong(f"{path}: line 5: this is not JSON")
    # JSON may hold what Python takes for the end of a line, and no file does
    path.write_text('\n{"prompt"\r\n{"prompt": "b\u2028c"}\r\n', "utf-8")
    assert contents(path) == [
        Wrong(f"{path}: line 2: this is not JSON"),
        {"prompt": "b\u2028c"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b" \n", "nothing in this file but white space"),
        ("a.jsonl", b"{'prompt': 1}\n", "neither a JSON document nor one per line"),
        ("a.jsonl", b'{"prompt": "\xff"}\n', "line 1: this is not valid UTF-8; save"),
        ("a.json", b'[\n{"prompt":\n"\xff"}]\n', "line 3: this is not valid UTF-8; save"),
        ("a.jsonl", '{"prompt": "a"}\n'.encode("utf-16"), "line 1: this is not valid UTF-8; save"),
        ("a.csv", b"caf\xe9,n\na,1\n", "column names is not valid UTF-8; save"),
        ("a.log", b"GET / 200\n", "this log cannot be read"),
        ("a.gz", b"\x1f\x8b\x08\x00", "could not be read"),
        ("a.parquet", b"PAR1", "could not be read"),
    ],
)
def test_a_file_that_is_none(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(records_of(path))
    assert no_outcomes_advice(path, "damaged") is None


def test_files_of_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.jsonl", "sub/a.csv.gz", "notes.txt", ".hidden/c.jsonl", "picture.png"):
        (tmp_path / name).write_text("x", "utf-8")
    logs = [tmp_path / "b.jsonl", tmp_path / "sub" / "a.csv.gz"]
    assert files_of([tmp_path]) == logs
    assert files_of([tmp_path / "b.jsonl", tmp_path]) == logs  # each once
    with pytest.raises(DataError, match="there is no such file or folder"):
        files_of([tmp_path / "none.jsonl"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file in this folder is a log"):
        files_of([tmp_path / "empty"])


def test_an_unknown_format_says_what_was_found_and_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"foo": 1}\n{"bar": "x"}\n', "utf-8")
    with pytest.raises(DataError, match=r"'foo', 'bar'\. Known are\n  openai-batch: OpenAI batch"):
        format_of(path)

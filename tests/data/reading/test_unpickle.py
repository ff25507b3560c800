"""Pickled tables: read whole from every protocol, and nothing in them is ever run."""

import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from equirouter.data import read_table
from equirouter.data.reading.unpickle import read_pickle_table, read_pickle_values
from equirouter.errors import DataError

NAN = float("nan")


def frame(text: str = "object") -> Any:
    """Texts, numbers and the mixture of both that RouterBench has in one column."""
    return pd.DataFrame(
        {
            "query_id": pd.Series(["q1", "q2", "q3"], dtype=text),
            "query": pd.Series(["one\n", "zwei é", "🙂"], dtype=text),
            "a": pd.Series([0.5, "1.0", None], dtype=object),
            "a|total_cost": [0.1, NAN, 3e-300],
            "b": [1, 0, 1],
            "b|total_cost": [0.2, 0.3, 0.4],
        }
    )


def check(columns: dict[str, Any]) -> None:
    assert list(columns) == ["query_id", "query", "a", "a|total_cost", "b", "b|total_cost"]
    assert columns["query_id"] == ["q1", "q2", "q3"]
    assert columns["query"] == ["one\n", "zwei é", "🙂"]
    assert columns["a"] == [0.5, "1.0", None]
    assert np.array_equal(columns["a|total_cost"], [0.1, NAN, 3e-300], equal_nan=True)
    assert columns["b"].tolist() == [1, 0, 1]
    assert columns["b|total_cost"].tolist() == [0.2, 0.3, 0.4]


def dump(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("text", ["object", "str", "string"])
def test_a_frame_is_read_whole(tmp_path: Path, protocol: int, text: str) -> None:
    check(read_pickle_table(dump(tmp_path / "t.pkl", frame(text), protocol)))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.set_index(pd.Index([7, 5, 9])),
        lambda table: table.set_index(pd.Index(["x", "y", "z"])),
        lambda table: pd.concat([table[:1], table[1:]]),
        lambda table: table[::-1][::-1],
        lambda table: table.iloc[:, [5, 4, 3, 2, 1, 0]].iloc[:, ::-1],
    ],
)
def test_frames_made_by_other_ways(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    columns = read_pickle_table(dump(tmp_path / "t.pkl", change(frame("str")), 5))
    check({name: np.array(cells) if name[0] == "b" else cells for name, cells in columns.items()})


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [object, float])
@pytest.mark.parametrize("protocol", [4, 5])
def test_blocks_in_either_order(tmp_path: Path, order: Any, kind: type, protocol: int) -> None:
    cells: Any = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=kind, order=order)
    table = pd.DataFrame(cells, columns=["a", "b"], copy=False)
    assert table._mgr.blocks[0].values.flags.f_contiguous == (order == "C")  # blocks lie across
    columns = read_pickle_table(dump(tmp_path / "t.pkl", table, protocol))
    assert {name: list(cells) for name, cells in columns.items()} == {
        "a": [1, 3, 5],
        "b": [2, 4, 6],
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nullable_numbers_and_categories(tmp_path: Path, protocol: int) -> None:
    columns = {
        "i": pd.array([1, None, 3], dtype="Int64"),
        "u": pd.array([1, 2, 255], dtype="UInt8"),
        "f": pd.array([1.5, None, 3.0], dtype="Float32"),
        "b": pd.array([True, None, False], dtype="boolean"),
        "texts": pd.Categorical(["x", None, "y"], categories=["y", "x"]),
        "numbers": pd.Categorical([7, 9, 7]),
    }
    table = pd.DataFrame(columns)
    assert table.dtypes is not None  # kept in the columns, and so in the pickle
    read = read_pickle_table(dump(tmp_path / "t.pkl", table, protocol))
    assert read == {
        "i": [1, None, 3],
        "u": [1, 2, 255],
        "f": [1.5, None, 3.0],
        "b": [True, None, False],
        "texts": ["x", None, "y"],
        "numbers": [7, 9, 7],
    }


def test_a_table_of_nullable_outcomes_and_categories(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "query_id": pd.array([1, 1, 2, 2], dtype="Int64"),
            "query": pd.Categorical(["one", "one", "two", "two"]),
            "task": pd.Categorical(["t"] * 4),
            "model": pd.Categorical(["a", "b", "a", "b"]),
            "performance": pd.array([1, 0, None, 1], dtype="Int64"),
            "cost_usd": pd.array([0.1, 0.2, 0.3, 0.4], dtype="Float64"),
        }
    )
    outcomes = read_table(dump(tmp_path / "t.pkl", table))
    assert (outcomes.query_ids, outcomes.texts) == (("1", "2"), ("one", "two"))
    assert outcomes.models == ("a", "b")
    assert np.array_equal(outcomes.performance, np.array([[1, 0], [NAN, 1]]), equal_nan=True)


@pytest.mark.parametrize("codes", [b"\x00\xff\x02", b"\x00\xfe\x01"])
def test_a_cell_of_no_category_is_refused(tmp_path: Path, codes: bytes) -> None:
    content = pickle.dumps(pd.DataFrame({"a": pd.Categorical(["x", None, "y"])}), 5)
    (tmp_path / "t.pkl").write_bytes(damage(content, b"\x00\xff\x01", codes))
    with pytest.raises(DataError, match="a category that there is not"):
        read_pickle_table(tmp_path / "t.pkl")


def test_a_mask_that_is_none_is_refused(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": pd.array([1, None], dtype="Int8")})
    content = damage(pickle.dumps(table, 4), b"\x8c\x02b1", b"\x8c\x02i1")
    (tmp_path / "t.pkl").write_bytes(content)
    with pytest.raises(DataError, match="not numbers and a mask"):
        read_pickle_table(tmp_path / "t.pkl")


def test_strings_without_arrow(tmp_path: Path) -> None:
    kind = pd.StringDtype("python", na_value=NAN)
    table = pd.DataFrame({"query_id": pd.array(["x", None], dtype=kind)})
    cells = read_pickle_table(dump(tmp_path / "t.pkl", table))["query_id"]
    assert cells[0] == "x"
    assert cells[1] != cells[1]


def test_numpy_scalars_and_missing_values_in_cells(tmp_path: Path) -> None:
    cells = [np.float64(0.1), np.int64(3), np.bool_(True), pd.NA, None, "x"]
    table = pd.DataFrame({"a": pd.Series(cells, dtype=object)})
    column = read_pickle_table(dump(tmp_path / "t.pkl", table))["a"]
    assert column == [0.1, 3, True, None, None, "x"]
    assert [type(cell) for cell in column[:3]] == [float, int, bool]


def test_names_of_older_versions(tmp_path: Path) -> None:
    """numpy before 2 and pandas before 3 had the same things in other places."""
    content = pickle.dumps(frame(), 3)
    for new, old in (
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
        (b"cpandas\nDataFrame\n", b"cpandas.core.frame\nDataFrame\n"),
        (b"cpandas\nRangeIndex\n", b"cpandas.core.indexes.range\nRangeIndex\n"),
        (b"cpandas\nIndex\n", b"cpandas.core.indexes.base\nIndex\n"),
    ):
        assert new in content
        content = content.replace(new, old)
    (tmp_path / "t.pkl").write_bytes(content)
    check(read_pickle_table(tmp_path / "t.pkl"))


def test_the_state_of_pandas_before_1_3(tmp_path: Path) -> None:
    """Its manager was made empty and then given axes and blocks as a state."""
    table = frame()
    manager = table._mgr
    blocks = [
        {"values": block.values, "mgr_locs": block.mgr_locs.indexer} for block in manager.blocks
    ]
    state: Any = ([], [], [], {"0.14.1": {"axes": list(manager.axes), "blocks": blocks}})

    class OldManager:
        def __reduce__(self) -> tuple[Any, ...]:
            return type(manager), (), state

    class OldFrame:
        def __reduce__(self) -> tuple[Any, ...]:
            return pd.DataFrame, (), {"_data": OldManager(), "_typ": "dataframe"}

    # Columns as objects: those versions had no string type.
    table.columns = pd.Index(list(table.columns), dtype=object)
    state[3]["0.14.1"]["axes"][0] = table.columns
    check(read_pickle_table(dump(tmp_path / "t.pkl", OldFrame(), 4)))


def test_a_pickle_is_a_table_like_others(tmp_path: Path) -> None:
    table = read_table(dump(tmp_path / "mine.pkl", frame()))
    assert (table.name, table.models) == ("mine", ("a", "b"))
    assert np.array_equal(table.performance, [[0.5, 1.0], [1.0, 0.0], [NAN, 1.0]], equal_nan=True)


class Calls:
    """Pickles as a call of a function, which plain unpickling would make."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def in_a_cell(value: Any) -> Any:
    return pd.DataFrame({"a": pd.Series(["x", value], dtype=object)})


def in_an_array(value: Any) -> Any:
    array = np.empty(1, dtype=object)
    array[0] = [{"deep": (value,)}]
    return array


@pytest.mark.parametrize("wrap", [lambda value: value, in_a_cell, in_an_array, lambda v: [v, v]])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_call_is_refused_before_it_is_made(
    tmp_path: Path, wrap: Callable[[Any], Any], protocol: int
) -> None:
    mark = tmp_path / "was-called"
    path = dump(tmp_path / "t.pkl", wrap(Calls(os.mkdir, str(mark))), protocol)
    with pytest.raises(DataError) as caught:
        read_pickle_table(path)
    assert str(path) in str(caught.value)
    if protocol:  # protocol 0 fails on the way a frame or an array is written there
        assert f"{os.mkdir.__module__}.mkdir" in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("function", "asked"),
    [
        (os.system, f"{os.system.__module__}.system"),
        (eval, "builtins.eval"),
        (getattr, "builtins.getattr"),
        (np.fromfile, "numpy.fromfile"),
        (np.load, "numpy.load"),
        (pickle.loads, "_pickle.loads"),
        (pd.eval, "pandas.eval"),
        (pd.Timestamp, "Timestamp"),
    ],
)
def test_what_was_asked_for_is_named(
    tmp_path: Path, function: Callable[..., Any], asked: str
) -> None:
    path = dump(tmp_path / "t.pkl", Calls(function, "1"))
    with pytest.raises(DataError, match="was refused before anything was called") as caught:
        read_pickle_table(path)
    assert asked in str(caught.value)


def stack_global(module: str, name: str, argument: bytes = b")") -> bytes:
    """A hand-written pickle: module.name(), by protocol 4."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + texts + b"\x93" + argument + b"R."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "ndarray.tofile"),
        ("numpy", "ndarray.__class__"),
        ("pandas", "DataFrame.to_pickle"),
        ("pandas.core.frame", "DataFrame.eval"),
        ("builtins", "slice.__class__"),
        ("pyarrow.lib", "py_buffer.__self__"),
        ("sys", "modules"),
    ],
)
def test_dotted_names_reach_nothing(tmp_path: Path, module: str, name: str) -> None:
    (tmp_path / "t.pkl").write_bytes(stack_global(module, name))
    with pytest.raises(DataError, match="asks for") as caught:
        read_pickle_table(tmp_path / "t.pkl")
    assert f"{module}.{name}" in str(caught.value)


def test_allowed_names_are_not_called_either(tmp_path: Path) -> None:
    """bytearray(2**40) would ask for a terabyte; here it is a record of being asked."""
    (tmp_path / "t.pkl").write_bytes(
        stack_global("builtins", "bytearray", b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85")
    )
    with pytest.raises(DataError, match="holds bytes where frame is expected"):
        read_pickle_table(tmp_path / "t.pkl")


def test_one_pickle_does_not_change_how_the_next_is_read(tmp_path: Path) -> None:
    # BUILD with (None, {"part": "frame"}) sets attributes on what stands below: here on a type.
    hostile = b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93(N}\x8c\x04part\x8c\x05framestb."
    (tmp_path / "hostile.pkl").write_bytes(hostile)
    with pytest.raises(DataError):
        read_pickle_table(tmp_path / "hostile.pkl")
    check(read_pickle_table(dump(tmp_path / "good.pkl", frame())))


def damage(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x8c\x02f8", b"\x8c\x02O8"),  # numbers said to be objects: memory would be pointers
        (b"\x8c\x02f8", b"\x8c\x02f4"),
        (b"\x8c\x02f8", b"\x8c\x02V8"),
        (b"large_string", b"large_binary"),
        (b"\x8c\x04_mgr", b"\x8c\x04_mgX"),
    ],
)
def test_a_changed_pickle_is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "t.pkl"
    path.write_bytes(damage(pickle.dumps(frame("str"), 4), old, new))
    with pytest.raises(DataError, match=r"t\.pkl"):
        read_pickle_table(path)


@pytest.mark.parametrize("offsets", [(0, 2, 3, 6), (0, 9, 3, 4), (0, 3, 2, 4), (-8, 2, 3, 4)])
def test_arrow_texts_with_offsets_out_of_their_buffer(
    tmp_path: Path, offsets: tuple[int, ...]
) -> None:
    content = pickle.dumps(pd.DataFrame({"a": pd.Series(["xy", "z", "w"], dtype="str")}), 5)
    right, wrong = (
        b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
        for numbers in ((0, 2, 3, 4), offsets)
    )
    (tmp_path / "t.pkl").write_bytes(damage(content, right, wrong))
    with pytest.raises(DataError, match=r"not a whole pickle.*[Oo]ffset"):
        read_pickle_table(tmp_path / "t.pkl")


def test_an_object_array_with_another_shape_than_its_items(tmp_path: Path) -> None:
    content = pickle.dumps(frame()[["a"]], 4)  # (1, 3) -> (1, 2): a row would be lost in silence
    path = tmp_path / "t.pkl"
    path.write_bytes(damage(content, b"K\x01K\x03\x86", b"K\x01K\x02\x86"))
    with pytest.raises(DataError, match="another length than its shape"):
        read_pickle_table(path)


@pytest.mark.parametrize("cut", [1, 10, 100, 400])
def test_a_pickle_cut_short(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "t.pkl"
    path.write_bytes(pickle.dumps(frame(), 4)[:-cut])
    with pytest.raises(DataError, match="not a whole pickle"):
        read_pickle_table(path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "a list where frame"),
        ({"a": [1]}, "a dict where frame"),
        (b"junk", "a bytes where frame"),
        (pd.DataFrame({"a": [["x"], ["y"]]}), "a list where scalar"),
        (pd.DataFrame({"a": ["x"]}).rename(columns={"a": 1}), "column names that are not text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns of the same name"),
        (pd.DataFrame({"a": np.array(["2024-01-01"], dtype="M8[s]")}), "DatetimeArray"),
        (pd.DataFrame({"a": pd.interval_range(0, 1)}), "Interval"),
        (pd.Series(["x"]), "Series"),
    ],
)
def test_something_else_than_a_table(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_pickle_table(dump(tmp_path / "t.pkl", value))


def test_an_integer_too_long_to_be_written(tmp_path: Path) -> None:
    path = dump(tmp_path / "t.pkl", frame().assign(query=["x", 10**5000, "y"]))
    with pytest.raises(DataError, match=r"column 'query' holds an integer beyond 1e308"):
        read_table(path)


def test_text_that_is_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "t.pkl").write_text("query_id,query\n")
    with pytest.raises(DataError, match="not a whole pickle"):
        read_pickle_table(tmp_path / "t.pkl")


def test_reading_needs_no_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dump(tmp_path / "t.pkl", frame("str"))
    for name in [name for name in sys.modules if name.split(".")[0] == "pandas"]:
        monkeypatch.setitem(sys.modules, name, None)
    check(read_pickle_table(path))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nested_values_and_arrays(protocol: int) -> None:
    content = {
        "numbers": np.asfortranarray([[0, 1.5], [2, 3]]),
        "texts": np.array(["x \u00e9", "", "yy"]),
        "table": np.array([["a", "b"], ["c", "d"]], dtype=object),
        "deep": {3: [("a", np.float64(2.5), None, True)]},
        "left out": np.zeros((1, 1, 1)),
    }
    stream = io.BytesIO(pickle.dumps(content, protocol))
    values = read_pickle_values(stream, "here", without=("left out",))
    assert values.pop("numbers").tolist() == [[0, 1.5], [2, 3]]
    assert values == {
        "texts": ["x \u00e9", "", "yy"],
        "table": [["a", "b"], ["c", "d"]],
        "deep": {3: [["a", 2.5, None, True]]},
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["f8", "i4", "U3", "O"])
def test_empty_arrays(kind: str, protocol: int) -> None:
    content = {"row": np.empty(0, dtype=kind), "table": np.empty((0, 2), dtype=kind)}
    read = read_pickle_values(io.BytesIO(pickle.dumps(content, protocol)), "here")
    assert list(read) == ["row", "table"]
    assert [len(read["row"]), len(read["table"])] == [0, 0]


def test_a_list_named_many_times_is_read_once() -> None:
    """Ten lists of ten times the next: 10 ** 40 items, were each of them copied."""
    bomb: list[Any] = ["x"]
    for _ in range(40):
        bomb = [bomb] * 10
    values = read_pickle_values(io.BytesIO(pickle.dumps(bomb)), "here")
    while len(values) == 10:
        values = values[3]
    assert values == ["x"]


@pytest.mark.parametrize("put", [b"r" + (1 << 20).to_bytes(4, "little"), b"p1048576\n", b"q\x05"])
def test_a_memo_larger_than_the_pickle_is_refused(tmp_path: Path, put: bytes) -> None:
    (tmp_path / "t.pkl").write_bytes(b"\x80\x02]" + put + b".")
    with pytest.raises(DataError, match=r"not a whole pickle.*place [0-9]+ of the memo"):
        read_pickle_table(tmp_path / "t.pkl")
    with pytest.raises(DataError, match=r"not a whole pickle.*place [0-9]+ of the memo"):
        read_pickle_values(io.BytesIO(b"\x80\x02]" + put + b"."), "here")


@pytest.mark.parametrize("shape", [(1 << 32, 1 << 32), (1 << 40, 0)])
def test_a_shape_of_nothing_has_no_rows(shape: tuple[int, int]) -> None:
    """The product of the first overflows to 0, and of the second is 0: 4 billion empty rows."""
    content = pickle.dumps(np.zeros((0, 7), dtype=object), 4)
    lengths = b"".join(b"\x8a\x06" + n.to_bytes(6, "little") for n in shape) + b"\x86"
    with pytest.raises(DataError, match="array"):
        read_pickle_values(io.BytesIO(damage(content, b"K\x00K\x07\x86", lengths)), "here")


def test_letters_that_are_none_are_refused() -> None:
    content = damage(pickle.dumps(np.array(["ab"]), 4), b"b\0\0\0", b"b\0\0\x7f")
    with pytest.raises(DataError, match="letters that are none"):
        read_pickle_values(io.BytesIO(content), "here")


def test_nested_values_that_are_refused() -> None:
    for content, message in (
        (eval, r"here: the pickle asks for builtins\.eval"),
        ({"a": {1, 2}}, "here: the pickle holds a set where scalar is expected"),
        (np.zeros((1, 1, 1)), r"here: the pickle holds an array of shape \(1, 1, 1\)"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "here: the pickle holds numpy cells of type"),
    ):
        with pytest.raises(DataError, match=message):
            read_pickle_values(io.BytesIO(pickle.dumps(content)), "here")
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(DataError, match="here: this is not a whole pickle"):
        read_pickle_values(io.BytesIO(pickle.dumps(loop)), "here")

"""Reading pickled tables and arrays without running anything that is in the pickle.

A pickle is a program: it names functions and calls them. Here every name it may use stands for an
inert record that only remembers what it was called with, so that neither pandas nor numpy nor
pyarrow sees a byte of the file. A name that a table of strings and numbers does not need is
refused. The records are then read as the data frame or the arrays that they describe, each part
checked.
"""

import math
import pickle
import pickletools
import re
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import pyarrow as pa

from equirouter.data.reading.pickle_names import ALLOWED
from equirouter.errors import DataError

Column: TypeAlias = "list[Any] | np.ndarray[Any, Any]"

_DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    StopIteration,
    pa.ArrowException,
)


def read_pickle_table(path: str | Path) -> dict[str, Column]:
    """The columns of a pickled pandas DataFrame of texts and numbers, in their order.

    A column is an array of numbers, or a list of str, float, int, bool and None; its row index is
    left out. pandas need not be installed. Raises DataError when the pickle asks for anything else,
    with the name of what it asked for, and when it is damaged or holds something else than a table.
    """
    path = Path(path)
    advice = (
        "a pandas DataFrame of strings and numbers is expected: write the table as parquet, which "
        "holds more"
    )
    with path.open("rb") as stream, _explained(str(path), " of a table", advice):
        _check_memo(stream)
        return _frame_columns(_Unpickler(stream, str(path)).load())


def read_pickle_values(stream: IO[bytes], place: str, *, without: Container[object] = ()) -> Any:  # noqa: ANN401
    """A pickle of dicts, lists, texts, numbers and numpy arrays, nested in any way, as they are.

    Arrays have one or two dimensions; those of numbers are read-only and use the memory of the
    pickle, those of texts and objects become lists, row by row. place: what messages call it.
    without: keys of the outermost dict that are left out, whatever is in them.
    Raises DataError when the pickle asks for anything else, and when it is damaged.
    """
    advice = "dicts, lists, texts, numbers and numpy arrays are expected"
    with _explained(place, "", advice):
        _check_memo(stream)
        value = _Unpickler(stream, place).load()
        if isinstance(value, dict):
            value = {key: value for key, value in value.items() if key not in without}
        return _plain_value(value, {})


@contextmanager
def _explained(place: str, of: str, advice: str) -> Iterator[None]:
    """Inside, what is wrong with a pickle becomes a DataError."""
    try:
        yield
    except DataError:
        raise
    except _UnexpectedError as error:
        raise DataError(f"{place}: the pickle holds {error}; {advice}") from error
    except _DAMAGED as error:
        raise DataError(f"{place}: this is not a whole pickle{of}: {error}") from error


def _check_memo(stream: IO[bytes]) -> None:
    """Raise UnpicklingError for a place in the memo that no honest pickle has, and rewind.

    The memo is an array as long as the largest place that is named: seven bytes ask for 32 GB.
    """
    start = stream.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        place = argument if opcode.name in _MEMO_OPCODES else None
        if place is not None and place > count:
            raise pickle.UnpicklingError(f"place {place} of the memo in instruction {count}")
    stream.seek(start)


_MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT"}


class _UnexpectedError(Exception):
    """A part of the pickle is allowed, but not where it stands."""


class _Record:
    """The arguments with which the pickle called a name; subclasses carry the part."""

    part = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "_Record":  # noqa: ANN401
        record = super().__new__(cls)
        record.args = args
        record.state = None
        return record

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401
        self.state = state


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Any, place: str) -> None:  # noqa: ANN401
        super().__init__(stream)
        self._place = place
        self._types: dict[str, type[_Record]] = {}  # made anew: a pickle may write on its types

    def find_class(self, module: str, name: str) -> type[_Record]:
        asked = f"{'builtins' if module == '__builtin__' else module}.{name}"
        part = ALLOWED.get(asked)
        if part is None:
            raise DataError(
                f"{self._place}: the pickle asks for {module}.{name}, which a table of strings and "
                "numbers does not need; it was refused before anything was called. If you trust "
                "the file, load it with pandas and write it as parquet"
            )
        if part not in self._types:
            self._types[part] = type(part, (_Record,), {"part": part})
        return self._types[part]


@dataclass(frozen=True)
class _Objects:
    """A numpy array of Python objects: its items row by row, however the array lay in memory."""

    shape: tuple[int, ...]
    items: list[Any]

    def row(self, i: int) -> list[Any]:
        length = self.shape[1]
        return self.items[i * length : (i + 1) * length]


def _part(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, _Record):
        return value.part
    return f"a {type(value).__name__}"


def _expect(value: Any, *parts: str) -> Any:  # noqa: ANN401
    if not isinstance(value, _Record) or value.part not in parts:
        raise _UnexpectedError(f"{_part(value)} where {' or '.join(parts)} is expected")
    return value


def _plain_value(value: Any, done: dict[int, Any]) -> Any:  # noqa: ANN401
    # done: by id, what was read already. A pickle can name one list many times, and lists of lists
    # of it too: copied each time, a hundred bytes of file would fill any memory.
    if type(value) in _PLAIN:
        return value
    if _part(value) == "scalar":
        return _cell(value, {})
    if id(value) not in done:
        done[id(value)] = _plain_container(value, done)
    return done[id(value)]


def _plain_container(value: Any, done: dict[int, Any]) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {_plain_value(key, done): _plain_value(item, done) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(item, done) for item in value]
    if _part(value) not in ("array", "array_of_buffer"):
        return _cell(value, {})
    array = _values(value)
    if not isinstance(array, _Objects):
        return array
    cells = _cells(array.items)
    if len(array.shape) == 1:
        return cells
    width = array.shape[1]
    return [cells[row * width : (row + 1) * width] for row in range(array.shape[0])]


def _frame_columns(root: Any) -> dict[str, Column]:  # noqa: ANN401
    state = _expect(root, "frame").state
    # pandas 1.0 called the manager _data.
    manager = _expect(state.get("_mgr", state.get("_data")), "manager")
    if manager.state is not None:  # before pandas 1.3
        inside = manager.state[3]["0.14.1"]
        axes = inside["axes"]
        blocks = [(block["values"], block["mgr_locs"]) for block in inside["blocks"]]
    else:
        parts, axes = manager.args
        blocks = [_expect(block, "block").args[:2] for block in parts]
    names = _column_names(axes[0])
    by_place: dict[int, Column] = {}
    for values, places in blocks:
        columns = _block_columns(_values(values))
        by_place.update(zip(_places(places), columns, strict=True))
    if sorted(by_place) != list(range(len(names))):
        raise _UnexpectedError(f"{len(by_place)} columns for {len(names)} names")
    if len({len(column) for column in by_place.values()}) > 1:
        raise _UnexpectedError("columns of different lengths")
    return {name: by_place[i] for i, name in enumerate(names)}


def _column_names(index: Any) -> list[str]:  # noqa: ANN401
    record = _expect(index, "new_index")
    if "data" not in record.args[1]:
        raise _UnexpectedError("columns without names")
    names = _block_columns(_values(record.args[1]["data"]))[0]
    if not all(isinstance(name, str) for name in names):
        raise _UnexpectedError("column names that are not text")
    if len(set(names)) < len(names):
        raise _UnexpectedError("two columns of the same name")
    return list(names)


def _block_columns(values: Any) -> list[Column]:  # noqa: ANN401
    """The columns of one block: (n_columns, n_rows), or one column alone."""
    if isinstance(values, _Objects):
        if len(values.shape) == 1:
            return [_cells(values.items)]
        return [_cells(values.row(i)) for i in range(values.shape[0])]
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return list(values)
    return [values]


def _places(places: Any) -> list[int]:  # noqa: ANN401
    """Which columns of the frame those of a block are."""
    if isinstance(places, _Record) and places.part == "slice":
        return list(range(*slice(*places.args).indices(1 << 20)))
    positions = _values(places)
    if not isinstance(positions, np.ndarray) or positions.dtype.kind != "i":
        raise _UnexpectedError("column positions that are not integers")
    return [int(position) for position in positions]


def _values(value: Any) -> Any:  # noqa: ANN401
    """An array record as a numpy array, as objects, or as a list of strings and None."""
    record = _expect(value, "array", "array_of_buffer", "arrow_strings", "backed", "masked")
    if record.part == "arrow_strings":
        return _arrow_strings(record.state.get("_pa_array", record.state.get("_data")))
    if record.part == "masked":
        return _masked(record.state["_data"], record.state["_mask"])
    if record.part == "backed":
        return _backed(record.state)
    return _array(record)


def _array(record: _Record) -> Any:  # noqa: ANN401
    if record.part == "array":
        _, shape, dtype, by_column, data = record.state
    else:
        data, dtype, shape, order = record.args[:4]
        if order not in ("C", "F"):
            raise _UnexpectedError(f"an array in the order {order}")
        by_column = order == "F"
    shape = tuple(int(length) for length in shape)
    if len(shape) not in (1, 2) or min(shape) < 0 or (shape[-1] == 0 and shape[0] > 0):
        raise _UnexpectedError(f"an array of shape {shape}")
    code = _dtype_code(dtype)
    if code == "O":
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise _UnexpectedError("an object array of another length than its shape")
        return _Objects(shape, data)
    flat = np.frombuffer(_bytes(data), dtype=np.dtype(code))
    if flat.dtype.kind == "U":
        letters = flat.view(np.dtype("u4").newbyteorder(flat.dtype.byteorder))
        if (letters > sys.maxunicode).any():
            raise _UnexpectedError("letters that are none")
        return _Objects(
            shape, flat.reshape(shape, order="F" if by_column else "C").ravel().tolist()
        )
    return flat.reshape(shape, order="F" if by_column else "C")


def _masked(data: Any, mask: Any) -> list[Any]:  # noqa: ANN401
    """Numbers of a nullable column, None where the mask is True."""
    numbers, missing = _values(data), _values(mask)
    if isinstance(numbers, _Objects) or numbers.ndim != 1 or missing.dtype != np.bool_:
        raise _UnexpectedError("a nullable column that is not numbers and a mask")
    cells = zip(numbers.tolist(), missing.tolist(), strict=True)
    return [None if is_missing else number for number, is_missing in cells]


def _backed(state: Any) -> Any:  # noqa: ANN401
    """The values of a column of texts, or of categories: the category of each cell, or None."""
    parts = list(state.values()) if isinstance(state, dict) else list(state)
    inner = _values(next(part for part in parts if _part(part) in ("array", "array_of_buffer")))
    kinds = [part for part in parts if _part(part) == "categories"]
    if not kinds:
        return inner
    index = _expect(kinds[0].state["categories"], "new_index")
    named = _block_columns(_values(index.args[1]["data"]))[0]
    categories = named.tolist() if isinstance(named, np.ndarray) else named
    if isinstance(inner, _Objects) or inner.ndim != 1 or inner.dtype.kind != "i":
        raise _UnexpectedError("a column of categories without their numbers")
    codes = inner.tolist()
    if not all(-1 <= code < len(categories) for code in codes):
        raise _UnexpectedError("a category that there is not")
    return [None if code < 0 else categories[code] for code in codes]


def _dtype_code(dtype: Any) -> str:  # noqa: ANN401
    """The numpy type, one of O, [<>|][fiub][1248] or [<>]U with a length."""
    record = _expect(dtype, "dtype")
    code = str(record.args[0])
    if re.fullmatch(r"O[48]?", code):
        return "O"
    order = record.state[1] if record.state is not None else "|"
    if not re.fullmatch(r"[fiub][1248]|U[0-9]{1,6}", code) or order not in ("<", ">", "|", "="):
        raise _UnexpectedError(f"numpy cells of type {order}{code}")
    return f"{order}{code}"


def _arrow_strings(value: Any) -> list[str | None]:  # noqa: ANN401
    record = _expect(value, "arrow_array", "arrow_chunks")
    if record.part == "arrow_chunks":
        chunks = [_arrow_strings(_expect(chunk, "arrow_array")) for chunk in record.args[0]]
        return [text for chunk in chunks for text in chunk]
    kind, length, _, offset, buffers, children, dictionary = record.args[0]
    alias = _expect(kind, "arrow_type").args[0]
    kinds = {"string": pa.string(), "large_string": pa.large_string()}
    if alias not in kinds or children or dictionary is not None:
        raise _UnexpectedError(f"an Arrow column of {alias}")
    parts = [
        None if buffer is None else pa.py_buffer(_bytes(_expect(buffer, "arrow_buffer").args[0]))
        for buffer in buffers
    ]
    array = pa.Array.from_buffers(kinds[alias], int(length), parts, offset=int(offset))
    array.validate(full=True)  # lengths, offsets and UTF-8, before a cell is touched
    texts: list[str | None] = array.to_pylist()
    return texts


def _bytes(value: Any) -> bytes | bytearray:  # noqa: ANN401
    if isinstance(value, bytes | bytearray):
        return value
    args = _expect(value, "bytes").args
    if not args:
        return b""
    if isinstance(args[0], str):
        return args[0].encode("latin-1")  # how protocol 2, which has no bytes, writes them
    return _bytes(args[0])


_PLAIN = {str, float, int, bool, type(None)}


def _cells(cells: list[Any]) -> list[Any]:
    if set(map(type, cells)) <= _PLAIN:
        return cells
    dtypes: dict[int, np.dtype[Any]] = {}
    return [cell if type(cell) in _PLAIN else _cell(cell, dtypes) for cell in cells]


def _cell(cell: Any, dtypes: dict[int, np.dtype[Any]]) -> Any:  # noqa: ANN401
    """A numpy scalar or pandas.NA as Python has it. dtypes: by id, one record serves all cells."""
    if isinstance(cell, type) and issubclass(cell, _Record) and cell.part == "missing":
        return None
    record = _expect(cell, "scalar")
    kind, data = record.args
    if id(kind) not in dtypes:
        dtypes[id(kind)] = np.dtype(_dtype_code(kind))
    return np.frombuffer(_bytes(data), dtype=dtypes[id(kind)])[0].item()

"""Embeddings that a user made elsewhere: an .npy file, checked once and mapped into memory."""

from pathlib import Path

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.errors import DataError

_BLOCK_BYTES = 64 * 2**20  # held while the numbers are checked
_LENGTH_TOLERANCE = 1e-3  # float32 unit rows are within 1e-6; float16 ones made float32, 5e-4


def open_embeddings(path: str | Path, n_queries: int) -> Float32Array:
    """Map (N, d) float32 embeddings, row n of query n, read-only: the system loads what is used.

    path: an .npy file as numpy.save writes it, or numpy.lib.format.open_memmap for one too large
    for memory. n_queries: N. All numbers are read once, block by block, to check them. A slice of
    what is returned is a view of the file, rows picked by number are a copy of those rows.
    Raises DataError when it is no such file (arrays of objects are not loaded), has another type or
    shape, or a row that is not finite or not of length 1 to within 0.001.
    """
    path = Path(path)
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: no embeddings can be read there ({error}); expected a file that "
            "numpy.save wrote, of float32"
        ) from error
    if not isinstance(mapped, np.ndarray):
        mapped.close()
        raise DataError(f"{path}: this is an .npz archive; save the one array with numpy.save")
    if mapped.dtype != np.float32:
        raise DataError(
            f"{path}: the numbers are {mapped.dtype}, float32 in this machine's byte order is "
            'expected: numpy.save(path, array.astype("float32"))'
        )
    if mapped.ndim != 2 or len(mapped) != n_queries or mapped.shape[1] == 0:
        raise DataError(
            f"{path}: shape {mapped.shape}, ({n_queries}, d) is expected: one row per query, in "
            "the order of the table"
        )
    if not mapped.flags.c_contiguous:
        raise DataError(
            f"{path}: the columns lie together and not the rows (Fortran order), so no row can be "
            "read by itself: numpy.save(path, numpy.ascontiguousarray(array))"
        )
    _check_rows(path, mapped)
    return np.asarray(
        mapped
    )  # a plain array: arithmetic on numpy.memmap gives memmaps that are none


def _check_rows(path: Path, rows: Float32Array) -> None:
    """Every row is finite and of length 1."""
    block = max(1, _BLOCK_BYTES // (4 * rows.shape[1]))
    for start in range(0, len(rows), block):
        part = np.asarray(rows[start : start + block])
        length = np.sqrt(np.einsum("nd,nd->n", part, part))  # not finite where a number is not
        wrong = np.flatnonzero(~(np.abs(length - 1.0) <= _LENGTH_TOLERANCE))
        if wrong.size:
            row = start + int(wrong[0])
            _refuse(path, row, rows[row], float(length[wrong[0]]))


def _refuse(path: Path, row: int, numbers: Float32Array, length: float) -> None:
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise DataError(f"{path}: row {row}, column {bad[0]} is {numbers[bad[0]]}; encode it anew")
    raise DataError(
        f"{path}: row {row} has length {length:.6g}, 1 is expected: divide each row by its length"
    )

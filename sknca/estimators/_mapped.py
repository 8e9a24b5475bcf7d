"""Arrays that are mapped from a file: what is read of them, when, and what stays in memory."""

import mmap
import os
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from ._frames import FLOATS, validate_data


class MappedArray:
    """An array whose memory is a file's, as of `numpy.memmap` or a view of one.

    Its rows are read from the file, not through the map. A page that was read through the map
    counts as memory of the process, with many around it, and reading behind the end of a file that
    was truncated ends the process.

    Parameters
    ----------
    array : ndarray of shape (n, d)
        As the user gave it.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.size, self.dtype = array.shape, array.size, array.dtype
        self._row_bytes = array.shape[1] * array.itemsize
        self._file = self._readable_file()

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """A copy of some rows, named by a slice or by indices that are not negative.

        Raises
        ------
        ValueError
            If the file has become shorter.
        """
        if self._file is None:
            return np.array(self._array[rows])
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        copied = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        if len(rows) == 0:
            return copied
        memory = copied.reshape(-1).view(np.uint8).data
        path, start = self._file
        # Neighbors in the file are read together.
        is_contiguous = self._array.strides[0] == self._row_bytes
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1 if is_contiguous else range(1, len(rows))
        with open(path, "rb", buffering=0) as file:
            for first, last in pairwise([0, *breaks, len(rows)]):
                part = memory[first * self._row_bytes : last * self._row_bytes]
                file.seek(start + int(rows[first]) * self._array.strides[0])
                while len(part):
                    n_read = file.readinto(part)
                    if not n_read:
                        raise ValueError(
                            f"Input X is mapped from {os.fspath(path)!r}, which ends before row "
                            f"{rows[last - 1]}: the file was truncated."
                        )
                    part = part[n_read:]
        return copied

    def _readable_file(self) -> tuple[Any, int] | None:
        """The file and the place of the first row in it, if rows can be read from there."""
        mapped = _memmap_of(self._array)
        assert mapped is not None
        rows_are_dense = self._array.strides[1] == self._array.itemsize and self.size
        # Of a private copy (mode "c") the file does not have the changes.
        if mapped.mode == "c" or mapped.filename is None or not rows_are_dense:
            return None
        address = self._array.__array_interface__["data"][0]
        start = mapped.offset + address - mapped.__array_interface__["data"][0]
        try:
            size = os.path.getsize(mapped.filename)
        except OSError:  # it was deleted, and only the map has it
            return None
        self._file = mapped.filename, start
        is_whole = size >= mapped.offset + mapped.nbytes
        if is_whole and not np.array_equal(
            self[:1].view(np.uint8), np.array(self._array[:1]).view(np.uint8)
        ):
            return None  # another file has its name now
        return self._file


def is_mapped(X: Any) -> bool:
    """Whether X is a matrix of numbers that is mapped from a file."""
    if not (isinstance(X, np.ndarray) and X.ndim == 2 and _memmap_of(X) is not None):
        return False
    return X.dtype.kind in "biu" or X.dtype in FLOATS


def check_mapped(
    embedding: Any, X: Any, y: Any, *, reset: bool, least: int
) -> tuple[MappedArray, NDArray[Any] | None]:
    """As scikit-learn's validation, but for the values: each row is looked at when it is read."""
    checked = validate_data(embedding, X, y, reset=reset, skip_check_array=True)
    if isinstance(checked, tuple):
        y = column_or_1d(checked[1])
        check_consistent_length(X, y)
    check_array(X[:least], dtype=None, ensure_min_samples=least, ensure_all_finite=False)
    return MappedArray(X), y


def _memmap_of(array: NDArray[Any]) -> np.memmap[Any, Any] | None:
    """The map of the whole file: of views only the first one tells the length of the file."""
    found = None
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            found = base
        base = base.base
    # Copies of a map are of its type too, but in memory.
    return found if isinstance(base, mmap.mmap) else None

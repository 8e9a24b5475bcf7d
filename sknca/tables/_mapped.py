"""Arrays that are mapped from a file: what is read of them, when, and what stays in memory."""

import mmap
import os
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data import RowsRead, Source
from ._dense import DenseTable
from ._tensors import FLOATS


class MappedTable(DenseTable):
    """Samples in an array whose memory is a file's, as of `numpy.memmap` or a view of one.

    Its rows are read from the file, not through the map. A page that was read through the map
    counts as memory of the process, with many around it, and reading behind the end of a file that
    was truncated ends the process.

    Parameters
    ----------
    array : ndarray of shape (n, d)
        As the user gave it.

    name : str, default="X"
        The parameter.
    """

    def __init__(self, array: NDArray[Any], name: str = "X") -> None:
        super().__init__(array, name)
        self._row_bytes = array.shape[1] * array.itemsize
        self._file = self._readable_file()

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    def source(
        self, device: torch.device, center: NDArray[np.float64] | None, *, sparse: bool
    ) -> Source:
        return RowsRead(self.shape, self.reader(center), device)

    def parts(self) -> list[tuple[Any, np.dtype[Any]]]:
        return [(_AsStored(self), self.dtype.newbyteorder("<"))]

    def __getitem__(self, which: Any) -> NDArray[Any]:
        """A copy of some rows.

        Raises
        ------
        ValueError
            If the file has become shorter.
        """
        return self.as_stored(which).astype(self.dtype, copy=False)

    def as_stored(self, rows: Any) -> NDArray[Any]:
        """As they are in the file, whose byte order may be another."""
        if self._file is None:
            return np.array(self._array[rows])
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        copied = np.empty((len(rows), self.shape[1]), dtype=self._array.dtype)
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
                            f"Input {self.name} is mapped from {os.fspath(path)!r}, which ends "
                            f"before row {rows[last - 1]}: the file was truncated."
                        )
                    part = part[n_read:]
        return copied

    def _readable_file(self) -> tuple[Any, int] | None:
        """The file and the place of the first row in it, if rows can be read from there."""
        mapped = _memmap_of(self._array)
        assert mapped is not None
        rows_are_dense = self._array.strides[1] == self._array.itemsize and self._array.size
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
            self.as_stored(slice(1)).view(np.uint8), np.array(self._array[:1]).view(np.uint8)
        ):
            return None  # another file has its name now
        return self._file


class _AsStored:
    """The rows of a table in the byte order of their file."""

    def __init__(self, table: MappedTable) -> None:
        self._table = table
        self.dtype = table.stored_dtype

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self._table.as_stored(rows)


def is_mapped(X: Any) -> bool:
    """Whether X is a matrix of numbers that is mapped from a file."""
    if not (isinstance(X, np.ndarray) and X.ndim == 2 and _memmap_of(X) is not None):
        return False
    return X.dtype.kind in "biu" or X.dtype.newbyteorder("=") in FLOATS


def _memmap_of(array: NDArray[Any]) -> np.memmap[Any, Any] | None:
    """The map of the whole file, because views of it do not have the length of the file."""
    found = None
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            found = base
        base = base.base
    # Copies of a map are of its type too, but in memory.
    return found if isinstance(base, mmap.mmap) else None

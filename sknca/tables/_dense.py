"""Samples in an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._sparse_rows import Rows
from ..data import RowsInMemory, RowsRead, Source
from ..distributed import Processes
from ._features import center_and_spread
from ._table import Table
from ._tensors import home_of_rows, to_tensor

#: In bytes. A batch from a copy is quicker by some hundredths of a millisecond.
_LARGEST_COPY = 2**26


def is_read_in_place(X: NDArray[Any], device: torch.device) -> bool:
    """Whether a fit reads its batches from the user's array: on the CPU, if a copy would be large,
    and the features of a sample lie side by side.
    """
    is_large = 4 * X.size > _LARGEST_COPY
    return device.type == "cpu" and is_large and X.strides[1] == X.itemsize


class DenseTable(Table):
    """Samples in an array of numbers.

    Parameters
    ----------
    array : ndarray of shape (n, d)
        After validation.

    name : str, default="X"
        The parameter.
    """

    def __init__(self, array: NDArray[Any], name: str = "X") -> None:
        n, d = array.shape
        self._array, self.name = array, name
        self.shape, self.dtype = (n, d), array.dtype.newbyteorder("=")

    def __getitem__(self, which: Any) -> NDArray[Any]:
        rows: NDArray[Any] = self._array[which]
        return rows

    def take(self, which: Any) -> DenseTable:
        return DenseTable(self[which], self.name)

    def joined(self, other: Table, chosen: NDArray[np.int64]) -> DenseTable:
        is_other = chosen >= len(self)
        dtype = np.promote_types(self.dtype, other.dtype)
        rows = np.empty((len(chosen), self.shape[1]), dtype)
        rows[~is_other] = self[chosen[~is_other]]
        rows[is_other] = other[chosen[is_other] - len(self)]
        return DenseTable(rows, self.name)

    def center_and_spread(
        self, which: NDArray[np.int64], generator: torch.Generator, processes: Processes
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        return center_and_spread(self, which, generator, processes)

    def parts(self) -> list[tuple[Any, np.dtype[Any]]]:
        return [(self._array, self.dtype.newbyteorder("<"))]

    def without_empty_columns(self) -> NDArray[Any]:
        return self[:]

    def source(
        self, device: torch.device, center: NDArray[np.float64] | None, *, sparse: bool
    ) -> Source:
        if is_read_in_place(self._array, device):
            return RowsRead(self.shape, self.reader(center), device)
        x = self.to_device(device, center, sparse=sparse)
        assert isinstance(x, torch.Tensor)
        return RowsInMemory(x, device)

    def to_device(
        self, device: torch.device, center: NDArray[np.float64] | None, *, sparse: bool
    ) -> Rows:
        home = home_of_rows(device, 4 * self.shape[0] * self.shape[1])
        return to_tensor(self[:], home, center, self.name)

"""Samples as a sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from .._sparse_rows import Rows, SparseRows
from ..data import RowsGathered, RowsRead, Source
from ..distributed import Processes
from ._features import spread_of_entries
from ._table import Table
from ._tensors import assert_all_finite, home_of_rows, to_tensor, too_large


class SparseTable(Table):
    """Rows of a sparse matrix, each entry stored once and none of them zero.

    Parameters
    ----------
    matrix : sparse array or matrix of shape (n, d)
        By rows, after `check_format`.

    name : str, default="X"
        The parameter.

    Attributes
    ----------
    matrix : csr_array of shape (n, d)
        The entries.
    """

    is_sparse = True

    def __init__(self, matrix: Any, name: str = "X") -> None:
        matrix = sparse.csr_array(matrix)
        if not matrix.has_canonical_format or not matrix.data.all():
            matrix = matrix.copy()  # the user's stays as it is
            matrix.sum_duplicates()
            matrix.eliminate_zeros()
        self.matrix, self.name = matrix, name
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def __getitem__(self, which: Any) -> NDArray[Any]:
        array: NDArray[Any] = self.matrix[which].toarray()
        return array

    def take(self, which: Any) -> SparseTable:
        return SparseTable(self.matrix[which], self.name)

    def joined(self, other: Table, chosen: NDArray[np.int64]) -> SparseTable:
        if not isinstance(other, SparseTable):
            other = SparseTable(other[:])
        rows = sparse.vstack([self.matrix, other.matrix]).tocsr()[chosen]
        return SparseTable(rows, self.name)

    def center_and_spread(
        self, which: NDArray[np.int64], generator: torch.Generator, processes: Processes
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        """Zeros stay zeros: the center is zero."""
        return None, spread_of_entries(self.matrix, which, generator)

    def parts(self) -> list[tuple[Any, np.dtype[Any]]]:
        """Indices have the width that scipy chooses."""
        matrix = self.matrix
        is_small = max(matrix.nnz, *matrix.shape) <= np.iinfo(np.int32).max
        index = np.dtype("<i4" if is_small else "<i8")
        entries = matrix.data, self.dtype.newbyteorder("<")
        return [entries, (matrix.indices, index), (matrix.indptr, index)]

    def without_empty_columns(self) -> NDArray[Any]:
        occurs = np.bincount(self.matrix.indices, minlength=self.shape[1]) > 0
        occurs[:1] = True  # a column at least
        array: NDArray[Any] = self.matrix[:, occurs].toarray()
        return array

    def rows(
        self,
        which: Any,
        center: NDArray[np.float64] | None,
        *,
        sparse: bool = False,
        out: Tensor | None = None,
    ) -> Rows:
        return self.gather(which) if sparse else super().rows(which, center, out=out)

    def source(
        self, device: torch.device, center: NDArray[np.float64] | None, *, sparse: bool
    ) -> Source:
        if sparse:
            return RowsGathered(self.shape, self.gather, device)
        return RowsRead(self.shape, self.reader(center), device)

    def to_device(
        self, device: torch.device, center: NDArray[np.float64] | None, *, sparse: bool
    ) -> Rows:
        if sparse:
            return self.gather(slice(None)).to(device)
        home = home_of_rows(device, 4 * self.shape[0] * self.shape[1])
        return to_tensor(self[:], home, center, self.name)

    def gather(self, which: Any) -> SparseRows:
        """Some rows as tensors, in float32.

        Raises
        ------
        ValueError
            If an entry is not finite, or too large for float32.
        """
        matrix = self.matrix[which.numpy() if isinstance(which, Tensor) else which]
        with np.errstate(over="ignore"):
            values = torch.from_numpy(matrix.data.astype(np.float32))
        if not bool(values.isfinite().all()):
            assert_all_finite(matrix, self.name)
            raise ValueError(too_large(self.name))
        columns, starts = (
            torch.from_numpy(array.astype(np.int64)) for array in (matrix.indices, matrix.indptr)
        )
        return SparseRows(values, columns, starts, self.shape[1])


def check_format(X: Any, name: str = "X") -> None:
    """Refuse a sparse matrix whose indices are not such as its shape says; of any other object
    nothing is said.

    Raises
    ------
    ValueError
        If an index is negative or too large, or the arrays do not fit together.
    """
    if not sparse.issparse(X):
        return
    try:
        if hasattr(X, "check_format"):
            X.check_format(full_check=True)
        elif X.format == "coo":
            for indices, size in zip(X.coords, X.shape, strict=True):
                if len(indices) and not 0 <= indices.min() <= indices.max() < size:
                    raise ValueError(f"indices must be from 0 to {size - 1}")
    except ValueError as error:
        raise ValueError(f"{name} is not a valid sparse matrix: {error}") from error

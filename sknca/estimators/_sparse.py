"""Sparse matrices: what they must be like, and what the spread of their features is."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from .._sparse_rows import SparseRows
from ._features import ROWS_TO_START_FROM
from ._frames import assert_all_finite


class SparseArray:
    """Rows of a sparse matrix, each entry stored once and none of them zero.

    Parameters
    ----------
    matrix : sparse array or matrix of shape (n, d)
        By rows, after `check_format`.
    """

    def __init__(self, matrix: Any) -> None:
        matrix = sparse.csr_array(matrix)
        if not matrix.has_canonical_format or not matrix.data.all():
            matrix = matrix.copy()  # the user's stays as it is
            matrix.sum_duplicates()
            matrix.eliminate_zeros()
        self.matrix = matrix
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Some rows with all their entries."""
        array: NDArray[Any] = self.matrix[rows].toarray()
        return array

    def take(self, rows: Any) -> "SparseArray":
        """Some rows."""
        return SparseArray(self.matrix[rows])

    def occurring(self) -> NDArray[Any]:
        """All rows, with the columns that have an entry alone: between rows, distances and cosines
        are the same.
        """
        occurs = np.bincount(self.matrix.indices, minlength=self.shape[1]) > 0
        occurs[:1] = True  # a column at least
        array: NDArray[Any] = self.matrix[:, occurs].toarray()
        return array

    def gather(self, rows: Any) -> SparseRows:
        """Some rows as tensors, in float32.

        Raises
        ------
        ValueError
            If an entry is not finite, or too large for float32.
        """
        matrix = self.matrix[rows.numpy() if isinstance(rows, Tensor) else rows]
        with np.errstate(over="ignore"):
            values = torch.from_numpy(matrix.data.astype(np.float32))
        if not bool(values.isfinite().all()):
            assert_all_finite(matrix)
            raise ValueError("Input X contains infinity or a value too large for dtype('float32').")
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


def spread_of_entries(
    X: SparseArray, rows: NDArray[np.int64], generator: torch.Generator
) -> NDArray[np.float64]:
    """The spread (n_features,) of features whose center is zero: half of what their entries
    typically differ from it. That of a feature without an entry in the rows is 0.

    Parameters
    ----------
    X : SparseArray of shape (n_samples, n_features)
        The samples.

    rows : ndarray of shape (n_train,)
        Indices of the rows to go by. Of many, some are drawn; a feature without an entry in these
        has the median spread of the others.

    generator : torch.Generator
        On the CPU. Draws these rows.
    """
    sample = rows
    if len(rows) > ROWS_TO_START_FROM:
        drawn = torch.randperm(len(rows), generator=generator, device="cpu")
        sample = rows[drawn[:ROWS_TO_START_FROM].sort().values.numpy()]
    spread = _half_median(X.matrix[sample])
    if len(sample) < len(rows):
        occurs = np.bincount(X.matrix[rows].indices, minlength=X.shape[1]) > 0
        unseen = occurs & (spread == 0)
        if (spread > 0).any():
            spread[unseen] = np.median(spread[spread > 0])
    return spread


def _half_median(matrix: Any) -> NDArray[np.float64]:
    """Half the median of the absolute entries of each column (n_features,), 0 without any."""
    values = np.abs(matrix.data.astype(np.float64))
    order = np.lexsort((values, matrix.indices))
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    middle = np.cumsum(counts) - counts + counts // 2  # of each column's entries
    spread = np.zeros(matrix.shape[1])
    some = counts > 0
    spread[some] = values[order][middle[some]] / 2
    return spread

"""What a fit asks of samples after validation, whether they are dense, in a file, or sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._sparse_rows import Rows
from ..data import Source
from ..distributed import Processes
from ._tensors import fill


class Table(ABC):
    """Samples (n, d) after validation.

    Rows are read by `table[which]`, with all their entries and in the dtype of the table, and by
    `rows`, as a network reads them. What differs between kinds of tables is only here.

    Attributes
    ----------
    shape : tuple of int
        (n, d)

    dtype : dtype
        Of the entries, in the byte order of this machine.

    name : str
        The parameter that the samples were given as, for error messages.

    is_sparse : bool
        Whether entries that are zero are not stored.
    """

    is_sparse: ClassVar[bool] = False
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    name: str

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, which: Any) -> NDArray[Any]:
        """Some rows (k, d), by a slice or by indices that are not negative. Do not write to it."""

    @abstractmethod
    def take(self, which: Any) -> Table:
        """Some rows as a table of their own, in memory."""

    @abstractmethod
    def joined(self, other: Table, chosen: NDArray[np.int64]) -> Table:
        """Some of the rows of two tables, as a table of this kind. The indices of the rows of the
        other table begin after those of this one.
        """

    @abstractmethod
    def center_and_spread(
        self, which: NDArray[np.int64], generator: torch.Generator, processes: Processes
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
        """The center (d,) of each feature, or None if it is zero, and its spread (d,), from the
        rows `which` (k,) of all processes.
        """

    @abstractmethod
    def parts(self) -> list[tuple[Any, np.dtype[Any]]]:
        """Arrays of numbers that distinguish this table from others, the entries first. Each is as
        it is stored, with the dtype to compare it by: the lowest byte first.
        """

    @abstractmethod
    def without_empty_columns(self) -> NDArray[Any]:
        """All rows. Columns of a sparse table that have no entry are left out: between rows,
        distances and cosines are the same.
        """

    @abstractmethod
    def source(
        self, device: torch.device, center: NDArray[np.float64] | None, *, sparse: bool
    ) -> Source:
        """Where a training gets its batches from, about the center; `sparse` as of `rows`."""

    @abstractmethod
    def to_device(
        self, device: torch.device, center: NDArray[np.float64] | None, *, sparse: bool
    ) -> Rows:
        """All rows as of `rows`, on the device if there is room, else on the CPU."""

    def rows(
        self,
        which: Any,
        center: NDArray[np.float64] | None,
        *,
        sparse: bool = False,
        out: Tensor | None = None,
    ) -> Rows:
        """Some rows (k, d) in float32 on the CPU, about the center.

        Parameters
        ----------
        which : slice or ndarray of shape (k,)
            The rows.

        center : ndarray of shape (d,) or None
            Is subtracted before rows are converted, so that no digits are lost.

        sparse : bool, default=False
            Whether the rows of a sparse table may stay sparse, because the network reads them so.

        out : Tensor of shape (m, d), default=None
            Memory to write dense rows to, of which there are at most m.

        Raises
        ------
        ValueError
            If an entry is not finite, or too large for float32.
        """
        array = self[which]
        if out is None:
            out = torch.empty(array.shape, dtype=torch.float32, device="cpu")
        return fill(out[: len(array)], array, center, self.name)

    def reader(self, center: NDArray[np.float64] | None) -> Callable[[Tensor], Tensor]:
        """From indices to dense rows about the center, as read from the array or the file.

        The reader raises ValueError if a row is not finite, or too large for float32.
        """

        def read(indices: Tensor) -> Tensor:
            array = self[indices.numpy()]
            out = torch.empty(array.shape, dtype=torch.float32, device="cpu")
            try:
                return fill(out, array, center, self.name)
            except ValueError as error:
                bad = indices[~out.isfinite().all(1)].tolist()
                raise ValueError(f"{error} (row {bad[0]})") from error

        return read

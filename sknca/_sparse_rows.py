"""Rows of which most entries are zero, as they come to a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows (n, d) by their stored entries, row after row. It has what is used of a tensor."""

    values: Tensor  # (n_stored,)
    columns: Tensor  # (n_stored,), of each entry
    starts: Tensor  # (n + 1,), where each row begins among the entries, and the end of the last
    width: int  # d

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.width

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def is_cpu(self) -> bool:
        return self.values.is_cpu

    @property
    def grad(self) -> Tensor | None:
        """Of the entries (n_stored,)."""
        return self.values.grad

    def rows(self) -> Tensor:
        """The row (n_stored,) of each entry."""
        places = torch.arange(len(self), device=self.device)
        return places.repeat_interleave(self.starts.diff(), output_size=len(self.values))

    def with_values(self, values: Tensor) -> SparseRows:
        """The same entries with other values (n_stored,)."""
        return replace(self, values=values)

    def detach(self) -> SparseRows:
        return self.with_values(self.values.detach())

    def requires_grad_(self) -> SparseRows:
        self.values.requires_grad_()
        return self

    def clone(self) -> SparseRows:
        return self.with_values(self.values.clone())

    def to(self, device: torch.device) -> SparseRows:
        values, columns, starts = (t.to(device) for t in (self.values, self.columns, self.starts))
        return SparseRows(values, columns, starts, self.width)

    def cpu(self) -> SparseRows:
        return self.to(torch.device("cpu"))

    def __getitem__(self, rows: slice) -> SparseRows:
        """Rows one after the other."""
        first, last, _ = rows.indices(len(self))
        starts = self.starts[first : last + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        return SparseRows(
            self.values[entries], self.columns[entries], starts - starts[0], self.width
        )

    def split(self, size: int) -> Iterator[SparseRows]:
        return (self[start : start + size] for start in range(0, len(self), size))

    def index_select(self, dim: int, rows: Tensor) -> SparseRows:
        """Some of the rows, along dimension 0."""
        assert dim == 0
        counts = self.starts.diff().index_select(0, rows)  # (n_rows,)
        starts = functional.pad(counts.cumsum(0), (1, 0))
        shifts = self.starts.index_select(0, rows) - starts[:-1]
        places = shifts.repeat_interleave(counts)  # (n_stored,)
        places += torch.arange(len(places), device=self.device)
        values, columns = (t.index_select(0, places) for t in (self.values, self.columns))
        return SparseRows(values, columns, starts, self.width)

    def filled_up(self, n: int) -> SparseRows:
        """The rows, followed by `n` rows of zeros."""
        return replace(self, starts=torch.cat([self.starts, self.starts[-1:].expand(n)]))

    def to_dense(self) -> Tensor:
        """All entries (n, d)."""
        dense = self.values.new_zeros(self.shape)
        return dense.index_put((self.rows(), self.columns), self.values)

    def to_coo(self) -> Tensor:
        """As torch's sparse tensor."""
        indices = torch.stack([self.rows(), self.columns])
        return torch.sparse_coo_tensor(
            indices, self.values, self.shape, check_invariants=False, is_coalesced=True
        )

    def variance(self) -> Tensor:
        """Of each column (d,), its zeros among the entries."""
        zeros = self.values.new_zeros(self.width)
        mean, square = (
            zeros.index_add(0, self.columns, v) / len(self)
            for v in (self.values, self.values.square())
        )
        return square - mean.square()

    def times(self, matrix: Tensor) -> Tensor:
        """The product (n, k) with a matrix (d, k), whose gradient is sparse: of the rows that the
        entries meet.
        """
        apply: Any = _Product.apply
        product: Tensor = apply(self.values, self.columns, self.starts, matrix)
        return product


#: What comes to a network.
Rows = Tensor | SparseRows


def dense(x: Rows) -> Tensor:
    """The rows with all their entries (n, d)."""
    return x.to_dense() if isinstance(x, SparseRows) else x


class _Product(torch.autograd.Function):
    """Sums of rows of a matrix, weighted, and in the backward pass the same the other way round."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, columns: Tensor, starts: Tensor, matrix: Tensor
    ) -> Tensor:
        ctx.save_for_backward(values, columns, starts, matrix)
        return _sums(matrix, columns, starts[:-1], values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, columns, starts, matrix = ctx.saved_tensors
        rows = SparseRows(values, columns, starts, len(matrix)).rows()
        grad_values = grad_matrix = None
        if ctx.needs_input_grad[0]:
            grad_values = (matrix.index_select(0, columns) * grad.index_select(0, rows)).sum(1)
        if ctx.needs_input_grad[3]:
            ordered, order = columns.sort(stable=True)
            distinct, counts = ordered.unique_consecutive(return_counts=True)
            sums = _sums(grad.contiguous(), rows[order], counts.cumsum(0) - counts, values[order])
            grad_matrix = torch.sparse_coo_tensor(
                distinct[None], sums, matrix.shape, check_invariants=False, is_coalesced=True
            )
        return grad_values, None, None, grad_matrix


def _sums(matrix: Tensor, rows: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
    if len(rows) == 0:
        return matrix.new_zeros(len(starts), matrix.shape[1])
    return functional.embedding_bag(
        rows, matrix, starts, mode="sum", per_sample_weights=weight.contiguous()
    )

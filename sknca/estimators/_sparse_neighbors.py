"""Class probabilities among soft neighbors that are rows of a sparse matrix."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from ..functional import ClassProbabilities, Metric

#: This many entries of rows, with zeros, or of logits, are in memory together.
_ENTRIES_AT_HAND = 2**23


class SparseClassProbabilities(ClassProbabilities):
    """As `ClassProbabilities`, in float64: the keys are not centered, which would make them dense,
    so distances are differences of numbers that may be much larger.

    Parameters
    ----------
    keys : sparse array of shape (m, d)
        The neighbors, class after class.

    class_sizes, temperature, metric, log_key_weight
        See `ClassProbabilities`. The tensors are on the CPU.
    """

    def __init__(
        self,
        keys: Any,
        class_sizes: Tensor,
        temperature: float,
        metric: Metric,
        log_key_weight: Tensor,
    ) -> None:
        by_size = self._sort_by_size(class_sizes)
        if by_size is not None:
            keys, log_key_weight = keys[by_size.numpy()], log_key_weight[by_size]
        log_key_weight = log_key_weight.to(torch.float64, copy=True)  # the offset is changed below
        unit = self._set_metric(metric, temperature, log_key_weight)
        prepared = []
        for start, piece in _dense_pieces(keys):
            some = metric.prepare(piece)
            bias = metric.bias(some)
            if bias is not None:
                self.offset[start : start + len(some)] += bias / unit
            prepared.append(sparse.csr_array(some.numpy()))
        self.sparse_keys = sparse.vstack(prepared).tocsr()

    def log_of_sparse(self, queries: Any) -> Tensor:
        """The logarithms (n, n_classes) for a sparse or dense matrix (n, d), block by block."""
        found = torch.empty(queries.shape[0], len(self.place), dtype=torch.float64, device="cpu")
        for start, piece in _dense_pieces(queries, self.sparse_keys.shape[0]):
            rows = self.metric.prepare(piece)
            products = self.sparse_keys @ (rows * self.factor).numpy().T
            with_offset = torch.from_numpy(products.T.copy()).add_(self.offset)  # (b, m)
            logits = self.logits_of(with_offset, rows)
            found[start : start + len(piece)] = self.log_of_logits(logits)
        return found


def _dense_pieces(matrix: Any, least_width: int = 1) -> Iterator[tuple[int, Tensor]]:
    """Where each piece begins, and its rows (b, d) in float64 with all their entries."""
    n, d = matrix.shape
    size = max(_ENTRIES_AT_HAND // max(d, least_width, 1), 1)
    for start in range(0, n, size):
        piece = matrix[start : start + size]
        array: NDArray[Any] = piece if isinstance(piece, np.ndarray) else piece.toarray()
        yield start, torch.from_numpy(array.astype(np.float64))

"""Anchors in blocks, their distances to all samples, and the columns of their class."""

from collections.abc import Iterator

import torch
from torch import Tensor

#: Entries in a block of distances: few enough for the cache, enough for an efficient product.
_BLOCK_ENTRIES = 2**19
_MIN_BLOCK_ROWS = 16

#: The same on a GPU, which smaller blocks would not keep busy.
_GPU_BLOCK_ENTRIES = 2**23


def anchor_blocks(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (n, d)
    bias: Tensor | None,  # (n,)
    labels: Tensor,  # (n,), sorted
    *,
    root: bool,  # whether the distance is the square root of the form
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """For each block: its rows; their distances (b, n), which are -(queries @ keys.T + bias), that
    is, correct up to a constant in each row, or the square roots of that; the columns (b, w) of the
    class of each anchor, padded with the anchor's own; and which of these (b, w) hold a positive.
    """
    n = len(labels)
    offset = queries.new_zeros(n) if bias is None else -bias
    left, right = torch.searchsorted(labels, labels), torch.searchsorted(labels, labels, right=True)
    own = torch.arange(n, device=labels.device)
    entries = _BLOCK_ENTRIES if labels.is_cpu else _GPU_BLOCK_ENTRIES
    block_size = max(entries // max(n, 1), _MIN_BLOCK_ROWS)
    for start in range(0, n, block_size):
        rows = slice(start, start + block_size)
        distances = torch.addmm(offset, queries[rows], keys.T, alpha=-1)  # (b, n)
        if root:
            distances.relu_().sqrt_()
        size = (right[rows] - left[rows])[:, None]  # (b, 1)
        # The size of a class would have to be read from a GPU, so w is n there.
        place = own[: int(size.max())] if labels.is_cpu else own  # (w,)
        columns = torch.where(place < size, left[rows, None] + place, own[rows, None])  # (b, w)
        yield rows, distances, columns, columns != own[rows, None]

"""Rows sorted by class, in blocks, each with the columns where the rows of its classes stand."""

from collections.abc import Iterator

import torch
from torch import Tensor

#: Entries in a block of distances: what stays near the cache, and a floor for the product's sake.
_BLOCK_ENTRIES = 2**19
_MIN_BLOCK_ROWS = 16


def class_windows(
    left: Tensor, right: Tensor, n_keys: int, block_size: int
) -> list[tuple[int, int, int, int]]:
    """Blocks of sorted rows [start, stop) and the columns [first, last) of their classes."""
    n = len(left)
    starts = list(range(0, n, block_size))
    if n == 0:
        return []
    if len(starts) == 1:
        return [(0, n, 0, n_keys)]  # without asking the device, which would have to be waited for
    stops = [*starts[1:], n]
    firsts = left[starts].clamp_max(n_keys - 1)  # never an empty window
    lasts = torch.maximum(right[[stop - 1 for stop in stops]], firsts + 1)
    return list(zip(starts, stops, firsts.tolist(), lasts.tolist(), strict=True))


def anchor_blocks(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (n, d)
    bias: Tensor | None,  # (n,)
    labels: Tensor,  # (n,), sorted
) -> Iterator[tuple[slice, slice, Tensor, Tensor, Tensor]]:
    """Blocks of anchors [rows]; the columns [window] of their classes; distances (b, n) by the
    bilinear form, true up to a constant in each row; in the window, who is of the anchor's
    class (b, w), and who is its partner (b, w): the same but the anchor itself.
    """
    n = len(labels)
    offset = queries.new_zeros(n) if bias is None else -bias
    left, right = torch.searchsorted(labels, labels), torch.searchsorted(labels, labels, right=True)
    block_size = max(_BLOCK_ENTRIES // max(n, 1), _MIN_BLOCK_ROWS)
    for start, stop, first, last in class_windows(left, right, n, block_size):
        rows, window = slice(start, stop), slice(first, last)
        distances = torch.addmm(offset, queries[rows], keys.T, alpha=-1)
        same = labels[rows, None] == labels[window]
        partner = same.clone()
        partner.diagonal(start - first).fill_(False)
        yield rows, window, distances, same, partner

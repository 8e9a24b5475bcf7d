"""Which of the nearest neighbors of a sample are of its class, in blocks of samples."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ._metrics import Metric

#: Entries in a block of distances, and a floor for the product's sake.
_BLOCK_ENTRIES = 2**21
_MIN_BLOCK_ROWS = 16


def relevant_neighbors(
    z: Tensor,
    y: Tensor,
    depth: Tensor,
    metric: Metric,
    keys: Tensor,
    key_labels: Tensor,
    *,
    among_themselves: bool,
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each block of samples: their indices (b,), and which of their nearest neighbors, the
    nearest first, are of their class (b, k); k is the largest depth in the block.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Queries.

    y : Tensor of shape (n,)
        Their labels.

    depth : Tensor of shape (n,)
        How many neighbors of each query count. Beyond them nothing is relevant.

    metric : Metric
        The distance.

    keys : Tensor of shape (m, d)
        The neighbors; `z` itself if `among_themselves`.

    key_labels : Tensor of shape (m,)
        Their labels.

    among_themselves : bool
        Whether query i is key i, which is then excluded from its neighbors.
    """
    queries, keys, bias = metric.bilinear(z, keys)
    offset = keys.new_zeros(len(keys)) if bias is None else bias
    block_size = max(_MIN_BLOCK_ROWS, _BLOCK_ENTRIES // len(keys))
    # Sorted by depth, so that few blocks are deep.
    for rows in depth.argsort(stable=True).split(block_size):
        nearness = torch.addmm(offset, queries[rows], keys.T)  # (b, m)
        if among_themselves:
            nearness.scatter_(1, rows[:, None], -torch.inf)
        k = min(int(depth[rows].max()), len(keys) - among_themselves)
        nearest = nearness.topk(k, dim=1).indices  # (b, k)
        counts = torch.arange(k, device=z.device) < depth[rows, None]
        yield rows, (key_labels[nearest] == y[rows, None]) & counts

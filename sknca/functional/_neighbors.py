"""Nearest neighbors in blocks of samples, and which of them are of the class of a sample."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ._metrics import Metric

#: Entries in a block of distances, and a floor for the product's sake.
_BLOCK_ENTRIES = 2**21
_MIN_BLOCK_ROWS = 16

#: The same on a GPU.
_GPU_BLOCK_ENTRIES = 2**26


def rows_in_block(keys: Tensor) -> int:
    """How many samples are compared with these keys together."""
    entries = _BLOCK_ENTRIES if keys.is_cpu else _GPU_BLOCK_ENTRIES
    return max(_MIN_BLOCK_ROWS, entries // len(keys))


def nearest(
    queries: Tensor,  # (b, d)
    keys: Tensor,  # (m, d)
    bias: Tensor | None,  # (m,)
    k: int,
    own: Tensor | None = None,  # (b,), which key is the query itself
) -> tuple[Tensor, Tensor]:
    """How near (b, k) the k nearest keys are, which is `queries @ keys.T + bias`, and their indices
    (b, k), the nearest first. A query is not its own neighbor.
    """
    nearness = torch.addmm(keys.new_zeros(()) if bias is None else bias, queries, keys.T)  # (b, m)
    if own is not None:
        nearness.scatter_(1, own[:, None], -torch.inf)
    return nearness.topk(k, dim=1)


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
    # Sorted by depth, so that few blocks are deep.
    for rows in depth.argsort(stable=True).split(rows_in_block(keys)):
        k = min(int(depth[rows].max()), len(keys) - among_themselves)
        _, found = nearest(queries[rows], keys, bias, k, rows if among_themselves else None)
        counts = torch.arange(k, device=z.device) < depth[rows, None]
        yield rows, (key_labels[found] == y[rows, None]) & counts

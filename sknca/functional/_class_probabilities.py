"""What rows expect of their soft neighbours: the probability of each class."""

import torch
from torch import Tensor

from ._blocks import _NOWHERE, exp_rows_
from ._metrics import Metric

#: Entries in a block of pairs, and a floor for the product's sake.
_BLOCK_ENTRIES = 2**21
_MIN_BLOCK_ROWS = 64

#: The same on a GPU.
_GPU_BLOCK_ENTRIES = 2**26


def log_class_probabilities(
    z: Tensor,
    keys: Tensor,
    class_sizes: Tensor,
    temperature: float,
    metric: Metric,
    log_key_weight: Tensor,
) -> Tensor:
    """The logarithm of the probability that a row's soft neighbour is of a class.

    These are the sums of the loss, each with its own maximum, one for each class instead of one
    for a row's class and one for all others.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Rows that look for neighbours; on any device.

    keys : Tensor of shape (m, d)
        The neighbours, class after class.

    class_sizes : Tensor of shape (n_classes,)
        How many of `keys` are of each class.

    temperature : float
        Positive, in units of the distance.

    metric : Metric
        The distance.

    log_key_weight : Tensor of shape (m,)
        The logarithms of the weights of `keys`.

    Returns
    -------
    log_probabilities : Tensor of shape (n, n_classes)
        On the device of `z`. Not-a-number if distance / temperature is too large for the dtype.
    """
    order = class_sizes.argsort(stable=True)
    place = order.argsort()
    if bool((class_sizes.diff() < 0).any()):  # else the keys stand by size already
        by_size = place.repeat_interleave(class_sizes).argsort(stable=True)
        keys, log_key_weight = keys[by_size], log_key_weight[by_size]
    sizes, counts = class_sizes[order].unique_consecutive(return_counts=True)
    widths = (sizes * counts).tolist()
    shapes = list(zip(counts.tolist(), sizes.tolist(), strict=True))

    keys = metric.prepare(keys)
    # About the center of the keys alone, so that a row's company does not matter.
    center = keys.mean(0) if metric.shift_invariant else keys.new_zeros(())
    if metric.shift_invariant:
        keys = keys - center
    bias = metric.bias(keys)
    offset = log_key_weight if bias is None else log_key_weight + bias / temperature
    found = z.new_empty(len(z), len(class_sizes))
    entries = _BLOCK_ENTRIES if keys.is_cpu else _GPU_BLOCK_ENTRIES
    block_size = max(_MIN_BLOCK_ROWS, entries // len(keys))
    for block, out in zip(z.split(block_size), found.split(block_size), strict=True):
        queries = (metric.prepare(block.to(keys.device)) - center) * (metric.product / temperature)
        parts = torch.addmm(offset, queries, keys.T).split(widths, dim=1)  # (b, m) in all
        sums = [
            _log_sums_(part.unflatten(1, shape)) for part, shape in zip(parts, shapes, strict=True)
        ]
        out.copy_(torch.cat(sums, dim=1)[:, place].log_softmax(1))
    return found


def _log_sums_(logits: Tensor) -> Tensor:
    """The logarithm of the sums (b, c) of the exponentials; uses up `logits` (b, c, k)."""
    b, c, k = logits.shape
    if k == 0:
        return logits.new_full((b, c), -torch.inf)
    largest, sums = exp_rows_(logits)
    log_sums = (largest + sums.log()).squeeze(-1)
    return log_sums.masked_fill_(log_sums < _NOWHERE[logits.dtype] / 4, torch.nan)

"""The sum of the losses of every active triplet and its gradient, block by block.

The loss of a triplet depends on the difference of two distances from its anchor. Therefore a
constant along a row of distances cancels, as in the soft nearest neighbor loss, and a metric is
again a bilinear form with a bias, or the square root of a whole form. With a margin no triplet is
listed: sorted distances show with how many negatives each positive is active, and the reverse. The
loss is the sum of the distances with these counts as coefficients, which are also its gradient.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ._anchor_blocks import anchor_blocks
from ._blocks import refuse_second_derivative
from ._checks import widest_float
from ._metrics import resolution_of
from ._roots import divisors_

#: Triplets that are computed together if each must be (with the soft margin).
_TRIPLET_ENTRIES = 2**18


class EveryTriplet(torch.autograd.Function):
    """Weighted mean of the losses of every active (or semi-hard) triplet; 0 if there is none."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,  # (n, d), of which -(queries @ keys.T + bias) are distances
        keys: Tensor,  # (n, d)
        bias: Tensor | None,  # (n,)
        labels: Tensor,  # (n,)
        margin: float | Literal["soft"],
        semihard: bool,
        weight: Tensor | None,  # (n,), at most 1
        root: bool,  # whether the distances are the square roots of these
        wants_gradient: bool,
    ) -> Tensor:
        order = labels.argsort(stable=True)
        place = order.argsort()
        labels, queries, keys = labels[order], queries[order], keys[order]
        bias = None if bias is None else bias[order]
        # Differences of sums of weights are exact if the weights are ones, or multiples of a power
        # of two in double precision. Otherwise a GPU, which adds them in any order, would return
        # another loss in every run.
        wide = widest_float(queries.device)
        if weight is None:
            weight = queries.new_ones(len(keys))
        else:
            step = torch.finfo(wide).eps * 2.0 ** max(len(keys) - 1, 1).bit_length()
            weight = (weight[order].to(wide) / step).round() * step
        total, count = (queries.new_zeros((), dtype=wide) for _ in range(2))
        grad_queries, grad_keys = torch.zeros_like(queries), torch.zeros_like(keys)
        grad_bias = None if bias is None else torch.zeros_like(bias)

        for block, distances, columns, is_positive in anchor_blocks(
            queries, keys, bias, labels, root=root
        ):
            pairs = (
                distances.gather(1, columns),  # (b, w)
                is_positive * weight[columns],  # (b, w)
                distances,  # (b, n)
                weight.repeat(len(distances), 1).scatter_(1, columns, 0),  # (b, n)
            )
            if margin == "soft":
                losses, counts, pull, push = _soft(*pairs)
            else:
                losses, counts, pull, push = _hinge(*pairs, margin, semihard)
            total += (weight[block] * losses).sum()
            count += (weight[block] * counts).sum()
            if wants_gradient:
                # (b, n), of the distances, before the weight of its row
                gradient = push.neg_().scatter_add_(1, columns, pull)
                row_weight = weight[block, None].to(queries.dtype)
                if root:  # (b, n), of the form
                    gradient.div_(divisors_(distances, resolution_of(queries[block])))
                    row_weight = row_weight / 2
                grad_queries[block] = -(gradient @ keys) * row_weight
                grad_keys.addmm_(gradient.T, queries[block] * row_weight, alpha=-1)
                if grad_bias is not None:
                    grad_bias.addmv_(gradient.T, row_weight.squeeze(1), alpha=-1)

        count = torch.where(count > 0, count, 1)
        ctx.gradients = tuple(
            None if g is None or not wants_gradient else (g[place] / count).to(g.dtype)
            for g in (grad_queries, grad_keys, grad_bias)
        )
        return (total / count).to(queries.dtype)

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradients = (None if g is None else grad_mean * g for g in ctx.gradients)
        return *gradients, None, None, None, None, None, None


def _hinge(
    d_ap: Tensor,  # (b, w)
    positive_weight: Tensor,  # (b, w), 0 where there is no positive
    d_an: Tensor,  # (b, n)
    negative_weight: Tensor,  # (b, n), 0 where there is no negative
    margin: float,
    semihard: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sum of the losses and weight of the active triplets of each anchor (b,), and the weight
    of those that each positive (b, w) and each negative (b, n) is part of.
    """
    pull, push = _active(d_ap, positive_weight, d_an, negative_weight, margin, semihard)
    wide = widest_float(d_ap.device)
    counts = (pull * positive_weight).sum(1, dtype=wide)
    pull = pull.mul_(positive_weight).to(d_ap.dtype)
    push = push.mul_(negative_weight).to(d_an.dtype)
    losses = (pull * d_ap).sum(1, dtype=wide) + margin * counts
    return losses - (push * d_an).sum(1, dtype=wide), counts, pull, push


def _active(
    d_ap: Tensor,  # (b, w)
    positive_weight: Tensor,  # (b, w)
    d_an: Tensor,  # (b, n)
    negative_weight: Tensor,  # (b, n)
    margin: float,
    semihard: bool,
) -> tuple[Tensor, Tensor]:
    """For each positive (b, w) the weight of the negatives with which it is active, and the
    reverse (b, n), from the places of the negatives in the order of the positives.
    """
    ordered, index = d_ap.sort(1)  # (b, w)
    ahead = functional.pad(positive_weight.gather(1, index).cumsum(1), (1, 0))  # (b, w + 1)

    def up_to(place: Tensor) -> tuple[Tensor, Tensor]:
        """Weight of the positives before these places (b, n) in their order, and, for each
        positive in its order (b, w), of the negatives whose place is not after it.
        """
        before = torch.zeros_like(ahead).scatter_add_(1, place, negative_weight).cumsum(1)
        return ahead.gather(1, place), before[:, :-1]

    # A triplet is active unless d_ap + margin <= d_an, and then semi-hard if d_ap < d_an.
    place = torch.searchsorted(ordered + margin, d_an, right=True)  # (b, n)
    inactive, of_positives = up_to(place)
    if semihard:
        # Not before the other place: if the margin vanishes by rounding, a tie has no triplet.
        nearer, farther = up_to(torch.searchsorted(ordered, d_an).maximum(place))
        of_negatives, of_positives = nearer - inactive, of_positives - farther
    else:
        of_negatives = ahead[:, -1:] - inactive
    return torch.zeros_like(of_positives).scatter_(1, index, of_positives), of_negatives


def _soft(
    d_ap: Tensor,  # (b, w)
    positive_weight: Tensor,  # (b, w)
    d_an: Tensor,  # (b, n)
    negative_weight: Tensor,  # (b, n)
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `_hinge`, with the soft loss, and weighted slopes instead of weights of triplets."""
    positive_weight, negative_weight = positive_weight.to(d_ap), negative_weight.to(d_an)
    wide = widest_float(d_ap.device)
    losses = d_ap.new_zeros(len(d_ap), dtype=wide)
    pull, push = torch.empty_like(d_ap), torch.zeros_like(d_an)
    for rows, columns in _chunks(d_ap, d_an):
        positives = positive_weight[rows, None, columns]  # (k, 1, c)
        negatives = negative_weight[rows, :, None]  # (k, n, 1)
        gap = d_ap[rows, columns, None] - d_an[rows, None, :]  # (k, c, n)
        losses[rows] += (positives @ softplus(gap) @ negatives).flatten()
        slope = gap.sigmoid_()
        pull[rows, columns] = (slope @ negatives).squeeze(2)
        push[rows] += (positives @ slope).squeeze(1)
    counts = positive_weight.sum(1, dtype=wide) * negative_weight.sum(1)
    return losses, counts, pull.mul_(positive_weight), push.mul_(negative_weight)


def _chunks(d_ap: Tensor, d_an: Tensor) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of `d_ap` (b, w) that are few enough to meet all of `d_an` (b, n)."""
    (b, w), n = d_ap.shape, d_an.shape[1]
    n_rows, n_columns = max(_TRIPLET_ENTRIES // (w * n), 1), max(_TRIPLET_ENTRIES // n, 1)
    for row in range(0, b, n_rows):
        for column in range(0, w, n_columns):
            yield slice(row, row + n_rows), slice(column, column + n_columns)


def softplus(gap: Tensor) -> Tensor:
    return functional.softplus(gap, threshold=40.0)  # beyond it equal in float64 too

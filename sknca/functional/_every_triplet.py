"""The sum of the losses of every active triplet and its gradient, block by block.

The loss of a triplet goes by the difference of two distances from its anchor, so what is
constant along a row of distances drops out, as in the soft nearest neighbour loss, and a
metric is again a bilinear form with a bias. With a margin no triplet is listed: sorted
distances tell with how many negatives each positive is active, and the reverse, and the sum
is one of the distances with these numbers as coefficients, which are its gradient too.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ._blocks import refuse_second_derivative
from ._windows import anchor_blocks

#: Triplets that are looked at together where each has to be.
_TRIPLET_ENTRIES = 2**20


class EveryTriplet(torch.autograd.Function):
    """Weighted sum of the losses of every active (or semi-hard) triplet, and their weight."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,  # (n, d), of which -(queries @ keys.T + bias) are distances
        keys: Tensor,  # (n, d)
        bias: Tensor | None,  # (n,)
        labels: Tensor,  # (n,)
        margin: float | Literal["soft"],
        semihard: bool,
        weight: Tensor | None,  # (n,)
        wants_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        order = labels.argsort(stable=True)
        place = order.argsort()
        labels, queries, keys = labels[order], queries[order], keys[order]
        bias = None if bias is None else bias[order]
        weight = queries.new_ones(len(keys)) if weight is None else weight[order]
        total, count = (queries.new_zeros((), dtype=torch.float64) for _ in range(2))
        grad_queries, grad_keys = torch.empty_like(queries), torch.zeros_like(keys)
        grad_bias = None if bias is None else torch.zeros_like(bias)

        for block, window, distances, same, partner in anchor_blocks(queries, keys, bias, labels):
            positive_weight = partner * weight[window]  # (b, w)
            negative_weight = weight.repeat(len(distances), 1)  # (b, n)
            negative_weight[:, window].masked_fill_(same, 0)

            pairs = distances[:, window], positive_weight, distances, negative_weight
            if margin == "soft":
                losses, counts, pull, push = _soft(*pairs)
            else:
                losses, counts, pull, push = _hinge(*pairs, margin, semihard)
            total += (weight[block] * losses).sum()
            count += (weight[block] * counts).sum()
            if wants_gradient:
                gradient = push.neg_()  # (b, n), in the distances; its row is still to be weighed
                gradient[:, window] += pull
                row_weight = weight[block, None]
                grad_queries[block] = -(gradient @ keys) * row_weight
                grad_keys.addmm_(gradient.T, queries[block] * row_weight, alpha=-1)
                if grad_bias is not None:
                    grad_bias.addmv_(gradient.T, row_weight.squeeze(1), alpha=-1)

        ctx.gradients = (None, None, None)
        if wants_gradient:
            grad_bias = None if grad_bias is None else grad_bias[place]
            ctx.gradients = grad_queries[place], grad_keys[place], grad_bias
        count = count.to(queries.dtype)
        ctx.mark_non_differentiable(count)
        return total.to(queries.dtype), count

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradients = (None if g is None else grad_total * g for g in ctx.gradients)
        return *gradients, None, None, None, None, None


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
    ordered, index = d_ap.sort(1)  # (b, w)
    ahead = functional.pad(positive_weight.gather(1, index).cumsum(1), (1, 0))  # (b, w + 1)

    def up_to(place: Tensor) -> tuple[Tensor, Tensor]:
        """Weight of the positives before these places (b, n) in their order, and, for each
        positive in its order (b, w), of the negatives whose place is not after it.
        """
        before = torch.zeros_like(ahead).scatter_add_(1, place, negative_weight).cumsum(1)
        return ahead.gather(1, place), before[:, :-1]

    # A triplet is active unless d_ap + margin <= d_an, and then semi-hard where d_ap < d_an.
    place = torch.searchsorted(ordered + margin, d_an, right=True)  # (b, n)
    inactive, of_positives = up_to(place)
    if semihard:
        # Not before the other place: where the margin vanishes in rounding, a tie has no triplet.
        nearer, farther = up_to(torch.searchsorted(ordered, d_an).maximum(place))
        of_negatives, of_positives = nearer - inactive, of_positives - farther
    else:
        of_negatives = ahead[:, -1:] - inactive
    pull = torch.zeros_like(d_ap).scatter_(1, index, of_positives).mul_(positive_weight)
    push = of_negatives.mul_(negative_weight)
    counts = pull.sum(1, dtype=torch.float64)
    losses = (pull * d_ap).sum(1, dtype=torch.float64) + margin * counts
    return losses - (push * d_an).sum(1, dtype=torch.float64), counts, pull, push


def _soft(
    d_ap: Tensor,  # (b, w)
    positive_weight: Tensor,  # (b, w)
    d_an: Tensor,  # (b, n)
    negative_weight: Tensor,  # (b, n)
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same as `_hinge`, of every triplet with its soft loss; triplet by triplet."""
    (b, w), n = d_ap.shape, d_an.shape[1]
    losses = d_ap.new_zeros(b, dtype=torch.float64)
    pull, push = torch.zeros_like(d_ap), torch.zeros_like(d_an)
    n_rows, n_columns = max(_TRIPLET_ENTRIES // (w * n), 1), max(_TRIPLET_ENTRIES // n, 1)
    for row in range(0, b, n_rows):
        rows = slice(row, row + n_rows)
        negatives = negative_weight[rows, :, None]  # (k, n, 1)
        for column in range(0, w, n_columns):
            some = rows, slice(column, column + n_columns)
            gap = d_ap[some][:, :, None] - d_an[rows, None, :]  # (k, c, n)
            positives = positive_weight[some][:, None, :]  # (k, 1, c)
            losses[rows] += (positives @ softplus(gap) @ negatives).flatten()
            slope = gap.sigmoid_()
            pull[some] = (slope @ negatives).squeeze(2)
            push[rows] += (positives @ slope).squeeze(1)
    counts = positive_weight.sum(1, dtype=torch.float64) * negative_weight.sum(1)
    return losses, counts, pull.mul_(positive_weight), push.mul_(negative_weight)


def softplus(gap: Tensor) -> Tensor:
    return functional.softplus(gap, threshold=40.0)  # beyond it equal in float64 too

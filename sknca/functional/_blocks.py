"""The soft nearest neighbour loss and its gradient, block by block.

Row i compares two disjoint sets of neighbours, its partners (same class, itself left out)
and the others. With a_ij = -d_ij / T (+ log w_j) and

    s_i = logsumexp over the partners of a_ij,    o_i = logsumexp over the others of a_ij,

the loss of the row is log(exp(o_i) + exp(s_i)) - s_i = softplus(o_i - s_i). Written so,
nothing cancels and nothing underflows: each sum has a maximum of its own. The gradient
is as plain: with c_i the row's coefficient in the total,

    dL/da_ij = c_i sigmoid(o_i - s_i) * (softmax over the others - softmax over the partners).

A term that is constant along a row drops out, so the logits need no squared norm of row i:
a metric is a bilinear form of `queries` and `keys` and a `bias` for each key.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# A processor computes a hundred times slower with denormal numbers, and a trained network's
# codes are full of exponentials that would be some. So a term far below the rounding of its
# sum (whose largest is exp(0)) becomes a true zero, and so does the pull 1 - p_i of a row
# that no optimiser could tell from a perfect one; the product of the two stays a normal number.
_NEGLIGIBLE = {torch.float32: -35.0, torch.float64: -200.0}
_NO_PULL = {torch.float32: 1e-20, torch.float64: 1e-200}


@dataclass(frozen=True)
class Problem:
    """What the blocks need beside the differentiable tensors."""

    query_labels: Tensor  # (n,)
    key_labels: Tensor  # (m,)
    log_key_weight: Tensor | None  # (m,)
    among_themselves: bool  # the queries are the keys: row i is no neighbour of its own
    block_size: int


class TotalLoss(torch.autograd.Function):
    """Weighted sum of the row losses, and the weight of the rows that have a partner."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        bias: Tensor | None,
        temperature: Tensor,
        problem: Problem,
        weight: Tensor,
        wants_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        losses, valid, gradients = _evaluate(
            queries, keys, bias, temperature, problem, weight if wants_gradient else None
        )
        ctx.gradients = gradients
        valid_weight = (weight * valid).sum()
        ctx.mark_non_differentiable(valid_weight)
        return (weight * losses).sum(), valid_weight

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradients = (None if g is None else grad_total * g for g in ctx.gradients)
        return *gradients, None, None, None


class RowLosses(torch.autograd.Function):
    """The row losses; their coefficients come with the backward pass, which walks again."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        bias: Tensor | None,
        temperature: Tensor,
        problem: Problem,
    ) -> Tensor:
        ctx.save_for_backward(queries, keys, bias, temperature)
        ctx.problem = problem
        losses, _, _ = _evaluate(queries, keys, bias, temperature, problem, None)
        return losses

    @staticmethod
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        queries, keys, bias, temperature = ctx.saved_tensors
        with torch.autocast(queries.device.type, enabled=False):
            _, _, gradients = _evaluate(queries, keys, bias, temperature, ctx.problem, grad_losses)
        return *gradients, None


def refuse_second_derivative() -> None:
    # torch's once_differentiable lets a graph pass whose incoming gradient is a constant, and
    # would then give a second derivative with a part missing.
    if torch.is_grad_enabled():
        raise RuntimeError("The loss has no second derivative: call it without create_graph=True.")


def _evaluate(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    bias: Tensor | None,  # (m,)
    temperature: Tensor,  # ()
    problem: Problem,
    coefficients: Tensor | None,  # (n,), of each row in the total; None: no gradient wanted
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """Row losses, which rows have a partner, and the total's gradient in the four tensors.

    Rows are sorted by class, so that the partners of a block's rows stand in one narrow
    window of columns, and only there is a mask needed.
    """
    losses, valid = queries.new_zeros(len(queries)), queries.new_zeros(len(queries)).bool()
    if len(queries) == 0 or len(keys) == 0:
        tensors = (queries, keys, bias, temperature) if coefficients is not None else (None,) * 4
        return losses, valid, tuple(None if t is None else torch.zeros_like(t) for t in tensors)

    itself_is_key = problem.among_themselves
    key_order = problem.key_labels.argsort(stable=True)
    order = key_order if itself_is_key else problem.query_labels.argsort(stable=True)
    labels, key_labels = problem.query_labels[order], problem.key_labels[key_order]
    sorted_queries = queries[order] / temperature
    sorted_keys = keys[key_order]
    offset = None if bias is None else bias[key_order] / temperature
    counts = torch.ones_like(sorted_keys[:, 0], dtype=torch.bool)  # (m,) as a neighbour at all
    if problem.log_key_weight is not None:
        log_weight = problem.log_key_weight[key_order]
        offset = log_weight if offset is None else offset + log_weight
        counts = log_weight > -torch.inf
    # The keys of a row's class are [left, right).
    left = torch.searchsorted(key_labels, labels)  # (n,)
    right = torch.searchsorted(key_labels, labels, right=True)
    counted = torch.cat([counts.new_zeros(1).long(), counts.cumsum(0)])  # (m + 1,)
    partners_of = counted[right] - counted[left] - (counts.long() if itself_is_key else 0)
    has_partner = (partners_of > 0)[:, None]  # (n, 1)
    valid[order] = has_partner.squeeze(1)
    if coefficients is not None:
        sorted_coefficients = coefficients[order, None]  # (n, 1)
        grad_queries, grad_keys = torch.empty_like(sorted_queries), torch.zeros_like(sorted_keys)
        grad_bias = None if bias is None else torch.zeros_like(bias)

    for start, stop, first, last in _windows(left, right, len(keys), problem.block_size):
        block = slice(start, stop)
        others = sorted_queries[block] @ sorted_keys.T  # (b, m) logits
        if offset is not None:
            others += offset
        if itself_is_key:
            others.diagonal(start).fill_(-torch.inf)
        window = others[:, first:last]  # (b, w), a view
        is_partner = labels[block, None] == key_labels[first:last]  # (b, w)
        partners = torch.where(is_partner, window, -torch.inf)  # (b, w)
        window.masked_fill_(is_partner, -torch.inf)

        log_partners, sum_partners = _exp_rows_(partners)  # (b, 1)
        log_others, sum_others = _exp_rows_(others)  # (b, 1)
        gap = torch.where(has_partner[block], log_others - log_partners, -torch.inf)
        losses[order[block]] = torch.logaddexp(gap, torch.zeros_like(gap)).squeeze(1)

        if coefficients is not None:
            # A sum over a set that is not empty is at least 1, for its largest term is.
            sum_others, sum_partners = sum_others.clamp_min(1), sum_partners.clamp_min(1)
            window -= partners.mul_(sum_others / sum_partners)
            # Without its row's factor: that is cheaper on the (b, d) sides of the products.
            gradient = others  # (b, m)
            pull = torch.threshold(gap.sigmoid(), _NO_PULL[gap.dtype], 0.0)  # (b, 1), 1 - p_i
            factor = sorted_coefficients[block] * pull / sum_others  # (b, 1)
            grad_queries[block] = (gradient @ sorted_keys).mul_(factor)
            grad_keys.addmm_(gradient.T, sorted_queries[block] * factor)
            if grad_bias is not None:
                grad_bias.addmv_(gradient.T, factor.squeeze(1))

    if coefficients is None:
        return losses, valid, (None, None, None, None)
    # The logits are homogeneous in 1/T, so Euler's relation gives the gradient in T.
    grad_temperature = -(sorted_queries * grad_queries).sum() / temperature
    if offset is not None and bias is not None and grad_bias is not None:
        grad_temperature -= (bias[key_order] * grad_bias).sum() / temperature**2
        grad_bias = _unsort(grad_bias / temperature, key_order)
    return (
        losses,
        valid,
        (
            _unsort(grad_queries / temperature, order),
            _unsort(grad_keys, key_order),
            grad_bias,
            grad_temperature,
        ),
    )


def _windows(
    left: Tensor, right: Tensor, n_keys: int, block_size: int
) -> list[tuple[int, int, int, int]]:
    """Blocks of sorted rows [start, stop) and the columns [first, last) of their classes."""
    n = len(left)
    starts = list(range(0, n, block_size))
    if len(starts) == 1:
        return [(0, n, 0, n_keys)]  # without asking the device, which would have to be waited for
    stops = [*starts[1:], n]
    firsts = left[starts].clamp_max(n_keys - 1)  # never an empty window
    lasts = torch.maximum(right[[stop - 1 for stop in stops]], firsts + 1)
    return list(zip(starts, stops, firsts.tolist(), lasts.tolist(), strict=True))


def _exp_rows_(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Turn logits (b, k) in place into exponentials relative to each row's largest; return
    the logarithm of the row sums (b, 1) and the sums (b, 1) of what stands there now.
    """
    largest = logits.amax(1, keepdim=True).clamp_min(torch.finfo(logits.dtype).min)
    floor = _NEGLIGIBLE[logits.dtype]
    torch.threshold_(logits.sub_(largest).clamp_min_(floor).exp_(), 2 * math.exp(floor), 0.0)
    sums = logits.sum(1, keepdim=True)
    return largest + sums.log(), sums


def _unsort(rows: Tensor, order: Tensor) -> Tensor:
    result = torch.empty_like(rows)
    result[order] = rows
    return result

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

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


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
        _refuse_second_derivative()
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
        _refuse_second_derivative()
        queries, keys, bias, temperature = ctx.saved_tensors
        _, _, gradients = _evaluate(queries, keys, bias, temperature, ctx.problem, grad_losses)
        return *gradients, None


def _refuse_second_derivative() -> None:
    # torch's once_differentiable lets a graph pass whose incoming gradient is a constant, and
    # would then give a second derivative with a part missing.
    if torch.is_grad_enabled():
        raise RuntimeError(
            "The soft nearest neighbour loss has no second derivative: call it without "
            "create_graph=True."
        )


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
    n, m = len(queries), len(keys)
    losses, valid = queries.new_zeros(n), queries.new_zeros(n, dtype=torch.bool)
    want = coefficients is not None
    if n == 0 or m == 0:
        zeros = tuple(
            torch.zeros_like(t) if want and t is not None else None
            for t in (queries, keys, bias, temperature)
        )
        return losses, valid, zeros

    key_order = problem.key_labels.argsort(stable=True)
    order = key_order if problem.among_themselves else problem.query_labels.argsort(stable=True)
    labels, key_labels = problem.query_labels[order], problem.key_labels[key_order]
    sorted_queries = queries[order] / temperature
    sorted_keys = keys[key_order]
    offset = None if bias is None else bias[key_order] / temperature
    if problem.log_key_weight is not None:
        log_weight = problem.log_key_weight[key_order]
        offset = log_weight if offset is None else offset + log_weight
    if coefficients is not None:
        sorted_coefficients = coefficients[order, None]  # (n, 1)
        grad_queries, grad_keys = torch.empty_like(sorted_queries), torch.zeros_like(sorted_keys)
        grad_bias = None if bias is None else torch.zeros_like(bias)

    for start, stop, left, right in _windows(labels, key_labels, problem.block_size):
        block = slice(start, stop)
        others = sorted_queries[block] @ sorted_keys.T  # (b, m) logits
        if offset is not None:
            others += offset
        if problem.among_themselves:
            others.diagonal(start).fill_(-torch.inf)
        window = others[:, left:right]  # (b, w), a view
        is_partner = labels[block, None] == key_labels[left:right]  # (b, w)
        partners = torch.where(is_partner, window, -torch.inf)  # (b, w)
        window.masked_fill_(is_partner, -torch.inf)

        log_partners, sum_partners = _exp_rows_(partners)  # (b, 1)
        log_others, sum_others = _exp_rows_(others)  # (b, 1)
        has_partner = sum_partners != 0  # not > 0, by which a NaN would pass for no partner
        gap = torch.where(has_partner, log_others - log_partners, -torch.inf)
        losses[order[block]] = torch.logaddexp(gap, torch.zeros_like(gap)).squeeze(1)
        valid[order[block]] = has_partner.squeeze(1)

        if coefficients is not None:
            pull = sorted_coefficients[block] * gap.sigmoid()  # (b, 1), 0 without a partner
            # A sum over a set that is not empty is at least 1, for its largest term is.
            gradient = others.mul_(pull / sum_others.clamp_min(1))  # (b, m)
            window -= partners.mul_(pull / sum_partners.clamp_min(1))
            torch.mm(gradient, sorted_keys, out=grad_queries[block])
            grad_keys.addmm_(gradient.T, sorted_queries[block])
            if grad_bias is not None:
                grad_bias += gradient.sum(0)

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
    labels: Tensor, key_labels: Tensor, block_size: int
) -> list[tuple[int, int, int, int]]:
    """Blocks of sorted rows [start, stop) and the columns [left, right) of their classes."""
    n, m = len(labels), len(key_labels)
    starts = torch.arange(0, n, block_size, device="cpu")
    if len(starts) == 1:
        return [(0, n, 0, m)]  # without asking the device, which would have to be waited for
    stops = (starts + block_size).clamp_max(n)
    left = torch.searchsorted(key_labels, labels[starts.to(labels.device)])
    right = torch.searchsorted(key_labels, labels[stops.to(labels.device) - 1], right=True)
    left = left.clamp_max(m - 1)  # never an empty window, also where no key has the class
    right = torch.maximum(right, left + 1)
    return list(zip(starts.tolist(), stops.tolist(), left.tolist(), right.tolist(), strict=True))


def _exp_rows_(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Turn logits (b, k) in place into exponentials relative to each row's largest; return
    the logarithm of the row sums (b, 1) and the sums (b, 1) of what stands there now.
    """
    largest = logits.amax(1, keepdim=True).clamp_min(torch.finfo(logits.dtype).min)
    sums = logits.sub_(largest).exp_().sum(1, keepdim=True)
    return largest + sums.log(), sums


def _unsort(rows: Tensor, order: Tensor) -> Tensor:
    result = torch.empty_like(rows)
    result[order] = rows
    return result

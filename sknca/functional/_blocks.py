"""The soft nearest neighbour loss and its gradient, block by block.

Row i compares two disjoint sets of neighbours, its partners (same class, itself left out)
and the others. With a_ij = -d_ij / T (+ log w_j) and

    s_i = logsumexp over the partners of a_ij,    o_i = logsumexp over the others of a_ij,

the loss of the row is log(exp(o_i) + exp(s_i)) - s_i = softplus(o_i - s_i). Written so,
nothing cancels and nothing underflows: each sum has a maximum of its own. The gradient
is as plain: with c_i the row's coefficient in the total,

    dL/da_ij = c_i sigmoid(o_i - s_i) * (softmax over the others - softmax over the partners).

With p_i = sigmoid(s_i - o_i) that loss is -log p_i. It is the end of a family (1 - p_i^q) / q, at
q = 0, whose gradient is p_i^q times as large.

A term that is constant along a row drops out, so the logits need no squared norm of row i:
they are a bilinear form of `queries` and `keys`, and an `offset` for each key.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ._checks import widest_float
from ._metrics import Metric, common_center

# A processor computes a hundred times slower with denormal numbers, and a trained network's
# codes are full of exponentials that would be some. So no term (of a sum whose largest is
# exp(0)) is smaller than the exponential of this, far below the rounding of any sum, and the
# pull 1 - p_i of a row that no optimiser could tell from a perfect one is a true zero; the
# product of the two stays a normal number.
_NEGLIGIBLE = {torch.float32: -35.0, torch.float64: -200.0}
_NO_PULL = {torch.float32: 1e-20, torch.float64: 1e-200}

_LOG2_E = math.log2(math.e)

# Whole numbers beyond this one are not told apart in float32.
_WHOLE_IN_FLOAT32 = 2**24

# Added to the logit of a pair that is left out. Finite, so that a mask can be multiplied by it.
_NOWHERE = {torch.float32: -1e30, torch.float64: -1e300}


@dataclass(frozen=True)
class Problem:
    """What the blocks need beside the differentiable tensors."""

    metric: Metric  # the rows are prepared
    query_labels: Tensor  # (n,)
    key_labels: Tensor  # (m,)
    log_key_weight: Tensor | None  # (m,)
    among_themselves: bool  # the queries are the keys: row i is no neighbour of its own
    block_size: int
    q: float | Tensor = 0.0  # of the family (1 - p^q) / q; a tensor () is positive


class TotalLoss(torch.autograd.Function):
    """Weighted sum of the row losses, and the weight of the rows that have a partner."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,  # (n, d)
        neighbors: Tensor | None,  # (m, d), if not the rows themselves
        temperature: Tensor,  # ()
        problem: Problem,
        weight: Tensor,  # (n,)
        wants_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        coefficients = weight if wants_gradient else None
        losses, valid, gradients = _evaluate(z, neighbors, temperature, problem, coefficients)
        ctx.gradients = gradients
        valid_weight = (weight * valid).sum()
        ctx.mark_non_differentiable(valid_weight)
        return (weight * losses).sum(), valid_weight

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradients = (
            grad_total * g if wanted and g is not None else None
            for g, wanted in zip(ctx.gradients, ctx.needs_input_grad, strict=False)
        )
        return *gradients, None, None, None


class RowLosses(torch.autograd.Function):
    """The row losses; their coefficients come with the backward pass, which walks again."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, neighbors: Tensor | None, temperature: Tensor, problem: Problem
    ) -> Tensor:
        ctx.save_for_backward(z, neighbors, temperature)
        ctx.problem = problem
        losses, _, _ = _evaluate(z, neighbors, temperature, problem, None)
        return losses

    @staticmethod
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        z, neighbors, temperature = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False):
            _, _, gradients = _evaluate(z, neighbors, temperature, ctx.problem, grad_losses)
        return *gradients, None


def refuse_second_derivative() -> None:
    # torch's once_differentiable lets a graph pass whose incoming gradient is a constant, and
    # would then give a second derivative with a part missing.
    if torch.is_grad_enabled():
        raise RuntimeError("The loss has no second derivative: call it without create_graph=True.")


def _evaluate(
    z: Tensor,  # (n, d)
    neighbors: Tensor | None,  # (m, d)
    temperature: Tensor,  # ()
    problem: Problem,
    coefficients: Tensor | None,  # (n,), of each row in the total; None: no gradient wanted
) -> tuple[Tensor, Tensor, tuple[Tensor | None, Tensor | None, Tensor | None]]:
    """Row losses, which rows have a partner, and the total's gradient in the three tensors."""
    keys = z if neighbors is None else neighbors
    if len(z) == 0 or len(keys) == 0:
        losses = z.new_zeros(len(z))
        tensors = (z, neighbors, temperature) if coefficients is not None else (None,) * 3
        none, of_neighbors, of_t = (None if t is None else torch.zeros_like(t) for t in tensors)
        return losses, losses.bool(), (none, of_neighbors, of_t)
    scale = temperature.reciprocal()
    metric = problem.metric
    # As metric.bilinear, with the distances over the temperature; the gradient below.
    if metric.shift_invariant:
        center = common_center(z, keys)
        keys = keys - center
        z = keys if neighbors is None else z - center
    queries = z * (metric.product * scale)
    bias = keys.square().sum(1).mul_(-metric.squares * scale) if metric.squares else None  # (m,)
    offset = bias
    if problem.log_key_weight is not None:
        log_weight = problem.log_key_weight.clamp_min(_NOWHERE[keys.dtype])
        offset = log_weight if offset is None else offset + log_weight
    classes, key_classes, has_partner = _classes(problem, keys.dtype)
    walk = _walk if len(z) <= problem.block_size else _walk_by_class
    losses, grad_queries, grad_keys, grad_offset = walk(
        queries, keys, offset, classes, key_classes, has_partner, coefficients, problem
    )
    if grad_queries is None or grad_keys is None:
        return losses, has_partner, (None, None, None)
    grad_temperature = None
    if temperature.requires_grad:
        # The logits are homogeneous in 1/T, so Euler's relation gives the gradient in T.
        homogeneous = (queries * grad_queries).sum()
        if bias is not None and grad_offset is not None:
            homogeneous += bias.dot(grad_offset)
        grad_temperature = -homogeneous * scale
    grad_z = grad_queries.mul_(metric.product * scale)
    if metric.squares and grad_offset is not None:
        grad_keys = grad_keys - keys * (2 * metric.squares * scale * grad_offset)[:, None]
    if neighbors is None:
        return losses, has_partner, (grad_z + grad_keys, None, grad_temperature)
    return losses, has_partner, (grad_z, grad_keys, grad_temperature)


def _classes(problem: Problem, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A number for the class of each query (n,) and key (m,), and which queries (n,) have a
    partner. Floats: with them a comparison can write a float, ten times as fast as a boolean.
    """
    if len(problem.key_labels) > _WHOLE_IN_FLOAT32:
        dtype = widest_float(problem.key_labels.device)
    ordered, order = problem.key_labels.sort()
    left = torch.searchsorted(ordered, problem.query_labels)  # (n,)
    right = torch.searchsorted(ordered, problem.query_labels, right=True)
    if problem.among_themselves:
        classes = key_classes = left.to(dtype)
    else:
        classes = torch.where(left < right, left, -1).to(dtype)
        key_classes = torch.searchsorted(ordered, problem.key_labels).to(dtype)
    own = int(problem.among_themselves)
    if problem.log_key_weight is None:
        return classes, key_classes, right - left > own
    counts = (problem.log_key_weight > -torch.inf).long()  # (m,), who is a neighbour at all
    counted = functional.pad(counts[order].cumsum(0), (1, 0))  # (m + 1,)
    return classes, key_classes, counted[right] - counted[left] > (counts if own else 0)


#: Row losses (n,), and their gradients in queries, keys and offset.
_Walked = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]


def _walk_by_class(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    offset: Tensor | None,  # (m,)
    classes: Tensor,  # (n,)
    key_classes: Tensor,  # (m,)
    has_partner: Tensor,  # (n,)
    coefficients: Tensor | None,  # (n,)
    problem: Problem,
) -> _Walked:
    """Walk over rows sorted by class: the partners of a block stand in one narrow window."""
    key_order = key_classes.argsort(stable=True)
    order = key_order if problem.among_themselves else classes.argsort(stable=True)
    losses, grad_queries, grad_keys, grad_offset = _walk(
        queries[order],
        keys[key_order],
        None if offset is None else offset[key_order],
        classes[order],
        key_classes[key_order],
        has_partner[order],
        None if coefficients is None else coefficients[order],
        problem,
    )
    place, key_place = order.argsort(), key_order.argsort()
    return (
        losses[place],
        None if grad_queries is None else grad_queries[place],
        None if grad_keys is None else grad_keys[key_place],
        None if grad_offset is None else grad_offset[key_place],
    )


def _walk(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    offset: Tensor | None,  # (m,)
    classes: Tensor,  # (n,)
    key_classes: Tensor,  # (m,)
    has_partner: Tensor,  # (n,)
    coefficients: Tensor | None,  # (n,)
    problem: Problem,
) -> _Walked:
    """Losses and gradients, one block of rows after the other.

    The offset is one more column of the keys, with a one in each query, so that it and its
    gradient come with the products.
    """
    nowhere = _NOWHERE[keys.dtype]
    gaps = queries.new_zeros(len(queries), 1)  # (n, 1), o_i - s_i
    left, right = queries, keys.T  # (n, d), (d, m)
    if offset is not None:
        left = functional.pad(queries, (0, 1), value=1.0)  # (n, d + 1)
        right = torch.cat([right, offset[None]])  # (d + 1, m)
    if coefficients is not None:
        grad_queries = torch.empty_like(queries)
        coefficients = (coefficients * has_partner)[:, None]  # (n, 1)
    grad_right: Tensor | None = None  # (d, m) or (d + 1, m), summed over the blocks
    blocks = _blocks(classes, key_classes, problem.block_size)
    # Memory that is used again for each block is in the cache, and has not to be asked for.
    room = queries.new_empty(max(b.stop - b.start for b in blocks), len(keys))
    window_rooms = queries.new_empty(
        2, max((b.stop - b.start) * (b.last - b.first) for b in blocks)
    )

    for b in blocks:
        rows, columns = slice(b.start, b.stop), slice(b.first, b.last)
        others = torch.mm(left[rows], right, out=room[: b.stop - b.start])  # (b, m), logits
        window = others[:, columns]  # (b, w), a view
        partners, mask = window_rooms[:, : window.numel()].view(2, *window.shape)  # (b, w)
        if b.one_class:
            partners.copy_(window)
            window.fill_(nowhere)
        else:
            of_rows, of_columns = classes[rows, None], key_classes[columns]
            torch.ne(of_rows, of_columns, out=mask)
            torch.add(window, mask, alpha=nowhere, out=partners)
            torch.eq(of_rows, of_columns, out=mask)
            window.add_(mask, alpha=nowhere)
        if problem.among_themselves:
            partners.diagonal(b.start - b.first).fill_(nowhere)

        top_partners, sum_partners = exp_rows_(partners)  # (b, 1)
        top_others, sum_others = exp_rows_(others)  # (b, 1)
        ratio = sum_others / sum_partners
        gap = torch.add(top_others - top_partners, ratio.log(), out=gaps[rows])  # (b, 1)

        if coefficients is not None:
            window -= partners.mul_(ratio)
            # Without its row's factor: that is cheaper on the (b, d) sides of the products.
            gradient = others  # (b, m)
            pull = functional.threshold(gap.sigmoid(), _NO_PULL[gap.dtype], 0.0)  # (b, 1), 1 - p_i
            if not _is_zero(problem.q):
                pull = pull * (-problem.q * _log_loss(gap)).exp_()
            factor = coefficients[rows] * pull / sum_others  # (b, 1)
            torch.mm(gradient, keys, out=grad_queries[rows]).mul_(factor)
            weighted = (left[rows] * factor).T  # (d, b) or (d + 1, b)
            if grad_right is None:
                grad_right = torch.mm(weighted, gradient)
            else:
                grad_right.addmm_(weighted, gradient)

    losses = _log_loss(gaps).squeeze(1) * has_partner
    losses = torch.where(losses > -nowhere / 4, torch.inf, losses)  # a partner, and yet none
    if not _is_zero(problem.q):
        losses = torch.expm1(-problem.q * losses) / -problem.q
    if grad_right is None:
        return losses, None, None, None
    grad_keys = grad_right[: keys.shape[1]].T
    return losses, grad_queries, grad_keys, None if offset is None else grad_right[-1]


def _is_zero(q: float | Tensor) -> bool:
    return not isinstance(q, Tensor) and q == 0  # to ask a tensor would be to wait for its device


def _log_loss(gap: Tensor) -> Tensor:
    """-log p of rows with that gap."""
    return functional.softplus(gap, threshold=40.0)


@dataclass(frozen=True)
class _Block:
    """Rows [start, stop), and the columns [first, last) where their classes stand."""

    start: int
    stop: int
    first: int
    last: int
    one_class: bool  # then all of these columns are of the class of all of these rows


def _blocks(classes: Tensor, key_classes: Tensor, block_size: int) -> list[_Block]:
    """At most `block_size` rows each; of rows sorted by class, if they are more, and then of one
    class where that is large.
    """
    if len(classes) <= block_size:
        # Without asking the device, which would have to be waited for.
        return [_Block(0, len(classes), 0, len(key_classes), one_class=False)]
    starts, position = [0], 0
    for size in classes.unique_consecutive(return_counts=True)[1].tolist():
        if position > starts[-1] and position + size - starts[-1] > block_size:
            starts.append(position)
        pieces = -(-size // block_size)
        starts += [position + size * piece // pieces for piece in range(1, pieces)]
        position += size
    stops = [*starts[1:], len(classes)]
    of_first, of_last = classes[starts], classes[[stop - 1 for stop in stops]]
    first = torch.searchsorted(key_classes, of_first)
    last = torch.searchsorted(key_classes, of_last, right=True)
    one_class = (of_first == of_last) & (first < last)
    first = first.clamp_max(len(key_classes) - 1)  # never an empty window
    columns = torch.stack([first, torch.maximum(last, first + 1), one_class.long()], 1).tolist()
    return [
        _Block(start, stop, first, last, bool(one_class))
        for start, stop, (first, last, one_class) in zip(starts, stops, columns, strict=True)
    ]


def exp_rows_(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Turn logits (..., k) in place into exponentials relative to each row's largest; return
    the largest (..., 1) and the sums (..., 1), which are at least 1, for the largest's term is; as
    they shall be too where the row is empty.
    """
    largest = logits.amax(-1, keepdim=True).clamp_min_(_NOWHERE[logits.dtype] / 2)
    logits.sub_(largest)
    if logits.is_cpu:  # a GPU computes denormal numbers as fast as others
        logits.clamp_min_(_NEGLIGIBLE[logits.dtype])
        # torch's power of two takes half the time of its exponential.
        logits.mul_(_LOG2_E).exp2_()
    else:
        logits.exp_()
    return largest, logits.sum(-1, keepdim=True).clamp_min_(1)

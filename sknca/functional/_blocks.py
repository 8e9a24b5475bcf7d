"""The soft nearest neighbor loss and its gradient, block by block.

Row i compares two disjoint sets of neighbors: its positives (same class, without itself) and its
negatives (other classes). With a_ij = -d_ij / T (+ log w_j) and

    s_i = logsumexp over the positives of a_ij,    o_i = logsumexp over the negatives of a_ij,

the loss of the row is log(exp(o_i) + exp(s_i)) - s_i = softplus(o_i - s_i). In this form nothing
cancels and nothing underflows, because each sum has its own maximum. With c_i the coefficient of
the row in the total, the gradient is

    dL/da_ij = c_i sigmoid(o_i - s_i) * (softmax over the negatives - softmax over the positives).

With p_i = sigmoid(s_i - o_i) the loss is -log p_i. It is the case q = 0 of the family
(1 - p_i^q) / q, whose gradient is p_i^q times as large.

A term that is constant along a row cancels, so the logits need no squared norm of row i. They are a
bilinear form of `queries` and `keys`, and an `offset` for each key. If the distance is a square
root, the product of `queries` and `keys` is the whole form, and a `root_scale` says so.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ._log_sums import NOWHERE, exp_rows_, gap_and_ratio, is_zero, log_loss, pull_of, row_losses
from ._memory import in_smaller_blocks
from ._metrics import common_center, farthest, resolution_of
from ._problem import Problem, blocks_of, classes_and_positives, comparable_labels
from ._roots import divisors_, roots_


class TotalLoss(torch.autograd.Function):
    """Weighted sum of the row losses, or their mean over the rows that have a positive."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,  # (n, d); queries of the form, if the distance is its root
        neighbors: Tensor | None,  # (m, d), if not the rows themselves; keys of the form
        temperature: Tensor | float,  # ()
        problem: Problem,
        weight: Tensor | None,  # (n,)
        mean: bool,
        wants_gradient: bool,
    ) -> Tensor:
        losses, has_positive, ctx.gradients = _evaluate(
            z, neighbors, temperature, problem, weight, wants_gradient
        )
        total: Tensor = losses.sum() if weight is None else weight.dot(losses)
        ctx.divisor = None
        if not mean:
            return total
        counted = has_positive.sum() if weight is None else weight.dot(has_positive.to(z.dtype))
        # If no row has a positive, the total is 0.
        ctx.divisor = torch.where(counted > 0, counted, 1)
        total /= ctx.divisor
        return total

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        if ctx.divisor is not None:
            grad_total = grad_total / ctx.divisor
        gradients = (
            grad_total * g if wanted and g is not None else None
            for g, wanted in zip(ctx.gradients, ctx.needs_input_grad, strict=False)
        )
        return *gradients, None, None, None, None


class RowLosses(torch.autograd.Function):
    """The row losses. The backward pass gets their coefficients, and computes the blocks again."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        neighbors: Tensor | None,
        temperature: Tensor | float,
        problem: Problem,
    ) -> Tensor:
        if isinstance(temperature, Tensor):
            ctx.save_for_backward(z, neighbors, temperature)
        else:
            ctx.save_for_backward(z, neighbors)
            ctx.temperature = temperature
        ctx.problem = problem
        losses, _, _ = _evaluate(z, neighbors, temperature, problem, None, False)
        return losses

    @staticmethod
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        z, neighbors, *rest = ctx.saved_tensors
        temperature = rest[0] if rest else ctx.temperature
        with torch.autocast(z.device.type, enabled=False):
            _, _, gradients = _evaluate(z, neighbors, temperature, ctx.problem, grad_losses, True)
        return *gradients, None


def refuse_second_derivative() -> None:
    # torch's once_differentiable accepts a graph whose incoming gradient is a constant, and would
    # then return a second derivative with a part missing.
    if torch.is_grad_enabled():
        raise RuntimeError("The loss has no second derivative: call it without create_graph=True.")


#: In queries (or rows), keys and temperature, or offset.
_Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]

#: Row losses (n,), which rows have a positive (n,), and the total's gradients.
_Evaluated = tuple[Tensor, Tensor, _Gradients]


def _evaluate(
    z: Tensor,  # (n, d)
    neighbors: Tensor | None,  # (m, d)
    temperature: Tensor | float,  # ()
    problem: Problem,
    coefficients: Tensor | None,  # (n,), of each row in the total; None: all 1
    wants_gradient: bool,
) -> _Evaluated:
    """Row losses, which rows have a positive, and the total's gradient in the three tensors."""
    keys = z if neighbors is None else neighbors
    if len(z) == 0 or len(keys) == 0:
        losses = z.new_zeros(len(z))
        tensors = (z, neighbors, temperature) if wants_gradient else (None,) * 3
        none, of_neighbors, of_t = (
            torch.zeros_like(t) if isinstance(t, Tensor) else None for t in tensors
        )
        return losses, losses.bool(), (none, of_neighbors, of_t)
    scale = 1 / temperature
    metric = problem.metric
    queries, bias, root_scale = z, None, None
    if metric.root:
        # NaN if distance / temperature overflows: a root hides what its logits would show.
        root_scale = scale + 0 * (farthest(z, keys) * scale)
    # As metric.bilinear, with the distances over the temperature; the gradient below.
    if not metric.root:
        if metric.shift_invariant:
            center = common_center(z, keys)
            keys = keys - center
            z = keys if neighbors is None else z - center
        queries = z * (metric.product * scale)
        if metric.squares:
            bias = keys.square().sum(1).mul_(-metric.squares * scale)  # (m,)
    offset = bias
    if problem.log_key_weight is not None:
        log_weight = problem.log_key_weight.clamp_min(NOWHERE[keys.dtype])
        offset = log_weight if offset is None else offset + log_weight

    def walk(block_size: int) -> _Evaluated:
        fits = len(z) <= block_size
        return (_one_block if fits else _many_blocks)(
            *(queries, keys, offset, root_scale, coefficients, wants_gradient),
            problem if fits else replace(problem, block_size=block_size),
        )

    losses, has_positive, (grad_queries, grad_keys, grad_offset) = in_smaller_blocks(
        walk, min(problem.block_size, len(z))
    )
    if grad_queries is None or grad_keys is None:
        return losses, has_positive, (None, None, None)
    if metric.root:
        # A logit is -root_scale * sqrt(form).
        grad_queries.mul_(-0.5 * scale)
        grad_keys = grad_keys * (-0.5 * scale)
    grad_temperature = None
    if isinstance(temperature, Tensor) and temperature.requires_grad:
        # The logits are homogeneous in 1/T, so Euler's relation gives the gradient in T.
        homogeneous = (queries * grad_queries).sum()
        if metric.root:
            homogeneous *= 2  # the form is, of degree 2 in the distance
        if bias is not None and grad_offset is not None:
            homogeneous += bias.dot(grad_offset)
        grad_temperature = -homogeneous * scale
    if metric.root:
        return losses, has_positive, (grad_queries, grad_keys, grad_temperature)
    grad_z = grad_queries.mul_(metric.product * scale)
    if metric.squares and grad_offset is not None:
        grad_keys = torch.addcmul(
            grad_keys, keys, (grad_offset * scale)[:, None], value=-2 * metric.squares
        )
    if neighbors is None:
        return losses, has_positive, (grad_z.add_(grad_keys), None, grad_temperature)
    return losses, has_positive, (grad_z, grad_keys, grad_temperature)


def _one_block(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    offset: Tensor | None,  # (m,)
    root_scale: Tensor | float | None,  # (); None if the distance is no square root
    coefficients: Tensor | None,  # (n,)
    wants_gradient: bool,
    problem: Problem,
) -> _Evaluated:
    """All pairs together. With few pairs each operator takes longer to call than to run, so the two
    sets of neighbors are in one tensor, and labels are compared as they are.
    """
    nowhere = NOWHERE[keys.dtype]
    both = queries.new_empty(2, len(queries), len(keys))
    negatives, positives = both.unbind()  # (n, m), logits
    torch.mm(queries, keys.T, out=negatives)
    distances = None if root_scale is None else roots_(negatives, root_scale)  # (n, m)
    if offset is not None:
        negatives.add_(offset)  # not with the product: some processors hide its overflow
    of_rows, of_columns = comparable_labels(problem, keys.dtype)  # (n, 1), (m,)
    mask = torch.empty_like(negatives)
    torch.ne(of_rows, of_columns, out=mask)
    torch.add(negatives, mask, alpha=nowhere, out=positives)
    if problem.own is not None:
        positives.diagonal(problem.first or 0).fill_(nowhere)
    torch.eq(of_rows, of_columns, out=mask)
    negatives.add_(mask, alpha=nowhere)
    if problem.log_key_weight is None:
        has_positive = mask.sum(1) > int(problem.own is not None)  # (n,)
    else:
        is_neighbor = (problem.log_key_weight > -torch.inf).to(mask.dtype)  # (m,)
        n_positives = torch.mv(mask, is_neighbor)
        has_positive = n_positives > (0 if problem.own is None else is_neighbor[problem.own])

    tops, sums = exp_rows_(both)  # (2, n, 1)
    (top_negatives, top_positives), (sum_negatives, sum_positives) = tops.unbind(), sums.unbind()
    gap, ratio = gap_and_ratio(top_negatives, sum_negatives, top_positives, sum_positives)  # (n, 1)
    log_losses = log_loss(gap)  # (n, 1)
    losses = row_losses(log_losses.squeeze(1), has_positive, problem.q)
    if not wants_gradient:
        return losses, has_positive, (None, None, None)
    factor = (
        pull_of(gap, log_losses, problem.q).mul_(has_positive[:, None]) / sum_negatives
    )  # (n, 1)
    if coefficients is not None:
        factor.mul_(coefficients[:, None])
    # Without its row's factor: that is cheaper on the (n, d) sides of the products.
    gradient = negatives.addcmul_(positives, ratio, value=-1)  # (n, m)
    if distances is not None:
        gradient.div_(divisors_(distances, resolution_of(queries)))
    grad_queries = torch.mm(gradient, keys).mul_(factor)
    grad_keys = torch.mm(gradient.T, queries * factor)
    grad_offset = None if offset is None else torch.mv(gradient.T, factor.squeeze(1))
    return losses, has_positive, (grad_queries, grad_keys, grad_offset)


def _many_blocks(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    offset: Tensor | None,  # (m,)
    root_scale: Tensor | float | None,  # (); None if the distance is no square root
    coefficients: Tensor | None,  # (n,)
    wants_gradient: bool,
    problem: Problem,
) -> _Evaluated:
    """Blocks of rows sorted by class, so that the positives of a block are in a narrow window."""
    classes, key_classes, has_positive = classes_and_positives(problem, keys.dtype)
    key_order = key_classes.argsort(stable=True)
    order = key_order if problem.among_themselves else classes.argsort(stable=True)
    factors = has_positive.to(keys.dtype)
    if coefficients is not None:
        factors *= coefficients
    place, key_place = order.argsort(), key_order.argsort()
    own = None if problem.first is None else key_place[problem.own][order]  # (n,)
    losses, gradients = _walk(
        queries[order],
        keys[key_order],
        None if offset is None else offset[key_order],
        root_scale,
        classes[order],
        key_classes[key_order],
        has_positive[order],
        factors[order] if wants_gradient else None,
        problem,
        own,
    )
    of_queries, of_keys, of_offset = (
        None if gradient is None else gradient[where]
        for gradient, where in zip(gradients, (place, key_place, key_place), strict=True)
    )
    return losses[place], has_positive, (of_queries, of_keys, of_offset)


def _walk(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    offset: Tensor | None,  # (m,)
    root_scale: Tensor | float | None,  # ()
    classes: Tensor,  # (n,), sorted
    key_classes: Tensor,  # (m,), sorted
    has_positive: Tensor,  # (n,)
    coefficients: Tensor | None,  # (n,), 0 without a positive; None: no gradient wanted
    problem: Problem,
    own: Tensor | None,  # (n,), which key is the query itself
) -> tuple[Tensor, _Gradients]:
    """Losses and gradients, one block of rows after the other.

    The offset is one more column of the keys, with a one in each query, so that it and its
    gradient come with the products. Beside a square root it is only the weights of the keys, which
    have no gradient.
    """
    nowhere = NOWHERE[keys.dtype]
    gaps = queries.new_zeros(len(queries), 1)  # (n, 1), o_i - s_i
    left, right = queries, keys.T  # (n, d), (d, m)
    if offset is not None and root_scale is None:
        left = functional.pad(queries, (0, 1), value=1.0)  # (n, d + 1)
        right = torch.cat([right, offset[None]])  # (d + 1, m)
    grad_queries: Tensor | None = None
    if coefficients is not None:
        grad_queries = torch.empty_like(queries)
        coefficients = coefficients[:, None]  # (n, 1)
    grad_right: Tensor | None = None  # (d, m) or (d + 1, m), summed over the blocks
    blocks = blocks_of(classes, key_classes, problem.block_size)
    # Memory that is used again for each block is in the cache, and is not allocated again.
    room = queries.new_empty(max(b.stop - b.start for b in blocks), len(keys))
    window_rooms = queries.new_empty(
        2, max((b.stop - b.start) * (b.last - b.first) for b in blocks)
    )
    distance_room = None if root_scale is None else torch.empty_like(room)

    for b in blocks:
        rows, columns = slice(b.start, b.stop), slice(b.first, b.last)
        negatives = torch.mm(left[rows], right, out=room[: b.stop - b.start])  # (b, m), logits
        distances: Tensor | None = None
        if root_scale is not None and distance_room is not None:
            distances = roots_(negatives, root_scale, out=distance_room[: b.stop - b.start])
            if offset is not None:
                negatives.add_(offset)
        window = negatives[:, columns]  # (b, w), a view
        positives, mask = window_rooms[:, : window.numel()].view(2, *window.shape)  # (b, w)
        if b.one_class:
            positives.copy_(window)
            window.fill_(nowhere)
        else:
            of_rows, of_columns = classes[rows, None], key_classes[columns]
            torch.ne(of_rows, of_columns, out=mask)
            torch.add(window, mask, alpha=nowhere, out=positives)
            torch.eq(of_rows, of_columns, out=mask)
            window.add_(mask, alpha=nowhere)
        if problem.among_themselves:
            positives.diagonal(b.start - b.first).fill_(nowhere)
        elif own is not None:
            positives.scatter_(1, (own[rows] - b.first)[:, None], nowhere)

        top_positives, sum_positives = exp_rows_(positives)  # (b, 1)
        top_negatives, sum_negatives = exp_rows_(negatives)  # (b, 1)
        gap, ratio = gap_and_ratio(
            top_negatives, sum_negatives, top_positives, sum_positives
        )  # (b, 1)
        gaps[rows] = gap

        if coefficients is not None and grad_queries is not None:
            window -= positives.mul_(ratio)
            # Without its row's factor: that is cheaper on the (b, d) sides of the products.
            gradient = negatives  # (b, m)
            if distances is not None:
                gradient.div_(divisors_(distances, resolution_of(queries[rows])))
            pull = pull_of(gap, None if is_zero(problem.q) else log_loss(gap), problem.q)
            factor = coefficients[rows] * pull / sum_negatives  # (b, 1)
            torch.mm(gradient, keys, out=grad_queries[rows]).mul_(factor)
            weighted = (left[rows] * factor).T  # (d, b) or (d + 1, b)
            if grad_right is None:
                grad_right = torch.mm(weighted, gradient)
            else:
                grad_right.addmm_(weighted, gradient)

    losses = row_losses(log_loss(gaps).squeeze(1), has_positive, problem.q)
    if grad_right is None:
        return losses, (None, None, None)
    grad_keys = grad_right[: keys.shape[1]].T
    return losses, (grad_queries, grad_keys, None if left is queries else grad_right[-1])

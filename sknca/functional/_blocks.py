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
bilinear form of `queries` and `keys`, and an `offset` for each key.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ._checks import widest_float
from ._memory import in_smaller_blocks
from ._metrics import Metric, common_center

# A processor computes a hundred times slower with denormal numbers, and with the codes of a trained
# network most exponentials would be denormal. Therefore no term (of a sum whose largest term is
# exp(0)) is smaller than the exponential of this, which is far below the rounding of any sum. The
# pull 1 - p_i of a row is exactly zero if it is too small to matter. The product of the two is then
# a normal number.
_NEGLIGIBLE = {torch.float32: -35.0, torch.float64: -200.0}
_NO_PULL = {torch.float32: 1e-20, torch.float64: 1e-200}

_LOG2_E = math.log2(math.e)

# float32 does not distinguish integers beyond this one.
_WHOLE_IN_FLOAT32 = 2**24

# Added to the logit of an excluded pair. Finite, so that a mask can be multiplied by it.
_NOWHERE = {torch.float32: -1e30, torch.float64: -1e300}


@dataclass(frozen=True)
class Problem:
    """What the blocks need in addition to the differentiable tensors."""

    metric: Metric  # the rows are prepared
    query_labels: Tensor  # (n,)
    key_labels: Tensor  # (m,)
    log_key_weight: Tensor | None  # (m,)
    among_themselves: bool  # the queries are the keys: row i is not its own neighbor
    block_size: int
    q: float | Tensor = 0.0  # of the family (1 - p^q) / q; a tensor () is positive
    first: int | None = None  # the queries are the keys from this one on, if they are some of them

    @property
    def own(self) -> slice | None:
        """Which of the keys are the queries themselves, if they are among the keys."""
        if self.among_themselves:
            return slice(None)
        if self.first is None:
            return None
        return slice(self.first, self.first + len(self.query_labels))


class TotalLoss(torch.autograd.Function):
    """Weighted sum of the row losses, or their mean over the rows that have a positive."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,  # (n, d)
        neighbors: Tensor | None,  # (m, d), if not the rows themselves
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

    def walk(block_size: int) -> _Evaluated:
        fits = len(z) <= block_size
        return (_one_block if fits else _many_blocks)(
            *(queries, keys, offset, coefficients, wants_gradient),
            problem if fits else replace(problem, block_size=block_size),
        )

    losses, has_positive, (grad_queries, grad_keys, grad_offset) = in_smaller_blocks(
        walk, min(problem.block_size, len(z))
    )
    if grad_queries is None or grad_keys is None:
        return losses, has_positive, (None, None, None)
    grad_temperature = None
    if isinstance(temperature, Tensor) and temperature.requires_grad:
        # The logits are homogeneous in 1/T, so Euler's relation gives the gradient in T.
        homogeneous = (queries * grad_queries).sum()
        if bias is not None and grad_offset is not None:
            homogeneous += bias.dot(grad_offset)
        grad_temperature = -homogeneous * scale
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
    coefficients: Tensor | None,  # (n,)
    wants_gradient: bool,
    problem: Problem,
) -> _Evaluated:
    """All pairs together. With few pairs each operator takes longer to call than to run, so the two
    sets of neighbors are in one tensor, and labels are compared as they are.
    """
    nowhere = _NOWHERE[keys.dtype]
    both = queries.new_empty(2, len(queries), len(keys))
    negatives, positives = both.unbind()  # (n, m), logits
    torch.mm(queries, keys.T, out=negatives)
    if offset is not None:
        negatives.add_(offset)  # not with the product: some processors hide its overflow
    of_rows, of_columns = _comparable(problem, keys.dtype)  # (n, 1), (m,)
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
    gap, ratio = _gap(top_negatives, sum_negatives, top_positives, sum_positives)  # (n, 1)
    log_losses = _log_loss(gap)  # (n, 1)
    losses = _row_losses(log_losses.squeeze(1), has_positive, problem.q)
    if not wants_gradient:
        return losses, has_positive, (None, None, None)
    factor = _pull(gap, log_losses, problem.q).mul_(has_positive[:, None]) / sum_negatives  # (n, 1)
    if coefficients is not None:
        factor.mul_(coefficients[:, None])
    # Without its row's factor: that is cheaper on the (n, d) sides of the products.
    gradient = negatives.addcmul_(positives, ratio, value=-1)  # (n, m)
    grad_queries = torch.mm(gradient, keys).mul_(factor)
    grad_keys = torch.mm(gradient.T, queries * factor)
    grad_offset = None if offset is None else torch.mv(gradient.T, factor.squeeze(1))
    return losses, has_positive, (grad_queries, grad_keys, grad_offset)


def _comparable(problem: Problem, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Labels of the queries (n, 1) and of the keys (m,); as floats if none is too large: with them
    a comparison that writes a float is several times as fast.
    """
    labels = [problem.query_labels]
    if problem.key_labels is not problem.query_labels:
        labels.append(problem.key_labels)
    # Reading from a GPU would wait for it, and a GPU compares integers as fast.
    if all(some.is_cpu for some in labels):
        numbers = [some.to(dtype) for some in labels]
        if all(some.abs().max() < _WHOLE_IN_FLOAT32 for some in numbers):
            labels = numbers
    return labels[0][:, None], labels[-1]


def _many_blocks(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    offset: Tensor | None,  # (m,)
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


def classes_and_positives(problem: Problem, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A number for the class of each query (n,) and key (m,), and which queries (n,) have a
    positive. Floats: with them a comparison can write a float, ten times as fast as a boolean.
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
    own = problem.own
    if problem.log_key_weight is None:
        return classes, key_classes, right - left > int(own is not None)
    counts = (problem.log_key_weight > -torch.inf).long()  # (m,), which keys are neighbors at all
    counted = functional.pad(counts[order].cumsum(0), (1, 0))  # (m + 1,)
    n_own = 0 if own is None else counts[own]
    return classes, key_classes, counted[right] - counted[left] > n_own


def _walk(
    queries: Tensor,  # (n, d)
    keys: Tensor,  # (m, d)
    offset: Tensor | None,  # (m,)
    classes: Tensor,  # (n,), sorted
    key_classes: Tensor,  # (m,), sorted
    has_positive: Tensor,  # (n,)
    coefficients: Tensor | None,  # (n,), 0 without a positive; None: no gradient wanted
    problem: Problem,
    own: Tensor | None,  # (n,), which key is the query itself
) -> tuple[Tensor, _Gradients]:
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
    grad_queries: Tensor | None = None
    if coefficients is not None:
        grad_queries = torch.empty_like(queries)
        coefficients = coefficients[:, None]  # (n, 1)
    grad_right: Tensor | None = None  # (d, m) or (d + 1, m), summed over the blocks
    blocks = _blocks(classes, key_classes, problem.block_size)
    # Memory that is used again for each block is in the cache, and is not allocated again.
    room = queries.new_empty(max(b.stop - b.start for b in blocks), len(keys))
    window_rooms = queries.new_empty(
        2, max((b.stop - b.start) * (b.last - b.first) for b in blocks)
    )

    for b in blocks:
        rows, columns = slice(b.start, b.stop), slice(b.first, b.last)
        negatives = torch.mm(left[rows], right, out=room[: b.stop - b.start])  # (b, m), logits
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
        gap, ratio = _gap(top_negatives, sum_negatives, top_positives, sum_positives)  # (b, 1)
        gaps[rows] = gap

        if coefficients is not None and grad_queries is not None:
            window -= positives.mul_(ratio)
            # Without its row's factor: that is cheaper on the (b, d) sides of the products.
            gradient = negatives  # (b, m)
            pull = _pull(gap, None if _is_zero(problem.q) else _log_loss(gap), problem.q)
            factor = coefficients[rows] * pull / sum_negatives  # (b, 1)
            torch.mm(gradient, keys, out=grad_queries[rows]).mul_(factor)
            weighted = (left[rows] * factor).T  # (d, b) or (d + 1, b)
            if grad_right is None:
                grad_right = torch.mm(weighted, gradient)
            else:
                grad_right.addmm_(weighted, gradient)

    losses = _row_losses(_log_loss(gaps).squeeze(1), has_positive, problem.q)
    if grad_right is None:
        return losses, (None, None, None)
    grad_keys = grad_right[: keys.shape[1]].T
    return losses, (grad_queries, grad_keys, None if offset is None else grad_right[-1])


def _gap(
    top_negatives: Tensor, sum_negatives: Tensor, top_positives: Tensor, sum_positives: Tensor
) -> tuple[Tensor, Tensor]:
    """o_i - s_i (b, 1) from the results of `exp_rows_`, and the ratio of the sums."""
    ratio = sum_negatives / sum_positives
    return (top_negatives - top_positives).add_(ratio.log()), ratio


def _pull(gap: Tensor, log_losses: Tensor | None, q: float | Tensor) -> Tensor:
    """The gradient (b, 1) of a row's loss in its gap: 1 - p_i, times p_i^q."""
    pull = functional.threshold(gap.sigmoid(), _NO_PULL[gap.dtype], 0.0)
    return pull if _is_zero(q) or log_losses is None else pull.mul_((-q * log_losses).exp_())


def _log_loss(gap: Tensor) -> Tensor:
    """-log p of rows with that gap."""
    return functional.softplus(gap, threshold=40.0)


def _row_losses(log_losses: Tensor, has_positive: Tensor, q: float | Tensor) -> Tensor:
    """Losses (n,) of the family, from -log p."""
    losses = log_losses * has_positive
    far = -_NOWHERE[losses.dtype] / 4
    losses.masked_fill_(losses > far, torch.inf)  # it has a positive, which is infinitely far
    return losses if _is_zero(q) else torch.expm1(-q * losses) / -q


def _is_zero(q: float | Tensor) -> bool:
    return not isinstance(q, Tensor) and q == 0  # reading a tensor would wait for its device


@dataclass(frozen=True)
class _Block:
    """Rows [start, stop), and the columns [first, last) of their classes."""

    start: int
    stop: int
    first: int
    last: int
    one_class: bool  # then all of these columns are of the class of all of these rows


def _blocks(classes: Tensor, key_classes: Tensor, block_size: int) -> list[_Block]:
    """At most `block_size` rows each, of one class if that is large."""
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
    """Turn logits (..., k) in place into exponentials relative to the largest of each row. Return
    the largest (..., 1) and the sums (..., 1). A sum is at least 1, because the term of the largest
    is 1. In an empty row it is set to 1.
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

"""Sums of exponentials, each relative to its largest term, and the losses of rows from them."""

import math

import torch
from torch import Tensor
from torch.nn import functional

# A processor computes a hundred times slower with denormal numbers, and with the codes of a trained
# network most exponentials would be denormal. Therefore no term (of a sum whose largest term is
# exp(0)) is smaller than the exponential of this, which is far below the rounding of any sum. The
# pull 1 - p_i of a row is exactly zero if it is too small to matter. The product of the two is then
# a normal number.
_NEGLIGIBLE = {torch.float32: -35.0, torch.float64: -200.0}
_NO_PULL = {torch.float32: 1e-20, torch.float64: 1e-200}

_LOG2_E = math.log2(math.e)

# Added to the logit of an excluded pair. Finite, so that a mask can be multiplied by it.
NOWHERE = {torch.float32: -1e30, torch.float64: -1e300}


def exp_rows_(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Turn logits (..., k) in place into exponentials relative to the largest of each row. Return
    the largest (..., 1) and the sums (..., 1). A sum is at least 1, because the term of the largest
    is 1. In an empty row it is set to 1.
    """
    largest = logits.amax(-1, keepdim=True).clamp_min_(NOWHERE[logits.dtype] / 2)
    logits.sub_(largest)
    if logits.is_cpu:  # a GPU computes denormal numbers as fast as others
        logits.clamp_min_(_NEGLIGIBLE[logits.dtype])
        # torch's power of two takes half the time of its exponential.
        logits.mul_(_LOG2_E).exp2_()
    else:
        logits.exp_()
    return largest, logits.sum(-1, keepdim=True).clamp_min_(1)


def gap_and_ratio(
    top_negatives: Tensor, sum_negatives: Tensor, top_positives: Tensor, sum_positives: Tensor
) -> tuple[Tensor, Tensor]:
    """o_i - s_i (b, 1) from the results of `exp_rows_`, and the ratio of the sums."""
    ratio = sum_negatives / sum_positives
    return (top_negatives - top_positives).add_(ratio.log()), ratio


def pull_of(gap: Tensor, log_losses: Tensor | None, q: float | Tensor) -> Tensor:
    """The gradient (b, 1) of a row's loss in its gap: 1 - p_i, times p_i^q."""
    pull = functional.threshold(gap.sigmoid(), _NO_PULL[gap.dtype], 0.0)
    return pull if is_zero(q) or log_losses is None else pull.mul_((-q * log_losses).exp_())


def log_loss(gap: Tensor) -> Tensor:
    """-log p of rows with that gap."""
    return functional.softplus(gap, threshold=40.0)


def row_losses(log_losses: Tensor, has_positive: Tensor, q: float | Tensor) -> Tensor:
    """Losses (n,) of the family, from -log p."""
    losses = log_losses * has_positive
    far = -NOWHERE[losses.dtype] / 4
    losses.masked_fill_(losses > far, torch.inf)  # it has a positive, which is infinitely far
    return losses if is_zero(q) else torch.expm1(-q * losses) / -q


def is_zero(q: float | Tensor) -> bool:
    return not isinstance(q, Tensor) and q == 0  # reading a tensor would wait for its device

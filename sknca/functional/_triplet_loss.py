"""The triplet loss over mined triplets, or over all of them without a list."""

from typing import Any, Literal

import torch
from torch import Tensor

from ._checks import check_margin, check_weight
from ._every_triplet import EveryTriplet, softplus
from ._metrics import Metric, check_metric
from ._mining import Find, Strategy
from ._pick_rows import pick_rows
from ._triplet_mining import check_batch, mine_triplets, one_triplet_each

#: Entries in a block of distances.
_BLOCK_ENTRIES = 2**20


def triplet_loss(
    z: Tensor,
    y: Tensor,
    *,
    margin: float | Literal["soft"] = 1.0,
    strategy: str | Strategy | Find = "semihard",
    metric: str | Metric = "sqeuclidean",
    sample_weight: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Triplet loss of codes with labels: the mean over the active triplets of

    .. math::

        \max(0, d_{ap} - d_{an} + \text{margin})
        \qquad\text{or, soft,}\qquad \log(1 + e^{d_{ap} - d_{an}})

    The positive :math:`p` has the same class as the anchor :math:`a`, and the negative :math:`n`
    has another class. With "all" and "semihard" no triplet is listed. Instead, distances are
    sorted, which shows with how many negatives each positive is active, and the reverse. Therefore
    time is O(n² log n) and memory is O(n).

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes. With "cosine" they may be complex. Half precision is converted to float32, also
        under autocast.

    y : Tensor of shape (n,)
        Class labels, integers or booleans.

    margin : float or "soft", default=1.0
        By how much a negative should be farther than a positive: a non-negative number, in units
        of the distance. A triplet is active if its loss is above zero. "soft" is the second
        formula, with which every triplet is active. Together with `strategy="all"` its time grows
        with the number of triplets.

    strategy : {"semihard", "all", "hard", "random"}, Strategy or callable, default="semihard"
        Which triplets are used; see :func:`mine_triplets`. "semihard" needs a number as margin.
        "random" with "soft" draws from all triplets of an anchor.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance: squared Euclidean, Euclidean, or one minus the cosine.

    sample_weight : Tensor of shape (n,), default=None
        Non-negative weights, of which only the ratios matter. With "all" and "semihard" the weight
        of a triplet is the product of the weights of its three samples. With "hard" and "random"
        it is the weight of the anchor. Samples of weight 0 are excluded. Gets no gradient.

    generator : torch.Generator, default=None
        Random numbers for "random". If None, torch's global generator is used.

    Returns
    -------
    loss : Tensor of shape ()
        In the real dtype of `z`, at least float32. If no triplet is active, it is 0, and still
        differentiable.

    Raises
    ------
    ValueError
        If a shape, a dtype, `margin`, `strategy` or `metric` is not as described.

    Notes
    -----
    The mean is over active triplets. Therefore the loss need not fall during training: fewer
    triplets remain active, and these are the harder ones. The choice of active triplets has no
    gradient. With "all" and "semihard" there is no second derivative.

    References
    ----------
    .. [1] F. Schroff, D. Kalenichenko, J. Philbin. "FaceNet: A Unified Embedding for Face
           Recognition and Clustering". CVPR 2015.
    .. [2] A. Hermans, L. Beyer, B. Leibe. "In Defense of the Triplet Loss for Person
           Re-Identification". arXiv:1703.07737, 2017.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import triplet_loss
    >>> z = torch.tensor([[0.0], [1.0], [1.2], [3.0]], requires_grad=True)
    >>> loss = triplet_loss(z, torch.tensor([0, 0, 1, 1]))
    >>> print(f"{loss.item():.2f}")
    0.40
    >>> loss.backward()
    >>> z.grad.flatten()
    tensor([ 0.2000,  3.0000, -3.0000, -0.2000])
    """
    chosen, distance, z, y = check_batch(z, y, strategy, metric)
    if margin == "soft":
        if chosen.needs_margin:
            raise ValueError(f"strategy={strategy!r} needs a number as margin, got margin='soft'.")
    else:
        margin = check_margin(margin)
        if margin == torch.inf:
            raise ValueError(f"margin must be finite or 'soft', got {margin}.")
    weight = check_weight(sample_weight, z, "sample_weight")
    usable = None
    if weight is not None and len(weight):
        usable = ~(weight <= 0)  # not-a-number is no zero
        z = _without(z, ~usable)
        largest = weight.max()
        weight = weight / torch.where(largest == 0, 1, largest)  # only their ratios count
    with torch.autocast(z.device.type, enabled=False):
        if chosen.counts is None:
            triplets = _triplets(z.detach(), y, usable, chosen, margin, distance, generator)
            return _over_mined(z, *triplets, weight, margin, distance)
        wants_gradient = torch.is_grad_enabled() and z.requires_grad
        loss: Tensor = EveryTriplet.apply(
            *(*distance.comparable(z), y, margin, chosen.counts == "semihard", weight),
            distance.root,
            wants_gradient,
        )
        return loss


def _without(z: Tensor, left_out: Tensor) -> Tensor:
    """The samples `z` (n, d). The mean of the included ones replaces each excluded one (n,).

    Excluded samples have weight 0, but must not shift the center, and their values times 0 must be
    0. Selecting the included ones would be simpler, but would wait for a GPU.
    """
    center = z.masked_fill(left_out[:, None], 0).detach().sum(0) / (~left_out).sum().clamp_min(1)
    return torch.where(left_out[:, None], center, z)


def _triplets(
    z: Tensor,  # (n, d)
    y: Tensor,  # (n,)
    usable: Tensor | None,  # (n,), which rows can be part of a triplet; None for all
    strategy: Strategy,
    margin: float | Literal["soft"],
    metric: Metric,
    generator: torch.Generator | None,
) -> tuple[Tensor | None, Tensor, Tensor, Tensor | None]:
    """Anchors, positives and negatives (k,), and which of these are triplets, if not all are.

    If the anchors are None, each sample is the anchor of one triplet: nothing is listed, and
    nothing waits for the device.
    """
    how: dict[str, Any] = {
        "margin": torch.inf if margin == "soft" else margin,
        "generator": generator,
    }
    if strategy.each is not None and len(z) > 0:
        found = one_triplet_each(z, y, strategy=strategy, metric=metric, usable=usable, **how)
        has_one, positive, negative = found
        return None, positive, negative, has_one
    kept = slice(None) if usable is None else usable
    rows = torch.arange(len(z), device=z.device)[kept]
    mined = mine_triplets(z[kept], y[kept], strategy=strategy, metric=metric, **how)
    anchor, positive, negative = (rows[index] for index in mined)
    return anchor, positive, negative, None


def _over_mined(
    z: Tensor,  # (n, d)
    anchor: Tensor | None,  # (k,), None if each row is the anchor of one
    positive: Tensor,  # (k,)
    negative: Tensor,  # (k,)
    is_one: Tensor | None,  # (k,)
    weight: Tensor | None,  # (n,)
    margin: float | Literal["soft"],
    metric: Metric,
) -> Tensor:
    """Mean of the losses of these triplets over the active ones, weighted by their anchors."""
    # Codes that are not finite have no triplets, but no loss of zero either.
    zero = 0 * z.square().sum()
    z = metric.prepare(z)
    anchors = z if anchor is None else pick_rows(z, anchor)
    positives, negatives = pick_rows(z, positive), pick_rows(z, negative)
    gap = metric.of_pairs(anchors, positives) - metric.of_pairs(anchors, negatives)  # (k,)
    share = torch.ones_like(gap)
    if weight is not None:
        share = share * (weight if anchor is None else weight[anchor])
    if is_one is not None:
        share = share * is_one
    losses = softplus(gap) if margin == "soft" else (gap + margin).relu()
    if margin != "soft":
        share = share * (losses.detach() > 0)
    count = share.sum()
    return (share / torch.where(count > 0, count, 1) * losses).sum() + zero


def nearest_triplet_loss(
    z: Tensor,  # (n, d)
    y: Tensor,  # (n,)
    neighbors: Tensor,  # (m, d)
    neighbor_labels: Tensor,  # (m,)
    *,
    metric: str | Metric,
    sample_weight: Tensor | None = None,  # (n,)
    among_themselves: bool = False,
) -> Tensor:
    """Weighted mean, over the samples that have a neighbor of their class and one of another, of
    the soft loss of the nearest of each. If the samples are the neighbors, a sample is not its own.
    """
    distances = check_metric(metric).distances
    weight = z.new_ones(len(z)) if sample_weight is None else sample_weight
    total, count = z.new_zeros(()), z.new_zeros(())
    block_size = max(_BLOCK_ENTRIES // max(len(neighbors), 1), 1)
    for start in range(0, len(z), block_size):
        rows = slice(start, start + block_size)
        same = y[rows, None] == neighbor_labels  # (b, m)
        d = distances(z[rows], neighbors)  # (b, m)
        is_positive = same.clone()
        if among_themselves:
            is_positive[:, rows].fill_diagonal_(False)
        gap = d.masked_fill(~is_positive, torch.inf).amin(1) - d.masked_fill(same, torch.inf).amin(
            1
        )
        has_both = is_positive.any(1) & ~same.all(1)
        # Masked, not selected: their number would have to be read from a GPU.
        total += torch.where(has_both, weight[rows] * softplus(gap), 0).sum()
        count += torch.where(has_both, weight[rows], 0).sum()
    return total / torch.where(count > 0, count, 1)

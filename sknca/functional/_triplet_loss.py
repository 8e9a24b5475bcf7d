"""The triplet loss: over chosen triplets, or over every one of them without listing any."""

from typing import Any, Literal

import torch
from torch import Tensor

from ._checks import check_margin, check_weight
from ._every_triplet import EveryTriplet, softplus
from ._metrics import METRICS, Metric, check_metric
from ._mining import STRATEGIES
from ._pick_rows import pick_rows
from ._triplet_mining import check_batch, mine_triplets, one_triplet_each

#: Entries in a block of distances.
_BLOCK_ENTRIES = 2**20


def triplet_loss(
    z: Tensor,
    y: Tensor,
    *,
    margin: float | Literal["soft"] = 1.0,
    strategy: str = "semihard",
    metric: str = "sqeuclidean",
    sample_weight: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Triplet loss of codes with labels: the mean over the active triplets of

    .. math::

        \max(0, d_{ap} - d_{an} + \text{margin})
        \qquad\text{or, soft,}\qquad \log(1 + e^{d_{ap} - d_{an}})

    where the positive :math:`p` has the class of the anchor :math:`a` and the negative
    :math:`n` has not. No triplet is listed where all count: sorted distances tell with how
    many negatives a positive is active, and the reverse, so the time grows with
    `n * n * log(n)` and the memory with `n`.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes, with "cosine" also complex. Half precision is raised to float32, also under
        autocast.

    y : Tensor of shape (n,)
        Class labels, integers or booleans.

    margin : float or "soft", default=1.0
        Not negative, in units of the distance; a triplet is active where its loss is above
        zero. "soft" is the second formula, where every triplet is active (with "all" and
        "soft" the time grows with the number of triplets).

    strategy : {"semihard", "all", "hard", "random"}, default="semihard"
        Which triplets, as :func:`mine_triplets` describes them. "semihard" needs a margin;
        "random" with "soft" draws from all triplets of an anchor.

    metric : {"sqeuclidean", "cosine"}, default="sqeuclidean"
        The distance: squared Euclidean, or one minus the cosine.

    sample_weight : Tensor of shape (n,), default=None
        Non-negative weights. With "all" and "semihard" a triplet weighs the product of its
        rows' weights, with "hard" and "random" as much as its anchor. Only their ratios
        count, and rows of weight 0 are no rows. Gets no gradient.

    generator : torch.Generator, default=None
        Draws for "random". None: torch's own.

    Returns
    -------
    loss : Tensor of shape ()
        In the real dtype of `z`, at least float32; 0, still differentiable, where no triplet
        is active.

    Raises
    ------
    ValueError
        If a shape, a dtype, `margin`, `strategy` or `metric` is not as described.

    Notes
    -----
    The mean is over active triplets, so as training goes on it need not fall: fewer
    triplets stay active, and these are the harder ones. Which triplets are active has no
    gradient, and with "all" and "semihard" there is no second derivative.

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
            raise ValueError(f"margin='soft' has no margin for strategy={strategy!r} to go by.")
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
            triplets = _triplets(z.detach(), y, usable, strategy, margin, metric, generator)
            return _over_mined(z, *triplets, weight, margin, distance)
        wants_gradient = torch.is_grad_enabled() and z.requires_grad
        loss: Tensor = EveryTriplet.apply(
            *distance.bilinear(z, z), y, margin, chosen.counts == "semihard", weight, wants_gradient
        )
        return loss


def _without(z: Tensor, left_out: Tensor) -> Tensor:
    """The rows `z` (n, d) with the mean of the others in place of those that are left out (n,).

    They weigh nothing, but must not shift the center, and whatever they hold times 0 must be 0. To
    pick out the others would be simpler, but a GPU would have to be waited for.
    """
    center = z.masked_fill(left_out[:, None], 0).detach().sum(0) / (~left_out).sum().clamp_min(1)
    return torch.where(left_out[:, None], center, z)


def _triplets(
    z: Tensor,  # (n, d)
    y: Tensor,  # (n,)
    usable: Tensor | None,  # (n,), which rows can be part of a triplet; None for all
    strategy: str,
    margin: float | Literal["soft"],
    metric: str,
    generator: torch.Generator | None,
) -> tuple[Tensor | None, Tensor, Tensor, Tensor | None]:
    """Anchors, positives and negatives (k,), and which of these are triplets, if not all are.

    Without anchors each row is the anchor of one: nothing is listed, and no device waited for.
    """
    how: dict[str, Any] = {
        "margin": torch.inf if margin == "soft" else margin,
        "generator": generator,
    }
    each = STRATEGIES[strategy].each
    if each is not None and len(z) > 0:
        distance = METRICS[metric]
        found = one_triplet_each(z, y, each=each, metric=distance, usable=usable, **how)
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
    metric: str,
    sample_weight: Tensor | None = None,  # (n,)
    among_themselves: bool = False,
) -> Tensor:
    """Weighted mean over the rows that have a neighbour of their class and one of another: the
    soft loss of the nearest of each. If the rows are the neighbors, none is its own.
    """
    distances = check_metric(metric).distances
    weight = z.new_ones(len(z)) if sample_weight is None else sample_weight
    total, count = z.new_zeros(()), z.new_zeros(())
    block_size = max(_BLOCK_ENTRIES // max(len(neighbors), 1), 1)
    for start in range(0, len(z), block_size):
        rows = slice(start, start + block_size)
        same = y[rows, None] == neighbor_labels  # (b, m)
        d = distances(z[rows], neighbors)  # (b, m)
        partner = same.clone()
        if among_themselves:
            partner[:, rows].fill_diagonal_(False)
        gap = d.masked_fill(~partner, torch.inf).amin(1) - d.masked_fill(same, torch.inf).amin(1)
        has_both = partner.any(1) & ~same.all(1)
        # Masked, not picked out: a GPU would have to be waited for, to know how many they are.
        total += torch.where(has_both, weight[rows] * softplus(gap), 0).sum()
        count += torch.where(has_both, weight[rows], 0).sum()
    return total / torch.where(count > 0, count, 1)

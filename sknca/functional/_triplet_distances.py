"""Distances of anchors from positives and negatives, without a tensor of all differences."""

from torch import Tensor

from ._checks import check_floats, check_pair
from ._distances import squared_distances
from ._metrics import METRICS


def squared_l2_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distance along the last axis.

    Parameters
    ----------
    a, b : Tensor of shape (..., d)
        Real floating-point tensors. Half precision is converted to float32. The leading axes
        broadcast.

    Returns
    -------
    distances : Tensor of shape (...)
        Differentiable.

    Raises
    ------
    ValueError
        If the last axes differ, or a dtype is not floating-point.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import squared_l2_distance
    >>> squared_l2_distance(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.zeros(2, 2))
    tensor([25.,  1.])
    """
    a, b = check_floats(a, "a"), check_floats(b, "b")
    if a.shape[-1:] != b.shape[-1:]:
        raise ValueError(
            "a and b must have the same number of features, "
            f"got shapes {tuple(a.shape)} and {tuple(b.shape)}."
        )
    return (a - b).square().sum(-1)


def anchor_positive_distances(anchors: Tensor, positives: Tensor) -> Tensor:
    """Squared Euclidean distance between each anchor and its positive.

    Parameters
    ----------
    anchors, positives : Tensor of shape (n_anc, d)
        Codes. Row k of `positives` is the positive of row k of `anchors`.

    Returns
    -------
    distances : Tensor of shape (n_anc,)
        Differentiable.

    Raises
    ------
    ValueError
        If the two are not floating-point matrices of the same shape.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import anchor_positive_distances
    >>> anchor_positive_distances(torch.ones(2, 2), torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    tensor([0., 2.])
    """
    return squared_l2_distance(*check_anchors(anchors, positives))


def anchor_negative_distances(anchors: Tensor, negatives: Tensor) -> Tensor:
    """Squared Euclidean distance between every negative and every anchor.

    Parameters
    ----------
    anchors : Tensor of shape (n_anc, d)
        Codes.

    negatives : Tensor of shape (n_neg, d)
        Codes, of a batch or of a larger pool.

    Returns
    -------
    distances : Tensor of shape (n_neg, n_anc)
        Entry (j, k) is the distance between negative j and anchor k. Differentiable.

    Raises
    ------
    ValueError
        If the two are not floating-point matrices with the same number of features.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import anchor_negative_distances
    >>> anchor_negative_distances(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [2.0], [5.0]]))
    tensor([[ 1.,  4.],
            [ 1.,  0.],
            [16.,  9.]])
    """
    anchors, negatives = check_pair(anchors, negatives, ("anchors", "negatives"))
    return squared_distances(negatives, anchors)


def triplet_margins(anchors: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """How much farther every negative is from each anchor than the anchor's positive.

    Mining compares these numbers with the margin. A triplet whose entry is below the margin
    violates it. A triplet whose entry is between 0 and the margin is semi-hard.

    Parameters
    ----------
    anchors, positives : Tensor of shape (n_anc, d)
        Codes. Row k of `positives` is the positive of row k of `anchors`.

    negatives : Tensor of shape (n_neg, d)
        Codes.

    Returns
    -------
    margins : Tensor of shape (n_neg, n_anc)
        Squared distance to the negative minus squared distance to the positive. Differentiable.

    Raises
    ------
    ValueError
        If the three are not floating-point matrices with the same number of features, or
        `positives` and `anchors` differ in length.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import triplet_margins
    >>> anchors, positives = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]])
    >>> triplet_margins(anchors, positives, torch.tensor([[0.0], [2.0], [5.0]]))
    tensor([[ 0.,  0.],
            [ 0., -4.],
            [15.,  5.]])
    """
    anchors, positives = check_anchors(anchors, positives)
    anchors, negatives = check_pair(anchors, negatives, ("anchors", "negatives"))
    anchor_positive = anchor_positive_distances(anchors, positives).to(anchors.dtype)
    return METRICS["sqeuclidean"].unbounded(negatives, anchors).sub_(anchor_positive)


def check_anchors(anchors: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """Both as floating-point matrices of one shape."""
    anchors, positives = check_pair(anchors, positives, ("anchors", "positives"))
    if len(anchors) != len(positives):
        raise ValueError(
            "positives must have one sample for each anchor, "
            f"got {len(positives)} positives and {len(anchors)} anchors."
        )
    return anchors, positives

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
        Real and floating, half precision is raised to float32; the leading axes broadcast.

    Returns
    -------
    distances : Tensor of shape (...)
        Differentiable.

    Raises
    ------
    ValueError
        If the last axes differ, or a dtype is not floating.

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
            f"a and b must have as many features, got shapes {tuple(a.shape)} and {tuple(b.shape)}."
        )
    return (a - b).square().sum(-1)


def anchor_positive_distances(anchors: Tensor, positives: Tensor) -> Tensor:
    """Squared Euclidean distance of each anchor from its positive.

    Parameters
    ----------
    anchors, positives : Tensor of shape (n_anc, d)
        Codes, row by row.

    Returns
    -------
    distances : Tensor of shape (n_anc,)
        Differentiable.

    Raises
    ------
    ValueError
        If the two are not floating matrices of one shape.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import anchor_positive_distances
    >>> anchor_positive_distances(torch.ones(2, 2), torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    tensor([0., 2.])
    """
    return squared_l2_distance(*check_anchors(anchors, positives))


def anchor_negative_distances(anchors: Tensor, negatives: Tensor) -> Tensor:
    """Squared Euclidean distance of every negative from every anchor.

    Parameters
    ----------
    anchors : Tensor of shape (n_anc, d)
        Codes.

    negatives : Tensor of shape (n_neg, d)
        Codes; as many as there are, a batch or a larger pool.

    Returns
    -------
    distances : Tensor of shape (n_neg, n_anc)
        Entry (j, k) is that of the j-th negative from the k-th anchor. Differentiable.

    Raises
    ------
    ValueError
        If the two are not floating matrices of the same width.

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

    What mining goes by: an entry below a margin is a triplet that violates it, one
    between 0 and the margin is semi-hard.

    Parameters
    ----------
    anchors, positives : Tensor of shape (n_anc, d)
        Codes, row by row.

    negatives : Tensor of shape (n_neg, d)
        Codes.

    Returns
    -------
    margins : Tensor of shape (n_neg, n_anc)
        Anchor-negative minus anchor-positive squared distances. Differentiable.

    Raises
    ------
    ValueError
        If the three are not floating matrices of the same width, or `positives` are not as
        many as `anchors`.

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
    """Both as floating matrices of one shape."""
    anchors, positives = check_pair(anchors, positives, ("anchors", "positives"))
    if len(anchors) != len(positives):
        raise ValueError(
            "positives must be as many as anchors, one for each, "
            f"got {len(positives)} and {len(anchors)}."
        )
    return anchors, positives

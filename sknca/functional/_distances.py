"""Pairwise distances without an n x m x d tensor, safe against offsets and rounding."""

from torch import Tensor

from ._checks import check_pair
from ._metrics import METRICS


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distance between every row of `a` and every row of `b`.

    All rows are centered on their common mean first, so that a shared offset costs no precision.
    The distances come from one matrix product, without a tensor of shape (n, m, d).

    Parameters
    ----------
    a : Tensor of shape (n, d)
        Real samples.

    b : Tensor of shape (m, d)
        Real samples.

    Returns
    -------
    distances : Tensor of shape (n, m)
        Never negative. Differentiable.

    Raises
    ------
    ValueError
        If `a` and `b` are not real floating-point matrices with the same number of features.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import squared_distances
    >>> b = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    >>> squared_distances(torch.zeros(1, 2), b).round(decimals=3)
    tensor([[25.,  1.]])
    """
    return METRICS["sqeuclidean"].distances(*check_pair(a, b, ("a", "b")))


def cosine_distances(a: Tensor, b: Tensor) -> Tensor:
    """One minus the cosine of the angle between every row of `a` and every row of `b`.

    Parameters
    ----------
    a : Tensor of shape (n, d)
        Real or complex samples. The cosine of complex samples is the real part of the Hermitian
        product of the L2-normalized samples. A sample of zeros has distance 1 to every other.

    b : Tensor of shape (m, d)
        Real or complex samples.

    Returns
    -------
    distances : Tensor of shape (n, m)
        Between 0 and 2. Differentiable.

    Raises
    ------
    ValueError
        If `a` and `b` are not floating-point or complex matrices with the same number of features.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import cosine_distances
    >>> cosine_distances(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0], [-3.0, 0.0]]))
    tensor([[1., 2.]])
    """
    cosine = METRICS["cosine"]
    a, b = cosine.real(a, b)
    return cosine.distances(*check_pair(a, b, ("a", "b")))

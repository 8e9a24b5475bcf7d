"""Pairwise distances without an n x m x d tensor, safe against offsets and rounding."""

from torch import Tensor

from ._checks import check_pair
from ._metrics import METRICS


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distance between every row of `a` and every row of `b`.

    The rows are taken about their common mean first, so that an offset shared by all
    of them costs no precision, and the distances come from one matrix product.

    Parameters
    ----------
    a : Tensor of shape (n, d)
        Rows, real.

    b : Tensor of shape (m, d)
        Rows, real.

    Returns
    -------
    distances : Tensor of shape (n, m)
        Never negative. Differentiable.

    Raises
    ------
    ValueError
        If `a` and `b` are not real floating matrices of the same width.

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
        Rows, real or complex; of complex ones the cosine is the real part of the Hermitian
        product of unit rows. A zero row is at distance 1 from every other.

    b : Tensor of shape (m, d)
        Rows, real or complex.

    Returns
    -------
    distances : Tensor of shape (n, m)
        Between 0 and 2. Differentiable.

    Raises
    ------
    ValueError
        If `a` and `b` are not floating or complex matrices of the same width.

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

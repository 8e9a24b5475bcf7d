"""Pairwise distances without an n x m x d tensor, safe against offsets and rounding."""

import functools

import torch
from torch import Tensor

from ._checks import check_pair


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
    a, b = check_pair(a, b, ("a", "b"))
    # relu_ is the clamp at zero that keeps no second (n, m) matrix for its gradient.
    return expanded_squares(a, b).relu_()


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
    a, b = real_rows(a, b)
    a, b = check_pair(a, b, ("a", "b"))
    with torch.autocast(a.device.type, enabled=False):
        similarities = unit_rows(a) @ unit_rows(b).T
        return (1 - similarities).clamp(0, 2)


def unit_rows(z: Tensor) -> Tensor:
    """The rows of `z` (n, d) at length one; a zero row stays zero and gets no gradient."""
    # Relative to its largest entry, the squares of a tiny or huge row neither vanish nor
    # overflow. The length of a row does not matter, so that entry counts as a constant.
    largest = z.detach().abs().amax(1, keepdim=True)  # (n, 1)
    nonzero = largest != 0
    z = z / torch.where(nonzero, largest, 1)
    norms = torch.linalg.vector_norm(z, dim=1, keepdim=True)  # (n, 1)
    units: Tensor = z / torch.where(nonzero, norms, 1) * nonzero
    return units


def real_rows(*rows: Tensor) -> tuple[Tensor, ...]:
    """Rows whose real product is the real part of the Hermitian one: if any is complex, each
    row's real and imaginary parts side by side.
    """
    if not any(isinstance(z, Tensor) and z.is_complex() for z in rows):
        return rows
    dtype = functools.reduce(torch.promote_types, (z.dtype for z in rows))
    return tuple(torch.view_as_real(z.to(dtype)).flatten(1) for z in rows)


def common_centre(a: Tensor, b: Tensor, *, on_grid: bool = False) -> Tensor:
    """The mean of all rows of both; a constant, for distances do not depend on it.

    With `on_grid` a point near it, of a grid of a power of two as fine as the rows are spread:
    numbers on such a grid (integers, say) are so still when it is subtracted, and their
    distances come out exactly.
    """
    with torch.no_grad():
        mean = a.mean(0) if a is b else (a.sum(0) + b.sum(0)) / max(len(a) + len(b), 1)
        if not on_grid:
            return mean
        spread = (a - mean).abs().mean()
        step = torch.where(spread > 0, spread, 1).log2().floor().exp2()
        return (mean / step).round() * step


def expanded_squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (n, m) of the rows of `a` from those of `b` by one product; where they
    should be 0 they may be negative by rounding.
    """
    with torch.autocast(a.device.type, enabled=False):
        centre = common_centre(a, b, on_grid=True)
        a, b = a - centre, b - centre
        a_norms = a.square().sum(1, keepdim=True)  # (n, 1)
        b_norms = b.square().sum(1)  # (m,)
        return torch.addmm(b_norms, a, b.T, alpha=-2).add_(a_norms)


def bilinear(z: Tensor, keys: Tensor, metric: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Queries (n, d), keys (m, d) and bias (m,) with `queries @ keys.T + bias` = -distance,
    up to a term that is constant along a row.
    """
    if metric == "cosine":
        units = unit_rows(z)
        return units, units if keys is z else unit_rows(keys), None
    centre = common_centre(z, keys, on_grid=True)
    centred = z - centre
    keys = centred if keys is z else keys - centre
    return 2 * centred, keys, -keys.square().sum(1)

"""The soft nearest neighbour loss: exact at any temperature and any size."""

import torch
from torch import Tensor

from ._blocks import Problem, RowLosses, TotalLoss
from ._checks import (
    check_labels,
    check_pair,
    check_q,
    check_reduction,
    check_rows,
    check_temperature,
    check_weight,
)
from ._metrics import check_metric

#: Entries in a block of pairs: what stays near the cache, and a floor for the product's sake.
_BLOCK_ENTRIES = 3 * 2**19
_MIN_BLOCK_ROWS = 128

#: The same on a GPU: enough that launching the next operators takes less time than these.
_GPU_BLOCK_ENTRIES = 2**26


def soft_nearest_neighbor_loss(
    z: Tensor,
    y: Tensor,
    temperature: float | Tensor = 1.0,
    *,
    q: float | Tensor = 0.0,
    metric: str = "sqeuclidean",
    sample_weight: Tensor | None = None,
    reduction: str = "mean",
    block_size: int | None = None,
    neighbors: Tensor | None = None,
    neighbor_labels: Tensor | None = None,
    neighbor_weight: Tensor | None = None,
) -> Tensor:
    r"""Soft nearest neighbour loss of codes with labels.

    .. math::

        L = \operatorname{mean}_i \Bigl[ \log \sum_{j \ne i} e^{-d_{ij} / T}
            - \log \sum_{j \ne i,\, y_j = y_i} e^{-d_{ij} / T} \Bigr]

    over the rows `i` that have a partner, another row with their label. With squared
    Euclidean distance and `temperature=1` the exponential of a bracket's negative is the
    :math:`p_i` of Neighbourhood Components Analysis. The work is done block by block, and the
    gradient found on the way: memory grows with `n`, never with `n * n`.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes, with "cosine" also complex. Half precision is raised to float32, also under
        autocast.

    y : Tensor of shape (n,)
        Class labels, integers or booleans.

    temperature : float or Tensor of shape (), default=1.0
        Positive, in units of the distance. A tensor may want a gradient.

    q : float or Tensor of shape (), default=0.0
        From 0 to 1. A sample whose neighbours share its label with probability `p` has the loss
        `(1 - p ** q) / q`, a family [4]_ between `-log(p)`, the soft nearest neighbour loss, at
        0 and `1 - p`, the objective of NCA, at 1. Its gradient is `p ** q` times that of
        `-log(p)`: the larger `q`, the less a sample far from all of its class decides, and the
        less wrong labels do harm. 0.7 is usual. A tensor must be positive, and gets no
        gradient.

    metric : {"sqeuclidean", "cosine"}, default="sqeuclidean"
        The distance `d`: squared Euclidean, or one minus the cosine.

    sample_weight : Tensor of shape (n,), default=None
        Non-negative weights: of a row in the mean and in the sum, and of the same row as a
        neighbour of others. None means that all weigh 1. Gets no gradient.

    reduction : {"mean", "sum", "none"}, default="mean"
        "mean" is the weighted mean over the rows that have a partner (0, still
        differentiable, where none has), "sum" the weighted sum, "none" the row losses
        themselves, zero where a row has no partner.

    block_size : int, default=None
        Rows in a block. None chooses by `n`. The result depends on it only by rounding.

    neighbors : Tensor of shape (m, d), default=None
        Where to look for neighbours, if not in `z` itself: held-out rows among training
        rows, or a batch among a larger pool. Then no pair is left out as a row with itself.

    neighbor_labels : Tensor of shape (m,), default=None
        The labels of `neighbors`.

    neighbor_weight : Tensor of shape (m,), default=None
        Non-negative weights of the neighbours as such, the only ones that they have: of
        `neighbors` (None: all weigh 1) or, without, of the samples themselves in the losses of
        others (None: `sample_weight`).

    Returns
    -------
    loss : Tensor of shape () or, with reduction "none", (n,)
        In the real dtype of `z`, at least float32.

    Raises
    ------
    ValueError
        If a shape, a dtype, `q`, `metric`, `reduction`, `temperature` or `block_size` is not as
        described.

    Notes
    -----
    The distances come from one matrix product about the common centre. In float32 their
    rounding error is about 1e-7 times the squared distance of a row from that centre (1e-7
    for "cosine"); where the temperature is not far above it, use float64. Products follow
    `torch.get_float32_matmul_precision()`: a setting below "highest" costs exactness.

    A row with :math:`1 - p_i` below 1e-20 (1e-200 in float64) gets no gradient of its own.
    There is no second derivative.

    References
    ----------
    .. [1] J. Goldberger, S. Roweis, G. Hinton, R. Salakhutdinov. "Neighbourhood Components
           Analysis". NIPS 2004.
    .. [2] R. Salakhutdinov, G. Hinton. "Learning a Nonlinear Embedding by Preserving Class
           Neighbourhood Structure". AISTATS 2007.
    .. [3] N. Frosst, N. Papernot, G. Hinton. "Analyzing and Improving Representations with
           the Soft Nearest Neighbor Loss". ICML 2019.
    .. [4] Z. Zhang, M. R. Sabuncu. "Generalized Cross Entropy Loss for Training Deep Neural
           Networks with Noisy Labels". NeurIPS 2018.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import soft_nearest_neighbor_loss
    >>> z = torch.tensor([[0.0], [1.0], [3.0], [4.0]], requires_grad=True)
    >>> loss = soft_nearest_neighbor_loss(z, torch.tensor([0, 0, 1, 1]))
    >>> print(f"{loss.item():.4f}")
    0.0246
    >>> loss.backward()
    >>> z.grad.shape
    torch.Size([4, 1])
    """
    distance = check_metric(metric)
    check_reduction(reduction)
    check_q(q)
    z, *elsewhere = distance.real(z, *([] if neighbors is None else [neighbors]))
    neighbors = elsewhere[0] if elsewhere else None
    z = check_rows(z, "z")
    y = check_labels(y, z, "y")
    among_themselves = neighbors is None
    if neighbors is None:
        if neighbor_labels is not None:
            raise ValueError("neighbor_labels need neighbors.")
        keys, key_labels, key_weight = z, y, sample_weight
    else:
        if neighbor_labels is None:
            raise ValueError("neighbors need neighbor_labels.")
        z, keys = check_pair(z, neighbors, ("z", "neighbors"))
        key_labels = check_labels(neighbor_labels, keys, "neighbor_labels")
        key_weight = check_weight(neighbor_weight, keys, "neighbor_weight")
    weight = check_weight(sample_weight, z, "sample_weight")
    if among_themselves:
        key_weight = check_weight(neighbor_weight, z, "neighbor_weight")
        key_weight = weight if key_weight is None else key_weight
    if block_size is None:
        block_size = default_block_size(len(keys), z.device)
    elif not (isinstance(block_size, int) and block_size >= 1):
        raise ValueError(f"block_size must be an integer of at least 1, got {block_size}.")

    with torch.autocast(z.device.type, enabled=False):
        temperature = check_temperature(temperature, z)
        rows = distance.prepare(z)
        columns = None if among_themselves else distance.prepare(keys)
        problem = Problem(
            metric=distance,
            query_labels=y,
            key_labels=key_labels,
            log_key_weight=None if key_weight is None else key_weight.log(),
            among_themselves=among_themselves,
            block_size=block_size,
            q=q,
        )
        if reduction == "none":
            losses: Tensor = RowLosses.apply(rows, columns, temperature, problem)
            return losses
        # Known only here: inside a Function's forward, gradients are always switched off.
        wants_gradient = torch.is_grad_enabled() and any(
            isinstance(t, Tensor) and t.requires_grad for t in (rows, columns, temperature)
        )
        loss: Tensor = TotalLoss.apply(
            rows, columns, temperature, problem, weight, reduction == "mean", wants_gradient
        )
        return loss


def default_block_size(n_keys: int, device: torch.device) -> int:
    entries = _BLOCK_ENTRIES if device.type == "cpu" else _GPU_BLOCK_ENTRIES
    return max(_MIN_BLOCK_ROWS, entries // max(n_keys, 1))


def soft_neighbor_probabilities(
    z: Tensor,
    temperature: float | Tensor = 1.0,
    y: Tensor | None = None,
    *,
    metric: str = "sqeuclidean",
) -> Tensor:
    """Probability that row `i` picks row `j` as its neighbour, for study.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes.

    temperature : float or Tensor of shape (), default=1.0
        Positive, in units of the distance.

    y : Tensor of shape (n,), default=None
        Class labels. With them, the entries of other classes are set to zero, and the row
        sums are the probabilities of picking the right class (the `p_i` of NCA).

    metric : {"sqeuclidean", "cosine"}, default="sqeuclidean"
        The distance between codes.

    Returns
    -------
    probabilities : Tensor of shape (n, n)
        Zero on the diagonal. Without `y` each row sums to 1 (a single row has nobody to
        pick, and gets 0). Differentiable.

    Raises
    ------
    ValueError
        If a shape, a dtype, `metric` or `temperature` is not as described.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import soft_neighbor_probabilities
    >>> z = torch.tensor([[0.0], [0.0], [1.0]])
    >>> soft_neighbor_probabilities(z, temperature=1 / torch.tensor(3.0).log())
    tensor([[0.0000, 0.7500, 0.2500],
            [0.7500, 0.0000, 0.2500],
            [0.5000, 0.5000, 0.0000]])
    """
    distance = check_metric(metric)
    (z,) = distance.real(z)
    z = check_rows(z, "z")
    with torch.autocast(z.device.type, enabled=False):
        temperature = check_temperature(temperature, z)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        logits = (-distance.distances(z, z) / temperature).masked_fill(itself, -torch.inf)  # (n, n)
        if len(z) == 1:
            return torch.zeros_like(logits)
        probabilities = logits.softmax(dim=1)
        if y is None:
            return probabilities
        y = check_labels(y, z, "y")
        return probabilities * (y[:, None] == y[None, :])

"""The soft nearest neighbor loss: exact at any temperature and any size."""

import torch
from torch import Tensor

from ._blocks import RowLosses, TotalLoss
from ._checks import (
    check_first,
    check_labels,
    check_pair,
    check_q,
    check_reduction,
    check_rows,
    check_temperature,
    check_weight,
)
from ._metrics import Metric, check_metric
from ._problem import Problem, classes_and_positives

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
    metric: str | Metric = "sqeuclidean",
    sample_weight: Tensor | None = None,
    reduction: str = "mean",
    block_size: int | None = None,
    neighbors: Tensor | None = None,
    neighbor_labels: Tensor | None = None,
    neighbor_weight: Tensor | None = None,
    first_neighbor: int | None = None,
) -> Tensor:
    r"""Soft nearest neighbor loss of codes with labels.

    .. math::

        L = \operatorname{mean}_i \Bigl[ \log \sum_{j \ne i} e^{-d_{ij} / T}
            - \log \sum_{j \ne i,\, y_j = y_i} e^{-d_{ij} / T} \Bigr]

    The mean is over the samples `i` that have a positive: another sample of their class. Each
    bracket is :math:`-\log p_i`, where :math:`p_i` is the probability that sample `i` picks a
    neighbor of its class. With squared Euclidean distance and `temperature=1` it is the
    :math:`p_i` of Neighborhood Components Analysis (NCA).

    The loss is computed block by block, and its gradient in the same pass: memory is O(n), not
    O(n²).

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes. With "cosine" they may be complex. Half precision is converted to float32, also
        under autocast.

    y : Tensor of shape (n,)
        Class labels, integers or booleans.

    temperature : float or Tensor of shape (), default=1.0
        A positive number, in units of the distance. Usual values are 0.1 to 10 with "sqeuclidean",
        0.1 to 1 with "euclidean", and around 0.1 with "cosine". With a small temperature only the
        nearest neighbors count; with a large one all samples count. A tensor may require a
        gradient.

    q : float or Tensor of shape (), default=0.0
        Robustness to wrong labels, from 0 to 1. A sample that picks a neighbor of its class with
        probability `p` has the loss `(1 - p ** q) / q` [4]_. With 0 this is `-log(p)`, the soft
        nearest neighbor loss; with 1 it is `1 - p`, the objective of NCA. The gradient is `p ** q`
        times that of `-log(p)`. The larger `q`, the less a sample counts that is far from all of
        its class, and the less harm wrong labels do. If labels are wrong, 0.7 is usual. A tensor
        must be positive, and gets no gradient.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance `d`: squared Euclidean, Euclidean, or one minus the cosine.

    sample_weight : Tensor of shape (n,), default=None
        Non-negative weights of the samples, in the mean or sum and as neighbors of other samples.
        If None, all weights are 1. Gets no gradient.

    reduction : {"mean", "sum", "none"}, default="mean"
        "mean" returns the weighted mean over the samples that have a positive. If no sample has
        one, it is 0, and still differentiable. "sum" returns the weighted sum. "none" returns the
        loss of each sample, which is zero without a positive.

    block_size : int, default=None
        Number of samples in a block. If None, it is chosen by `n`. It changes the result only by
        rounding.

    neighbors : Tensor of shape (m, d), default=None
        Codes among which neighbors are searched, for example training samples for held-out ones,
        or a memory bank for a batch. Then no pair is excluded as a sample with itself. If None,
        neighbors are searched in `z`.

    neighbor_labels : Tensor of shape (m,), default=None
        Labels of `neighbors`. Required with `neighbors`.

    neighbor_weight : Tensor of shape (m,), default=None
        Non-negative weights of the neighbors. With `neighbors`, these are their only weights, and
        if None, all are 1. Without `neighbors`, they are the weights of the samples of `z` in the
        losses of other samples, and if None, `sample_weight` is used.

    first_neighbor : int, default=None
        If `z` itself is a part of `neighbors`, the row of `neighbors` where it starts. No sample is
        then a neighbor of itself, as without `neighbors`. This is how several processes share the
        loss of one batch, see :mod:`sknca.distributed`.

    Returns
    -------
    loss : Tensor of shape () or, with reduction "none", (n,)
        In the real dtype of `z`, at least float32.

    Raises
    ------
    ValueError
        If a shape, a dtype, `q`, `metric`, `reduction`, `temperature`, `block_size` or
        `first_neighbor` is not as described.

    Notes
    -----
    The samples are centered, and the distances come from one matrix product. In float32 their
    rounding error is about 1e-7 times the squared distance of a sample from the center (1e-7 with
    "cosine"). The square root of this error is the smallest distance that "euclidean" resolves:
    about 1e-3 times the distance from the center. A pair that is nearer has almost no gradient, and
    codes that coincide have none. If the temperature is not much larger than this error, use
    float64. Matrix products
    follow `torch.get_float32_matmul_precision()`; a setting below "highest" is less exact.

    A sample with :math:`1 - p_i` below 1e-20 (1e-200 in float64) gets no gradient of its own. There
    is no second derivative.

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
            raise ValueError("neighbor_labels was given, but neighbors was not.")
        if first_neighbor is not None:
            raise ValueError("first_neighbor was given, but neighbors was not.")
        keys, key_labels, key_weight = z, y, sample_weight
    else:
        if neighbor_labels is None:
            raise ValueError("neighbors was given, but neighbor_labels was not.")
        z, keys = check_pair(z, neighbors, ("z", "neighbors"))
        key_labels = check_labels(neighbor_labels, keys, "neighbor_labels")
        key_weight = check_weight(neighbor_weight, keys, "neighbor_weight")
        if first_neighbor is not None:
            check_first(first_neighbor, z, keys)
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
        if distance.root:
            rows, columns = distance.factors(rows, rows if columns is None else columns)
        problem = Problem(
            metric=distance,
            query_labels=y,
            key_labels=key_labels,
            log_key_weight=None if key_weight is None else key_weight.log(),
            among_themselves=among_themselves,
            block_size=block_size,
            q=q,
            first=first_neighbor,
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


def counted_weight(
    y: Tensor, sample_weight: Tensor | None, neighbor_weight: Tensor | None
) -> Tensor:
    """The weight () of the samples with labels `y` (n,) that have a positive: what the sum of their
    losses is divided by in a mean; 1 if none has.
    """
    problem = Problem(
        metric=check_metric("sqeuclidean"),
        query_labels=y,
        key_labels=y,
        log_key_weight=None if neighbor_weight is None else neighbor_weight.log(),
        among_themselves=True,
        block_size=1,
    )
    has_positive = classes_and_positives(problem, torch.float32)[2]
    if sample_weight is None:
        counted = has_positive.sum().to(torch.float32)
    else:
        counted = sample_weight.dot(has_positive.to(sample_weight.dtype))
    return torch.where(counted > 0, counted, 1)


def default_block_size(n_keys: int, device: torch.device) -> int:
    entries = _BLOCK_ENTRIES if device.type == "cpu" else _GPU_BLOCK_ENTRIES
    return max(_MIN_BLOCK_ROWS, entries // max(n_keys, 1))


def soft_neighbor_probabilities(
    z: Tensor,
    temperature: float | Tensor = 1.0,
    y: Tensor | None = None,
    *,
    metric: str | Metric = "sqeuclidean",
) -> Tensor:
    """Probability that sample `i` picks sample `j` as its neighbor.

    It needs O(n²) memory, so it is for inspection and not for training.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes. With "cosine" they may be complex.

    temperature : float or Tensor of shape (), default=1.0
        A positive number, in units of the distance. The smaller it is, the more probable are the
        nearest neighbors.

    y : Tensor of shape (n,), default=None
        Class labels. If given, the entries of other classes are set to zero. The sum of a row is
        then the probability that the sample picks a neighbor of its class (the `p_i` of NCA).

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance between codes.

    Returns
    -------
    probabilities : Tensor of shape (n, n)
        Zero on the diagonal. Without `y`, each row sums to 1; with a single sample, the only
        entry is 0. Differentiable.

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

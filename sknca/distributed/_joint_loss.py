"""The soft nearest neighbor loss of a batch that several processes have together."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .. import functional
from ..functional import Metric, counted_weight
from ._gather import current, gather_rows, sizes_of_all


def soft_nearest_neighbor_loss(
    z: Tensor,
    y: Tensor,
    temperature: float | Tensor = 1.0,
    *,
    q: float | Tensor = 0.0,
    metric: str | Metric = "sqeuclidean",
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Soft nearest neighbor loss of a batch of which each process has a part.

    Each process compares its own samples with those of all processes. The mean of what the
    processes return is the loss of the whole batch, and the mean of their gradients, which
    DistributedDataParallel computes, is its gradient.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        The codes of this process.

    y : Tensor of shape (n,)
        Their class labels, integers, which mean the same in all processes.

    temperature : float or Tensor of shape (), default=1.0
        Positive, in units of the distance. The same in all processes.

    q : float or Tensor of shape (), default=0.0
        As for :func:`sknca.functional.soft_nearest_neighbor_loss`.

    metric : {"sqeuclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance.

    sample_weight : Tensor of shape (n,), default=None
        Non-negative weights, in all processes or in none.

    Returns
    -------
    loss : Tensor of shape ()
        The sum over the own samples, divided by the weight of all samples that have a positive,
        times the number of processes.

    See Also
    --------
    sknca.functional.soft_nearest_neighbor_loss : The loss of one process.

    Notes
    -----
    For `n` samples of dimension `d` in each of `k` processes, a process needs time `n * k * n * d`
    and memory for `k * n * (d + 3)` numbers. The codes are sent once, and their gradients once.

    Examples
    --------
    >>> import torch
    >>> from sknca.distributed import soft_nearest_neighbor_loss
    >>> z = torch.tensor([[0.0], [1.0], [3.0], [4.0]], requires_grad=True)
    >>> loss = soft_nearest_neighbor_loss(z, torch.tensor([0, 0, 1, 1]))  # one process
    >>> print(f"{loss.item():.4f}")
    0.0246
    """
    ranks = current()
    if ranks is None:
        return functional.soft_nearest_neighbor_loss(
            z, y, temperature, q=q, metric=metric, sample_weight=sample_weight
        )
    sizes = sizes_of_all(ranks, len(z), z.device)
    beside = [y.long()]
    if sample_weight is not None:
        beside.append(sample_weight.detach().float())
    everyone, all_y, *weight = gather_rows(z, sizes, beside)
    all_weight = weight[0] if weight else None
    counted = counted_weight(all_y, all_weight, all_weight)
    return share_of_loss(
        z,
        sizes,
        temperature,
        everyone=everyone,
        y=all_y,
        counted=counted,
        sample_weight=all_weight,
        neighbor_weight=all_weight,
        q=q,
        metric=metric,
    )


def share_of_loss(
    z: Tensor,  # (n, d)
    sizes: Sequence[int],
    temperature: float | Tensor,
    *,
    everyone: Tensor,  # (m, d)
    y: Tensor,  # (m,)
    counted: Tensor,  # ()
    sample_weight: Tensor | None,  # (m,)
    neighbor_weight: Tensor | None,  # (m,)
    q: float | Tensor,
    metric: str | Metric,
) -> Tensor:
    """The share of this process, times their number; all but the first tensor is of all samples."""
    own = own_part(sizes)
    kwargs: dict[str, Any] = {"q": q, "metric": metric, "reduction": "sum"}
    total = functional.soft_nearest_neighbor_loss(
        z,
        y[own],
        temperature,
        sample_weight=None if sample_weight is None else sample_weight[own],
        neighbors=everyone,
        neighbor_labels=y,
        neighbor_weight=neighbor_weight,
        first_neighbor=own.start,
        **kwargs,
    )
    return total * len(sizes) / counted


def own_part(sizes: Sequence[int]) -> slice:
    """Where the rows of this process are among those of all."""
    ranks = current()
    assert ranks is not None
    start = sum(sizes[: ranks.rank])
    return slice(start, start + sizes[ranks.rank])

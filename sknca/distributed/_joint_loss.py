"""The soft nearest neighbor loss of a batch that several processes have together."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .. import functional
from ..functional import Metric, counted_weight
from ._gather import Shares, current, gather_rows


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

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
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
    shares = Shares.of(ranks, len(z), z.device)
    beside = [y.long()]
    if sample_weight is not None:
        beside.append(sample_weight.detach().float())
    everyone, all_y, *weight = gather_rows(z, shares, beside)
    all_weight = weight[0] if weight else None
    part = Part(shares, all_y)
    total = functional.soft_nearest_neighbor_loss(
        z,
        all_y[part.own],
        temperature,
        q=q,
        metric=metric,
        sample_weight=part.of_own(all_weight),
        **part.among(everyone, all_weight),
    )
    return part.share(total, counted_weight(all_y, all_weight, all_weight))


@dataclass(frozen=True)
class Part:
    """Which samples of a batch of several processes are those of this process."""

    shares: Shares
    y: Tensor  # (m,), the labels of all

    @property
    def own(self) -> slice:
        return self.shares.own

    def of_own(self, weight: Tensor | None) -> Tensor | None:
        """The weights of the own samples, of the weights (m,) of all."""
        return None if weight is None else weight[self.own]

    def among(self, everyone: Tensor, weight: Tensor | None) -> dict[str, Any]:
        """Arguments with which the loss is the sum over the own samples, whose neighbors are
        searched among the codes (m, d) of all, with their weights (m,).
        """
        return {
            "neighbors": everyone,
            "neighbor_labels": self.y,
            "neighbor_weight": weight,
            "first_neighbor": self.own.start,
            "reduction": "sum",
        }

    def share(self, total: Tensor, counted: Tensor | int) -> Tensor:
        """From the sum over the own samples, and the weight of all, the share of this process in
        the mean, in units in which the mean over the processes is that of the batch.
        """
        return total * len(self.shares.sizes) / counted

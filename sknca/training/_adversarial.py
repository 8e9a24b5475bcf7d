"""The gradient of a batch, and of the same batch moved to where its loss is higher."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class BatchLoss(Protocol):
    """Called with a batch and the epoch, it gives the total loss and its named parts.

    The epoch is a tensor (1,) on the device in a step that is replayed.

    `target` (n, d) is what a decoder is to make of the rows, if not the rows themselves.
    """

    def __call__(
        self,
        x: Tensor,
        y: Tensor,
        weight: Tensor | None,
        epoch: int | Tensor,
        target: Tensor | None = None,
    ) -> tuple[Tensor, Mapping[str, Tensor]]: ...


def accumulate_gradient(
    loss: BatchLoss,
    x: Tensor,  # (n, d)
    y: Tensor,  # (n,)
    weight: Tensor | None,  # (n,)
    epoch: int | Tensor,
    *,
    adversarial_radius: float,
    spread: Tensor | float = 1.0,  # (d,)
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Add the gradient of a batch's loss to that of the parameters.

    With a radius also that of the loss of the batch's rows when each that the first loss depends
    on is moved to where, as its gradient tells, that loss is highest so far off. Distance is
    Euclidean, with each feature in units of its spread.

    Returns
    -------
    total, parts
        What `loss` says of the batch as it is.

    Raises
    ------
    ValueError
        If there is a radius, and the codes have no gradient in the rows.

    References
    ----------
    I. Goodfellow, J. Shlens, C. Szegedy. "Explaining and Harnessing Adversarial Examples".
    ICLR 2015.
    """
    if adversarial_radius == 0:
        total, parts = loss(x, y, weight, epoch)
        total.backward()
        return total, parts
    leaf = x.detach().requires_grad_()
    total, parts = loss(leaf.clone(), y, weight, epoch, x)  # a network may work in place
    total.backward()
    if leaf.grad is None:
        raise ValueError(
            f"adversarial_radius={adversarial_radius} needs an encoder whose codes have a "
            "gradient in its rows."
        )
    uphill = spread * leaf.grad  # (n, d), of the features in units of their spread
    # In units of the steepest: what is far below it is rounding, and leads nowhere.
    uphill /= uphill.abs().amax().clamp_min(torch.finfo(uphill.dtype).tiny)
    moves = (adversarial_radius * spread) * functional.normalize(uphill, dim=1)
    total_when_moved, _ = loss(x + moves, y, weight, epoch, x)
    total_when_moved.backward()
    # Only to be seen to be infinite, if it is.
    return total + 0 * total_when_moved, parts

"""The gradient of a batch, and of the same batch moved to where its loss is higher."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor
from torch.nn import functional


class BatchLoss(Protocol):
    """Called with a batch and the epoch, it gives the total loss and its named parts."""

    def __call__(
        self, x: Tensor, y: Tensor, weight: Tensor | None, epoch: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]: ...


def accumulate_gradient(
    loss: BatchLoss,
    x: Tensor,  # (n, d)
    y: Tensor,  # (n,)
    weight: Tensor | None,  # (n,)
    epoch: int,
    *,
    adversarial_radius: float,
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Add the gradient of a batch's loss to that of the parameters.

    With a radius also that of the loss of the batch's rows when each is moved so far, by its
    Euclidean length, in the direction in which the first loss rises fastest. (Where it hardly
    rises, its gradient below 1e-12, by less.)

    Returns
    -------
    total, parts
        What `loss` says of the batch as it is.

    Raises
    ------
    ValueError
        If there is a radius, and the loss has no gradient in the rows.

    References
    ----------
    I. Goodfellow, J. Shlens, C. Szegedy. "Explaining and Harnessing Adversarial Examples".
    ICLR 2015. T. Miyato, S. Maeda, M. Koyama, K. Nakae, S. Ishii. "Distributional Smoothing
    with Virtual Adversarial Training". ICLR 2016. (The Euclidean ball.)
    """
    if adversarial_radius == 0:
        total, parts = loss(x, y, weight, epoch)
        total.backward()
        return total, parts
    x = x.detach().requires_grad_()
    total, parts = loss(x, y, weight, epoch)
    total.backward()
    if x.grad is None:
        raise ValueError(
            f"adversarial_radius={adversarial_radius} needs an encoder whose codes have a "
            "gradient in its rows."
        )
    moved = x.detach() + adversarial_radius * functional.normalize(x.grad, dim=1)
    loss(moved, y, weight, epoch)[0].backward()
    return total, parts

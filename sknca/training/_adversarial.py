"""Adversarial training: some batches get an extra step on perturbed samples."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .._sparse_rows import Rows, SparseRows
from ..data import Batch
from ._step import BatchLoss, Losses, TrainingStep


@dataclass(frozen=True)
class AdversarialGradient:
    """The gradient of a batch, and of the same batch perturbed so that its loss is higher.

    Each row that the loss depends on is perturbed along the gradient of the loss. What is returned
    are the losses of the batch as it is.

    Parameters
    ----------
    radius : float
        Euclidean length of the perturbations, with each feature in units of its spread.

    spread : float or Tensor of shape (d,), default=1.0
        That unit.

    largest : callable, default=None
        If several processes have a part of the batch each, the largest of their numbers.

    Raises
    ------
    ValueError
        If the codes have no gradient in the rows.

    References
    ----------
    I. Goodfellow, J. Shlens, C. Szegedy. "Explaining and Harnessing Adversarial Examples".
    ICLR 2015.
    """

    radius: float
    spread: Tensor | float = 1.0
    largest: Callable[[Tensor], Tensor] | None = None  # of a number () in several processes

    def __call__(
        self, loss: BatchLoss, batch: Batch, epoch: int | Tensor
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        x = batch.x
        leaf = x.detach().requires_grad_()
        # A clone, because a network may work in place.
        total, parts = loss(batch._replace(x=leaf.clone(), target=x), epoch)
        total.backward()
        if leaf.grad is None:
            raise ValueError(
                f"adversarial_radius={self.radius} needs an encoder whose codes have a gradient "
                "with respect to its input. Set it to 0."
            )
        moved = self._moved(x, leaf.grad)
        perturbed, _ = loss(batch._replace(x=moved, target=x), epoch)
        perturbed.backward()
        # Added only so that the total is not finite if this loss is not.
        return total + 0 * perturbed, parts

    def _moved(self, x: Rows, grad: Tensor) -> Rows:
        """The rows, each so far along the gradient; of sparse rows the stored entries."""
        spread: Tensor | float = self.spread
        if isinstance(x, SparseRows) and isinstance(spread, Tensor):
            spread = spread.index_select(0, x.columns)
        direction = spread * grad  # of the features in units of their spread
        # In units of the steepest: what is far below it is rounding, and leads nowhere.
        steepest = direction.abs().amax() if direction.numel() else direction.new_zeros(())
        if self.largest is not None:
            steepest = self.largest(steepest)
        direction /= steepest.clamp_min(torch.finfo(direction.dtype).tiny)
        if not isinstance(x, SparseRows):
            return x + (self.radius * spread) * functional.normalize(direction, dim=1)
        rows = x.rows()
        # Not `index_add`, whose order of summation is not fixed on a GPU.
        counts = x.starts.diff()  # (n,)
        squares = torch.segment_reduce(direction.square(), "sum", lengths=counts, initial=0.0)
        length = squares.sqrt().clamp_min(1e-12).index_select(0, rows)
        return x.with_values(x.values + (self.radius * spread) * (direction / length))


class AdversarialStep:
    """Takes the adversarial step for some batches of an epoch, and the plain step otherwise.

    Parameters
    ----------
    plain, adversarial : TrainingStep
        The two steps.

    fraction : float
        Which part of the batches of an epoch, in (0, 1], rounded up, spread evenly from the first.

    first_epoch : int
        The first epoch with adversarial steps. Earlier perturbations would hide what the network
        has to learn first.
    """

    def __init__(
        self, plain: TrainingStep, adversarial: TrainingStep, *, fraction: float, first_epoch: int
    ) -> None:
        self._plain = plain
        self._adversarial = adversarial
        self._fraction = fraction
        self._first_epoch = first_epoch
        self._epoch = -1
        self._index = 0  # of the batch in its epoch

    def __call__(self, batch: Batch, epoch: int) -> Losses:
        self._index = self._index + 1 if epoch == self._epoch else 0
        self._epoch = epoch
        before, after = (math.ceil(i * self._fraction) for i in (self._index, self._index + 1))
        in_turn = epoch >= self._first_epoch and after > before
        return (self._adversarial if in_turn else self._plain)(batch, epoch)

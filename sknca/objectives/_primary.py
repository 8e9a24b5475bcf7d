"""Primary losses, which are trained together with the soft nearest neighbor loss."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .._sparse_rows import Rows, dense
from ..networks import at_least_single, linear

#: Held-out samples for which a primary loss is computed together.
_PIECE_ROWS = 4096


class PrimaryLoss(nn.Module, ABC):
    """A loss that is trained together with the soft nearest neighbor loss."""

    name: str

    @abstractmethod
    def of_rows(self, code: Tensor, x: Rows, y: Tensor) -> Tensor:
        """The loss (n,) of each sample."""

    def weight_of_rows(self, y: Tensor, weight: Tensor | None) -> Tensor | None:
        """The weight (n,) of each sample in the mean; None if all are equal."""
        return weight

    def forward(self, code: Tensor, x: Rows, y: Tensor, weight: Tensor | None) -> Tensor:
        """Weighted mean over the samples of a batch."""
        return self._mean(self.of_rows(code, x, y), y, weight)

    def in_pieces(self, code: Tensor, x: Rows, y: Tensor, weight: Tensor | None) -> Tensor:
        """The same for samples `x` that may not fit on the device, and may be on the host."""
        pieces = zip(*(t.split(_PIECE_ROWS) for t in (code, x, y)), strict=True)
        losses = [self.of_rows(c, some.to(c.device), labels) for c, some, labels in pieces]
        return self._mean(torch.cat(losses), y, weight)

    def _mean(self, losses: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        weight = self.weight_of_rows(y, weight)
        if weight is None:
            return losses.mean()
        return (weight * losses).sum() / weight.sum().clamp_min(torch.finfo(losses.dtype).tiny)


class Reconstruction(PrimaryLoss):
    """Mean squared error of the reconstructions of `decoder`, over samples and features."""

    name = "reconstruction"

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def of_rows(self, code: Tensor, x: Rows, y: Tensor) -> Tensor:
        errors = (at_least_single(self.decoder(code)) - dense(x)).square()
        return errors.flatten(1).mean(1)

    def forward(self, code: Tensor, x: Rows, y: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:  # one operator instead of several
            return nn.functional.mse_loss(at_least_single(self.decoder(code)), dense(x))
        return super().forward(code, x, y, weight)


class Classification(PrimaryLoss):
    """Cross-entropy of a linear layer on the codes, over the samples that have a label."""

    name = "classification"

    def __init__(self, n_components: int, n_classes: int) -> None:
        super().__init__()
        self.head = linear(n_components, n_classes)

    def of_rows(self, code: Tensor, x: Rows, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.head(code), y, ignore_index=-1, reduction="none")

    def weight_of_rows(self, y: Tensor, weight: Tensor | None) -> Tensor:
        return (y >= 0).to(torch.float32) if weight is None else weight * (y >= 0)

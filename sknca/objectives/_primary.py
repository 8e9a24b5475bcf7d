"""Losses beside which the soft nearest neighbour loss is trained."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..networks import linear


class PrimaryLoss(nn.Module, ABC):
    """A loss beside which the soft nearest neighbour loss is trained."""

    name: str

    @abstractmethod
    def forward(self, code: Tensor, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Weighted mean over the rows of a batch."""


class Reconstruction(PrimaryLoss):
    """Mean squared error of what `decoder` makes of the codes, over rows and features."""

    name = "reconstruction"

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, code: Tensor, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:
            return nn.functional.mse_loss(self.decoder(code), x)
        errors = (self.decoder(code) - x).square().mean(1)  # (n,)
        mean: Tensor = (weight * errors).sum() / weight.sum()
        return mean


class Classification(PrimaryLoss):
    """Cross-entropy of a linear layer on the codes, over the rows that have a label."""

    name = "classification"

    def __init__(self, n_components: int, n_classes: int) -> None:
        super().__init__()
        self.head = linear(n_components, n_classes)

    def forward(self, code: Tensor, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        losses = nn.functional.cross_entropy(
            self.head(code), y, ignore_index=-1, reduction="none"
        )  # (n,)
        weight = (y >= 0).to(code.dtype) if weight is None else weight * (y >= 0)
        return (weight * losses).sum() / weight.sum().clamp_min(torch.finfo(code.dtype).tiny)

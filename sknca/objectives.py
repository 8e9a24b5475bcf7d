"""What training minimises: a network and a loss of its codes, as one module."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .functional import soft_nearest_neighbor_loss
from .networks import encode

#: Rows (n, d), their labels (n,) and their weights (n,) or None.
LabelledRows = tuple[Tensor, Tensor, Tensor | None]


class EmbeddingObjective(nn.Module, ABC):
    """The loss of a network's codes.

    Parameters
    ----------
    network : nn.Module
        From rows (n, n_features) to codes (n, n_components).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @abstractmethod
    def forward(
        self, x: Tensor, y: Tensor, weight: Tensor | None, epoch: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The total loss of a batch, and the named parts that it is the sum of."""

    @abstractmethod
    def settings(self, epoch: int) -> Mapping[str, Any]:
        """What the loss goes by in this epoch."""

    @abstractmethod
    def held_out(self, rows: LabelledRows, training_rows: LabelledRows) -> Tensor:
        """Loss of held-out rows that look for their neighbours among training rows, as a
        nearest-neighbour classifier on the codes will.
        """


class SNNLObjective(EmbeddingObjective):
    """Soft nearest neighbour loss of a network's codes.

    Parameters
    ----------
    network : nn.Module
        From rows (n, n_features) to codes (n, n_components).

    temperature : float
        Positive, in units of the distance.

    metric : {"sqeuclidean", "cosine"}
        The distance between codes.
    """

    def __init__(self, network: nn.Module, *, temperature: float, metric: str) -> None:
        super().__init__(network)
        self.temperature = temperature
        self.metric = metric

    def forward(
        self, x: Tensor, y: Tensor, weight: Tensor | None, epoch: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss = soft_nearest_neighbor_loss(
            self.network(x), y, self.temperature, metric=self.metric, sample_weight=weight
        )
        return loss, {}

    def settings(self, epoch: int) -> Mapping[str, Any]:
        return {"temperature": self.temperature}

    def held_out(self, rows: LabelledRows, training_rows: LabelledRows) -> Tensor:
        x, y, weight = rows
        neighbors, neighbor_labels, neighbor_weight = training_rows
        return soft_nearest_neighbor_loss(
            encode(self.network, x),
            y,
            self.temperature,
            metric=self.metric,
            sample_weight=weight,
            neighbors=encode(self.network, neighbors),
            neighbor_labels=neighbor_labels,
            neighbor_weight=neighbor_weight,
        )

"""The triplet loss of a network's codes."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .._random import generator_of_fit
from ..data import Batch
from ..distributed import gather_rows
from ..functional import Find, Metric, Strategy, check_strategy, nearest_triplet_loss, triplet_loss
from ._base import EmbeddingObjective, Loss


class TripletObjective(EmbeddingObjective):
    """The triplet loss of a network's codes.

    Parameters
    ----------
    network : nn.Module
        From samples (n, n_features) to codes (n, n_components).

    metric : {"sqeuclidean", "euclidean", "cosine"}
        The distance between codes.

    margin : float or "soft"
        By how much a negative should be farther than a positive.

    mining : {"all", "semihard", "hard", "random"}
        Which triplets of a batch are learned from.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        metric: str | Metric,
        margin: float | Literal["soft"],
        mining: str | Strategy | Find,
    ) -> None:
        super().__init__(network)
        self.metric = metric
        self.margin = margin
        self.mining = mining

    @property
    def has_fixed_steps(self) -> bool:
        strategy = check_strategy(self.mining)
        is_listed = strategy.each is None and strategy.counts is None  # which waits for the device
        return super().has_fixed_steps and not is_listed

    def forward(self, batch: Batch, epoch: int | Tensor) -> Loss:
        codes, y, weight = self.network(batch.x), batch.y, batch.label_weight
        if batch.shares is not None:  # each process computes the loss of the whole batch
            beside = [y] if weight is None else [y, weight]
            codes, y, *weights = gather_rows(codes, batch.shares, beside)
            weight = weights[0] if weights else None
        loss = triplet_loss(
            codes,
            y,
            margin=self.margin,
            strategy=self.mining,
            metric=self.metric,
            sample_weight=weight,
            generator=generator_of_fit(),
        )
        return loss, {}

    def held_out(self, rows: Batch, training_rows: Batch | None) -> Tensor:
        """The soft loss of one triplet for each held-out sample, for every margin and mining: its
        nearest neighbor of its class and its nearest neighbor of another class, between which a
        nearest-neighbor classifier decides. (The mean over active triplets is not suitable: the
        better the codes, the fewer and harder these are. A hinge is not either: it ends at 0.)
        """
        self.eval()
        x, y, weight, *_ = rows
        code = neighbors = self.codes(x)
        neighbor_labels = y
        if training_rows is not None:
            training_x, neighbor_labels, *_ = training_rows
            neighbors = self.codes(training_x)
        with torch.no_grad():
            return nearest_triplet_loss(
                code,
                y,
                neighbors,
                neighbor_labels,
                metric=self.metric,
                sample_weight=weight,
                among_themselves=training_rows is None,
            )

    def settings(self, epoch: int) -> Mapping[str, Any]:
        return {}

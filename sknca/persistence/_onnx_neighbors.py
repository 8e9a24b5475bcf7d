"""The votes of the nearest neighbors as one matrix product, for export."""

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from .._compat import samples_of_neighbors


class Votes(nn.Module):
    """The probability of each class that KNeighborsClassifier gives.

    Distances are computed in float64, so that near neighbors are told apart.
    """

    rows: Tensor  # (n_fit, n_features)
    squares: Tensor  # (n_fit,)
    labels: Tensor  # (n_fit,)

    def __init__(self, classifier: KNeighborsClassifier) -> None:
        super().__init__()
        rows, labels = samples_of_neighbors(classifier)
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.float64, device="cpu"))
        self.register_buffer("squares", self.rows.square().sum(dim=1))
        self.register_buffer("labels", torch.tensor(labels, dtype=torch.int64, device="cpu"))
        self.n_classes = len(classifier.classes_)
        self.n_neighbors = int(classifier.n_neighbors)
        self.by_distance = classifier.weights == "distance"

    @staticmethod
    def can_count(classifier: KNeighborsClassifier) -> bool:
        """Whether the votes of this classifier are these."""
        rows, _ = samples_of_neighbors(classifier)
        return (
            isinstance(rows, np.ndarray)
            and not classifier.outputs_2d_
            and classifier.effective_metric_ == "euclidean"
            and classifier.weights in (None, "uniform", "distance")
        )

    def forward(self, codes: Tensor) -> Tensor:
        codes = codes.to(torch.float64)
        # The square of a code is the same for all its neighbors.
        order = self.squares - 2 * (codes @ self.rows.T)  # (n, n_fit)
        nearest = order.topk(self.n_neighbors, dim=1, largest=False).indices  # (n, k)
        votes = nn.functional.one_hot(self.labels[nearest], self.n_classes).to(torch.float64)
        if self.by_distance:
            distances = (self.rows[nearest] - codes[:, None]).square().sum(dim=2).sqrt()
            same = (distances == 0).to(torch.float64)
            weights = torch.where(same.amax(dim=1, keepdim=True) > 0, same, 1 / distances)
            votes = votes * weights[:, :, None]
        votes = votes.sum(dim=1)
        return (votes / votes.sum(dim=1, keepdim=True)).to(torch.float32)

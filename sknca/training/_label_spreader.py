"""Labels that are spread among the codes, several times in a training."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .._sparse_rows import Rows
from ..data import TrainingData
from ..functional import (
    NeighborGraph,
    confidence_of,
    spread_labels,
    spread_to_others,
)

#: How often in a training labels are spread.
_TIMES = 5

#: How many nearest neighbors a label is spread from.
_N_NEIGHBORS = 10

#: At most this many rows are in the graph, because the work grows with their square. Other rows are
#: one step away from it.
_MOST_IN_GRAPH = 2**16


class LabelSpreader:
    """Spreads labels to the samples that have none.

    Parameters
    ----------
    codes : callable
        From rows (m, d) to the codes (m, c) among which neighbors are searched, on the device.

    n_classes : int
        How many classes there are.

    max_iter : int
        How many epochs the training has.

    start : callable, default=None
        Used instead in the first epoch, before the network has learned anything. If None,
        `codes` is used.

    Attributes
    ----------
    y : Tensor of shape (n,) or None
        The labels of all samples as last spread, -1 if a sample has none.

    confidence : Tensor of shape (n,)
        How much each label counts, 1 if it was given.
    """

    y: Tensor | None
    confidence: Tensor

    def __init__(
        self,
        codes: Callable[[Rows], Tensor],
        n_classes: int,
        max_iter: int,
        start: Callable[[Rows], Tensor] | None = None,
    ) -> None:
        self._codes = codes
        self._start = start or codes
        self._n_classes = n_classes
        self._every = -(-max_iter // _TIMES)
        self.y = None

    def is_due(self, epoch: int) -> bool:
        """Whether labels are spread before this epoch."""
        return epoch % self._every == 0

    def begin_epoch(self, data: TrainingData, epoch: int) -> TrainingData:
        """The samples with the labels to learn from in an epoch, spread again if that is due."""
        if self.y is None or self.is_due(epoch):
            probabilities = self.probabilities(data, is_start=epoch == 0)
            found = torch.full_like(data.y, -1)
            confidence = torch.zeros(len(data.y), dtype=torch.float32, device=data.y.device)
            rows = data.rows.to(data.y.device)
            found[rows] = probabilities.argmax(1)
            confidence[rows] = confidence_of(probabilities)
            self.y = torch.where(data.y >= 0, data.y, found)
            self.confidence = torch.where(data.y >= 0, 1.0, confidence)
        return replace(data, y=self.y, confidence=self.confidence)

    def probabilities(self, data: TrainingData, *, is_start: bool = False) -> Tensor:
        """The probabilities (n_train, n_classes) of the classes for the samples to learn from."""
        codes = self._start if is_start else self._codes
        labels = data.labels
        is_in_graph = _most_even(labels >= 0, _MOST_IN_GRAPH // 2)
        is_in_graph |= _most_even(labels < 0, _MOST_IN_GRAPH - int(is_in_graph.sum()))
        places, others = is_in_graph.nonzero().squeeze(1), (~is_in_graph).nonzero().squeeze(1)
        samples = data.take_at_home(data.rows[places])
        graph = NeighborGraph(codes(samples.x), _N_NEIGHBORS)
        in_graph = spread_labels(graph, samples.y, self._n_classes)
        if len(others) == 0:
            return in_graph
        found = in_graph.new_empty(len(labels), self._n_classes)
        found[places.to(found.device)] = in_graph
        for some in others.split(_MOST_IN_GRAPH):
            step = graph.of_others(codes(data.take_at_home(data.rows[some]).x))
            found[some.to(found.device)] = spread_to_others(in_graph, *step)
        return found

    def transduction(self, data: TrainingData) -> Tensor:
        """The class (n_train,) of each sample, on the CPU: the given one, or the most probable. A
        sample that no label reaches is of the most frequent class.
        """
        probabilities = self.probabilities(data).cpu()
        labels = data.labels
        most_frequent = labels[labels >= 0].bincount().argmax()
        found = torch.where(probabilities.sum(1) > 0, probabilities.argmax(1), most_frequent)
        return torch.where(labels >= 0, labels, found)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.y is None else {"y": self.y, "confidence": self.confidence}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        if state:
            self.y, self.confidence = state["y"].to(device), state["confidence"].to(device)


def _most_even(mask: Tensor, size: int) -> Tensor:
    """The mask (n,), thinned at even steps to about `size` places if it has more."""
    places = mask.nonzero().squeeze(1)
    kept = torch.zeros_like(mask)
    kept[places[:: max(-(-len(places) // max(size, 1)), 1)]] = True
    return kept

"""Labels that spread along nearest neighbors: the first label that a random walk reaches."""

import torch
from torch import Tensor

from ._neighbors import nearest, rows_in_block

#: The distance to this neighbor is the unit of distances around a row.
_UNIT_NEIGHBOR = 7

#: By how much the logarithm of the weight of a neighbor is less if the row is not one of the
#: neighbor's neighbors: about 1 / 10. Such pairs often join two classes.
_LESS_IF_ONE_SIDED = 2.3


class NeighborGraph:
    """Rows, each with a unit of distance: that to its seventh neighbor.

    Parameters
    ----------
    rows : Tensor of shape (n, d)
        Two rows at least.

    n_neighbors : int
        How many nearest neighbors each row has, or all others.
    """

    def __init__(self, rows: Tensor, n_neighbors: int) -> None:
        self._rows = rows
        self._n_neighbors = min(n_neighbors, len(rows) - 1)
        distances, self.neighbors = _nearest(rows, rows, self._n_neighbors, among_themselves=True)
        self._units = _units(distances)
        logits = self._logits(distances, self.neighbors, self._units)
        less = torch.where(_is_mutual(self.neighbors), 0.0, _LESS_IF_ONE_SIDED)
        self.probabilities = (logits - less).softmax(1)

    def of_others(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The neighbors (m, k) of other rows (m, d) in the graph, and with which probabilities
        (m, k) a walk goes to them.
        """
        k = self._n_neighbors
        distances, neighbors = _nearest(rows, self._rows, k, among_themselves=False)
        return neighbors, self._logits(distances, neighbors, _units(distances)).softmax(1)

    def _logits(self, distances: Tensor, neighbors: Tensor, units: Tensor) -> Tensor:
        unit = units[:, None] * self._units[neighbors]  # (m, k), of squared distances
        return -distances / unit


def spread_labels(
    graph: NeighborGraph, labels: Tensor, n_classes: int, n_steps: int = 100
) -> Tensor:
    """Probabilities of the classes for each row of a graph, from the rows that have a label.

    A walk starts at a row and goes to one of its nearest neighbors, again and again, the nearer
    ones more probably, and those less probably that do not have the row among their own nearest:
    such pairs often join two classes. It ends at the first row that has a label, or after
    `n_steps`. Each class is then scaled so that all rows together have it in the proportion of the
    labels: otherwise a class whose rows lie close together would take too many.

    Parameters
    ----------
    graph : NeighborGraph
        Of n rows.

    labels : Tensor of shape (n,)
        Class of each row, from 0; -1 if it has no label.

    n_classes : int
        How many classes there are.

    n_steps : int, default=100
        The longest walk.

    Returns
    -------
    probabilities : Tensor of shape (n, n_classes)
        A row that no walk leads away from to a label has zeros.

    References
    ----------
    .. [1] X. Zhu, Z. Ghahramani, J. Lafferty. "Semi-Supervised Learning Using Gaussian Fields and
           Harmonic Functions". ICML 2003.
    .. [2] L. Zelnik-Manor, P. Perona. "Self-Tuning Spectral Clustering". NIPS 2004. (The units.)
    """
    weights = graph.probabilities
    classes = torch.arange(n_classes, device=labels.device)
    given = (labels[:, None] == classes).to(weights.dtype)  # (n, n_classes)
    unlabeled = (labels < 0)[:, None]
    reached = given
    for _ in range(n_steps):
        reached = torch.where(unlabeled, _mean(reached, graph.neighbors, weights), given)
    tiny = torch.finfo(weights.dtype).tiny
    scaled = reached * (given.sum(0) / reached.sum(0).clamp_min(tiny))
    return scaled / scaled.sum(1, keepdim=True).clamp_min(tiny)


def spread_to_others(probabilities: Tensor, neighbors: Tensor, weights: Tensor) -> Tensor:
    """Probabilities (m, n_classes) of rows that are not in the graph, one step away from it."""
    found = _mean(probabilities, neighbors, weights)
    return found / found.sum(1, keepdim=True).clamp_min(torch.finfo(found.dtype).tiny)


def confidence_of(probabilities: Tensor) -> Tensor:
    """By how much (n,) the most probable of the classes (n, n_classes) is ahead of the next."""
    first, second = probabilities.topk(2, dim=1).values.unbind(1)
    return first - second


def _mean(values: Tensor, neighbors: Tensor, weights: Tensor) -> Tensor:
    """The weighted means (m, c) of the neighbors' values (n, c), one neighbor after the other: all
    at once would take k times the memory.
    """
    mean = values.new_zeros(len(neighbors), values.shape[1])
    for k in range(neighbors.shape[1]):
        mean.addcmul_(values.index_select(0, neighbors[:, k]), weights[:, k : k + 1])
    return mean


def _nearest(
    rows: Tensor, keys: Tensor, k: int, *, among_themselves: bool
) -> tuple[Tensor, Tensor]:
    """Squared distances (m, k) and indices (m, k) of the k nearest keys, the nearest first."""
    center = keys.mean(0)
    keys = keys - center
    bias = -keys.square().sum(1)
    places = torch.arange(len(rows), device=rows.device)
    found = []
    for some in places.split(rows_in_block(keys)):
        block = rows[some] - center
        own = some if among_themselves else None
        nearness, neighbors = nearest(2 * block, keys, bias, k, own)
        norms = block.square().sum(1, keepdim=True)
        found.append(((norms - nearness).clamp_min(0), neighbors))
    return torch.cat([d for d, _ in found]), torch.cat([i for _, i in found])


def _is_mutual(neighbors: Tensor) -> Tensor:
    """Whether each row is among the neighbors of each of its neighbors, (n, k)."""
    rows = torch.arange(len(neighbors), device=neighbors.device)[:, None]
    places = range(neighbors.shape[1])
    return torch.stack([(neighbors[neighbors[:, k]] == rows).any(1) for k in places], dim=1)


def _units(distances: Tensor) -> Tensor:
    """The distance (m,) to the seventh of the neighbors at squared distances (m, k)."""
    squared = distances[:, min(_UNIT_NEIGHBOR, distances.shape[1]) - 1]
    return squared.sqrt().clamp_min(torch.finfo(distances.dtype).tiny ** 0.25)

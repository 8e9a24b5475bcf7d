"""The losses as pure functions: tensors in, tensors out, no state."""

from ._distances import cosine_distances, squared_distances
from ._snnl import soft_nearest_neighbor_loss, soft_neighbor_probabilities

__all__ = [
    "cosine_distances",
    "soft_nearest_neighbor_loss",
    "soft_neighbor_probabilities",
    "squared_distances",
]

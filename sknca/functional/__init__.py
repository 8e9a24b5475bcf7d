"""Losses, distances and mining as pure functions: tensors in, tensors out, no state."""

from ._distances import cosine_distances, squared_distances
from ._snnl import soft_nearest_neighbor_loss, soft_neighbor_probabilities
from ._triplet_distances import (
    anchor_negative_distances,
    anchor_positive_distances,
    squared_l2_distance,
    triplet_margins,
)
from ._triplet_loss import triplet_loss
from ._triplet_mining import mine_negatives, mine_triplets

__all__ = [
    "anchor_negative_distances",
    "anchor_positive_distances",
    "cosine_distances",
    "mine_negatives",
    "mine_triplets",
    "soft_nearest_neighbor_loss",
    "soft_neighbor_probabilities",
    "squared_distances",
    "squared_l2_distance",
    "triplet_loss",
    "triplet_margins",
]

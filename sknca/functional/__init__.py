"""Losses, distances and mining as pure functions: tensors in, tensors out, no state."""

# `A as A`: not public, but other folders of the package use it.
from ._checks import check_q as check_q
from ._checks import check_reduction as check_reduction
from ._checks import check_temperature as check_temperature
from ._checks import widest_float as widest_float
from ._class_probabilities import ClassProbabilities as ClassProbabilities
from ._distances import cosine_distances, squared_distances
from ._label_spreading import NeighborGraph as NeighborGraph
from ._label_spreading import confidence_of as confidence_of
from ._label_spreading import spread_labels as spread_labels
from ._label_spreading import spread_to_others as spread_to_others
from ._metrics import METRICS as METRICS
from ._metrics import Metric
from ._metrics import MetricName as MetricName
from ._metrics import check_metric as check_metric
from ._metrics import unit_rows as unit_rows
from ._mining import STRATEGIES as STRATEGIES
from ._mining import Find as Find
from ._mining import Strategy
from ._mining import StrategyName as StrategyName
from ._mining import check_strategy as check_strategy
from ._mining import may_draw_globally as may_draw_globally
from ._neighbors import relevant_neighbors as relevant_neighbors
from ._snnl import counted_weight as counted_weight
from ._snnl import soft_nearest_neighbor_loss, soft_neighbor_probabilities
from ._triplet_distances import (
    anchor_negative_distances,
    anchor_positive_distances,
    squared_l2_distance,
    triplet_margins,
)
from ._triplet_loss import nearest_triplet_loss as nearest_triplet_loss
from ._triplet_loss import triplet_loss
from ._triplet_mining import mine_negatives, mine_triplets

__all__ = [
    "Metric",
    "Strategy",
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

"""Scores of codes with labels, and of clusterings, in the style of `sklearn.metrics`."""

from ._clustering import clustering_accuracy
from ._entanglement_score import entanglement_score
from ._retrieval import (
    make_embedding_scorer,
    mean_average_precision_at_r,
    mean_average_precision_at_r_score,
    recall_at_k,
    recall_at_k_score,
)

__all__ = [
    "clustering_accuracy",
    "entanglement_score",
    "make_embedding_scorer",
    "mean_average_precision_at_r",
    "mean_average_precision_at_r_score",
    "recall_at_k",
    "recall_at_k_score",
]

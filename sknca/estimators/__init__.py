"""The scikit-learn estimators."""

from ._snnl_embedding import SNNLEmbedding
from ._soft_neighbors import SoftNeighborsClassifier

__all__ = ["SNNLEmbedding", "SoftNeighborsClassifier"]

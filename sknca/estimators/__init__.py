"""The scikit-learn estimators."""

from ._snnl_embedding import SNNLEmbedding
from ._soft_neighbors import SoftNeighborsClassifier
from ._triplet_embedding import TripletEmbedding

__all__ = ["SNNLEmbedding", "SoftNeighborsClassifier", "TripletEmbedding"]

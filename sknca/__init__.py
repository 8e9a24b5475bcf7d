"""Soft nearest neighbour embeddings for scikit-learn, trained with torch."""

from .estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from .objectives import SNNLoss

__all__ = ["SNNLEmbedding", "SNNLoss", "SoftNeighborsClassifier", "TripletEmbedding"]
__version__ = "0.1.0"

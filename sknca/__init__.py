"""Soft nearest neighbour embeddings for scikit-learn, trained with torch."""

from .estimators import SNNLEmbedding, SoftNeighborsClassifier

__all__ = ["SNNLEmbedding", "SoftNeighborsClassifier"]
__version__ = "0.1.0"

"""Soft nearest neighbour embeddings for scikit-learn, trained with torch."""

from .estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

__all__ = ["SNNLEmbedding", "SoftNeighborsClassifier", "TripletEmbedding"]
__version__ = "0.1.0"

"""Soft nearest neighbour embeddings for scikit-learn, trained with torch."""

from .estimators import SNNLEmbedding

__all__ = ["SNNLEmbedding"]
__version__ = "0.1.0"

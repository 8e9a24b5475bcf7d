"""The scikit-learn estimators."""

from ._snnl_embedding import SNNLEmbedding

__all__ = ["SNNLEmbedding"]

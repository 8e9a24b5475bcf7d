"""Plots of embeddings, in the style of scikit-learn's displays. They need matplotlib."""

from ._embedding import EmbeddingDisplay
from ._entanglement import EntanglementDisplay
from ._loss_curve import LossCurveDisplay

__all__ = ["EmbeddingDisplay", "EntanglementDisplay", "LossCurveDisplay"]

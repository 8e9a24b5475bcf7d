"""Metric learning and supervised dimensionality reduction: the soft nearest neighbor loss, for
scikit-learn, trained with torch.
"""

from .estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from .objectives import PrimaryLoss, SNNLoss
from .persistence import export_onnx, load, save

__all__ = [
    "PrimaryLoss",
    "SNNLEmbedding",
    "SNNLoss",
    "SoftNeighborsClassifier",
    "TripletEmbedding",
    "export_onnx",
    "load",
    "save",
]
__version__ = "0.2.0"

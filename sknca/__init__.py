"""Metric learning and supervised dimensionality reduction: the soft nearest neighbor loss, for
scikit-learn, trained with torch.
"""

from .estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from .networks import Encoder
from .objectives import PrimaryLoss, SNNLoss, TemperatureSchedule
from .persistence import export_onnx, load, save

__all__ = [
    "Encoder",
    "PrimaryLoss",
    "SNNLEmbedding",
    "SNNLoss",
    "SoftNeighborsClassifier",
    "TemperatureSchedule",
    "TripletEmbedding",
    "export_onnx",
    "load",
    "save",
]
__version__ = "0.2.0"

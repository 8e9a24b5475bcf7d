"""What training minimises: a network, a loss of its codes, and what is trained beside them."""

from ._base import EmbeddingObjective
from ._loss import SNNLoss
from ._primary import Classification, PrimaryLoss, Reconstruction
from ._snnl import SNNLObjective
from ._triplet import TripletObjective

__all__ = [
    "Classification",
    "EmbeddingObjective",
    "PrimaryLoss",
    "Reconstruction",
    "SNNLObjective",
    "SNNLoss",
    "TripletObjective",
]

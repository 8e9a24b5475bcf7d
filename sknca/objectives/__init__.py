"""What training minimizes: a network, the loss of its codes, and a primary loss if there is one."""

from ._base import EmbeddingObjective
from ._primary import Classification, PrimaryLoss, Reconstruction
from ._snn_loss import SNNLoss
from ._snnl_objective import SNNLObjective
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

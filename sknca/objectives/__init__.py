"""What training minimizes: a network, the loss of its codes, and a primary loss if there is one."""

from ._base import EmbeddingObjective
from ._members_objective import MembersObjective
from ._primary import (
    PRIMARY_LOSSES,
    Classification,
    PrimaryLoss,
    PrimaryTask,
    Reconstruction,
    build_primary_loss,
    check_primary_loss,
    is_of_package,
)
from ._schedules import (
    TEMPERATURE_SCHEDULES,
    TemperatureSchedule,
    check_temperature_schedule,
    q_plan,
)
from ._snn_loss import SNNLoss
from ._snnl_objective import SNNLObjective
from ._triplet import TripletObjective

__all__ = [
    "PRIMARY_LOSSES",
    "TEMPERATURE_SCHEDULES",
    "Classification",
    "EmbeddingObjective",
    "MembersObjective",
    "PrimaryLoss",
    "PrimaryTask",
    "Reconstruction",
    "SNNLObjective",
    "SNNLoss",
    "TemperatureSchedule",
    "TripletObjective",
    "build_primary_loss",
    "check_primary_loss",
    "check_temperature_schedule",
    "is_of_package",
    "q_plan",
]

"""Schedules, stopping, steps and the loop: training, independent of the loss and the network."""

from ._adamw import AdamW
from ._adversarial import AdversarialGradient, AdversarialStep
from ._isolation import (
    Isolation,
    isolated,
    torch_defaults,
)
from ._label_spreader import LabelSpreader
from ._loop import DivergenceError, TrainingInterrupted, train
from ._one_cycle import epochs_for, one_cycle
from ._overfitting import (
    EPOCHS_TO_SKIP,
    LEAST_EPOCHS_TO_WATCH,
    MOST_HELD_OUT,
    ROWS_TO_LOOK_AT,
    WATCHED_PART,
    OverfittingWatch,
    fraction_to_watch,
)
from ._state import EpochRecord, TrainingState
from ._step import Losses, MakeOptimizer, Step, TrainingStep, replayed_if_it_pays
from ._stopping import Stopping

__all__ = [
    "EPOCHS_TO_SKIP",
    "LEAST_EPOCHS_TO_WATCH",
    "MOST_HELD_OUT",
    "ROWS_TO_LOOK_AT",
    "WATCHED_PART",
    "AdamW",
    "AdversarialGradient",
    "AdversarialStep",
    "DivergenceError",
    "EpochRecord",
    "Isolation",
    "LabelSpreader",
    "Losses",
    "MakeOptimizer",
    "OverfittingWatch",
    "Step",
    "Stopping",
    "TrainingInterrupted",
    "TrainingState",
    "TrainingStep",
    "epochs_for",
    "fraction_to_watch",
    "isolated",
    "one_cycle",
    "replayed_if_it_pays",
    "torch_defaults",
    "train",
]

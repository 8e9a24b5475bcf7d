"""Schedules, stopping, steps and the loop: training that knows neither loss nor network."""

from ._adamw import AdamW
from ._adversarial import AdversarialGradient, AdversarialStep
from ._isolation import (
    isolated,
    load_random_state,
    out_of_isolation,
    random_state,
    reseed,
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
from ._state import EpochRecord, Objective, TrainingState
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
    "LabelSpreader",
    "Losses",
    "MakeOptimizer",
    "Objective",
    "OverfittingWatch",
    "Step",
    "Stopping",
    "TrainingInterrupted",
    "TrainingState",
    "TrainingStep",
    "epochs_for",
    "fraction_to_watch",
    "isolated",
    "load_random_state",
    "one_cycle",
    "out_of_isolation",
    "random_state",
    "replayed_if_it_pays",
    "reseed",
    "torch_defaults",
    "train",
]

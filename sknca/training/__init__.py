"""Batches, schedules, stopping and the loop: training that knows neither loss nor network."""

from ._adamw import AdamW
from ._batches import taken_of_classes
from ._isolation import isolated, out_of_isolation, torch_defaults
from ._loop import EpochRecord, Objective, TrainingInterrupted, train
from ._overfitting import ROWS_TO_LOOK_AT, WATCHED_PART, OverfittingWatch, fraction_to_watch
from ._rows import Batch, TrainingData
from ._schedules import annealed, one_cycle, q_plan, temperature_plan
from ._stopping import Stopping
from ._validation import hold_out, labeled_sample

__all__ = [
    "ROWS_TO_LOOK_AT",
    "WATCHED_PART",
    "AdamW",
    "Batch",
    "EpochRecord",
    "Objective",
    "OverfittingWatch",
    "Stopping",
    "TrainingData",
    "TrainingInterrupted",
    "annealed",
    "fraction_to_watch",
    "hold_out",
    "isolated",
    "labeled_sample",
    "one_cycle",
    "out_of_isolation",
    "q_plan",
    "taken_of_classes",
    "temperature_plan",
    "torch_defaults",
    "train",
]

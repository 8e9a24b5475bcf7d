"""Batches, schedules, stopping and the loop: training that knows neither loss nor network."""

from ._isolation import isolated
from ._loop import EpochRecord, Objective, TrainingData, train
from ._schedules import one_cycle
from ._stopping import Stopping
from ._validation import validation_neighbors

__all__ = [
    "EpochRecord",
    "Objective",
    "Stopping",
    "TrainingData",
    "isolated",
    "one_cycle",
    "train",
    "validation_neighbors",
]

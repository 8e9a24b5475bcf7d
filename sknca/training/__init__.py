"""Batches, schedules, stopping and the loop: training that knows neither loss nor network."""

from ._adamw import AdamW
from ._isolation import isolated, out_of_isolation, own_threads_only, torch_defaults
from ._loop import EpochRecord, Objective, TrainingInterrupted, train
from ._rows import Batch, TrainingData
from ._schedules import annealed, one_cycle, temperature_plan
from ._stopping import Stopping
from ._validation import hold_out, validation_neighbors

__all__ = [
    "AdamW",
    "Batch",
    "EpochRecord",
    "Objective",
    "Stopping",
    "TrainingData",
    "TrainingInterrupted",
    "annealed",
    "hold_out",
    "isolated",
    "one_cycle",
    "out_of_isolation",
    "own_threads_only",
    "temperature_plan",
    "torch_defaults",
    "train",
    "validation_neighbors",
]

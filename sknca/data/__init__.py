"""Samples: where they are stored, which of them form a batch, and which are held out."""

from ._batch import Batch
from ._parts import deal_parts
from ._samplers import SharedBatches, class_aware_batches, taken_of_classes
from ._sources import RowsGathered, RowsInMemory, RowsRead, Source, TrainingData
from ._split import MOST_NEIGHBORS, hold_out, labeled_sample, one_of_each

__all__ = [
    "MOST_NEIGHBORS",
    "Batch",
    "RowsGathered",
    "RowsInMemory",
    "RowsRead",
    "SharedBatches",
    "Source",
    "TrainingData",
    "class_aware_batches",
    "deal_parts",
    "hold_out",
    "labeled_sample",
    "one_of_each",
    "taken_of_classes",
]

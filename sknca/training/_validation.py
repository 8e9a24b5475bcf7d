"""What held-out rows are held against."""

import torch
from torch import Tensor

from ._batches import class_aware_sample
from ._loop import TrainingData

#: More training rows than these would make an epoch's validation dearer, not truer.
_MAX_NEIGHBORS = 4096


def validation_neighbors(
    data: TrainingData, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The training rows (x, y, weight) among which held-out rows look for neighbours: all,
    or a fixed sample where there are many.
    """
    labels = data.y[data.rows].cpu()
    sample = class_aware_sample(labels, _MAX_NEIGHBORS, generator)
    return data.take(data.rows[sample.to(data.rows.device)])

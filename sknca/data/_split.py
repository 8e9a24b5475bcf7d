"""Which samples are held out, and which samples are their neighbors."""

import math

import torch
from torch import Tensor

from ._batch import Batch
from ._samplers import class_aware_sample, shuffled_ranks
from ._sources import TrainingData

#: More training samples would make validation slower, but not more accurate.
MOST_NEIGHBORS = 4096


def hold_out(labels: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Split samples at random into training samples and held-out samples.

    The split is stratified by class, and so are samples without a label. At least one sample of
    each class is trained on: a held-out sample without a positive there would show nothing.

    Parameters
    ----------
    labels : Tensor of shape (n,), on the CPU
        Class of each row, from 0; -1 where there is no label.

    fraction : float
        Fraction of the samples to hold out, in (0, 1); at least one sample with a label.

    generator : torch.Generator
        On the CPU.

    Returns
    -------
    training_rows, held_out_rows : Tensor
        Sorted row indices.
    """
    is_held_out = torch.zeros_like(labels, dtype=torch.bool)
    for group in (labels >= 0, labels < 0):
        rows = group.nonzero().squeeze(1)
        if len(rows) == 0:
            continue
        order, _, ranks, _ = shuffled_ranks(labels[rows], generator)
        candidates = rows[order[ranks > 0]]  # by class, so that even steps are fair to classes
        n_held_out = min(math.ceil(fraction * len(rows)), len(candidates))
        start = torch.rand((), dtype=torch.float64, device="cpu", generator=generator)
        steps = torch.arange(n_held_out, dtype=torch.float64, device="cpu") + start
        is_held_out[candidates[(steps * len(candidates) / max(n_held_out, 1)).long()]] = True
    return (~is_held_out).nonzero().squeeze(1), is_held_out.nonzero().squeeze(1)


def labeled_sample(
    data: TrainingData, generator: torch.Generator, size: int = MOST_NEIGHBORS
) -> Batch:
    """The samples (x, y, weight) that have a label, or a fixed random part of about `size` of them
    if there are more.
    """
    labels = data.labels
    labeled = labels >= 0
    sample = class_aware_sample(labels[labeled], size, generator)
    return data.take_at_home(data.rows[labeled][sample])

"""Which samples are held out, and which samples are their neighbors."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from ._batch import Batch
from ._samplers import class_aware_sample, shuffled_ranks
from ._sources import TrainingData

#: More training samples would make validation slower, but not more accurate.
MOST_NEIGHBORS = 4096

#: Random choices of groups. The one whose classes are most like those of all samples is held out.
_DRAWS_OF_GROUPS = 20


def hold_out(
    labels: Tensor, fraction: float, generator: torch.Generator, groups: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Split samples at random into training samples and held-out samples.

    The split is stratified by class, and so are samples without a label. At least one sample of
    each class is trained on: a held-out sample without a positive there would show nothing.

    With groups, whole groups are held out. The number of samples and the classes are then as near
    to the fraction as some random choices of groups come.

    Parameters
    ----------
    labels : Tensor of shape (n,), on the CPU
        Class of each row, from 0; -1 if it has no label.

    fraction : float
        Fraction of the samples to hold out, in (0, 1); at least one sample with a label.

    generator : torch.Generator
        On the CPU.

    groups : Tensor of shape (n,), default=None
        The group of each row, on the CPU; at least two. If None, each row is held out by itself.

    Returns
    -------
    training_rows, held_out_rows : Tensor
        Sorted row indices. None is held out if each group has all samples of a class.
    """
    if groups is not None:
        is_held_out = _whole_groups(labels, fraction, generator, groups)
        return (~is_held_out).nonzero().squeeze(1), is_held_out.nonzero().squeeze(1)
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


def _whole_groups(
    labels: Tensor, fraction: float, generator: torch.Generator, groups: Tensor
) -> Tensor:
    """Which rows (n,) are held out, if a group is held out as a whole or not at all."""
    _, groups = groups.unique(return_inverse=True)
    classes = labels + 1  # (n,), 0 without a label
    counts = classes.bincount()  # (n_classes + 1,)
    sizes = groups.bincount()  # (n_groups,)
    best = torch.zeros_like(labels, dtype=torch.bool)
    least = math.inf
    for _ in range(_DRAWS_OF_GROUPS):
        order = torch.randperm(len(sizes), generator=generator, device="cpu")
        n_too_many = sizes[order].cumsum(0)[:-1] - fraction * len(groups)  # of 1, 2, ... groups
        is_chosen = torch.zeros_like(sizes, dtype=torch.bool)
        is_chosen[order[: int(n_too_many.abs().argmin()) + 1]] = True
        is_held_out = _without_last_of_a_class(is_chosen, groups, classes)[groups]
        found = classes[is_held_out].bincount(minlength=len(counts))
        if not (found[1:] if len(counts) > 1 else found).any():
            continue
        difference = float((found - fraction * counts).abs().sum())
        if difference < least:
            best, least = is_held_out, difference
    return best


def _without_last_of_a_class(is_chosen: Tensor, groups: Tensor, classes: Tensor) -> Tensor:
    """The chosen groups (n_groups,), but for each class of which they have all samples one group
    less.
    """
    is_held_out = is_chosen[groups]
    n_classes = int(classes.max()) + 1
    is_kept = classes[~is_held_out].bincount(minlength=n_classes) > 0  # (n_classes,)
    is_kept[0] = True  # samples without a label
    rows = (~is_kept)[classes].nonzero().squeeze(1)
    none = torch.full((n_classes,), len(classes), device="cpu")
    first = none.scatter_reduce(0, classes[rows], rows, "amin")  # (n_classes,), or n
    is_chosen = is_chosen.clone()
    is_chosen[groups[first[first < len(classes)]]] = False
    return is_chosen


def one_of_each(data: TrainingData, generator: torch.Generator) -> TrainingData:
    """The samples without those that are of the same class and the same group as another one: a
    random one of them is kept. Without groups, all samples.
    """
    if data.groups is None:
        return data
    groups, labels = data.groups[data.rows], data.labels
    _, units = (groups * (int(labels.max()) + 2) + labels).unique(return_inverse=True)  # (n,)
    order = torch.randperm(len(units), generator=generator, device="cpu")
    none = torch.full((int(units.max()) + 1,), len(units), device="cpu")
    first = none.scatter_reduce(0, units[order], torch.arange(len(units), device="cpu"), "amin")
    return replace(data, rows=data.rows[order[first].sort().values])


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

"""The part of the samples that is held out for a while, to detect overfitting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data import Batch, TrainingData, hold_out, one_of_each
from ..distributed import Processes
from ..training import ROWS_TO_LOOK_AT, WATCHED_PART, OverfittingWatch, fraction_to_watch
from ._found import Earlier
from ._joint import pooled_sample
from ._plan import Plan
from ._prepared import Prepared


@dataclass(frozen=True)
class Watched:
    """A part of the training samples, and the watch for overfitting on the held-out ones."""

    part: TrainingData
    watch: OverfittingWatch
    until: int  # this epoch


def why_not_watched(
    plan: Plan, prepared: Prepared, max_iter: int, earlier: Earlier | None
) -> str | None:
    """Why no samples are held out to detect overfitting; None if some are."""
    if prepared.held_out is not None:
        return "X_val is given"
    if earlier is not None:
        return "warm_start continues a training"
    n_labeled = plan.processes.total(int((prepared.labels >= 0).sum()))
    return plan.why_not_watched(n_labeled, max_iter, has_groups=prepared.data.groups is not None)


def hold_out_to_watch(
    plan: Plan,
    data: TrainingData,
    max_iter: int,
    generator: torch.Generator,
    overfitting: Callable[[Batch, Batch], tuple[Tensor, Tensor]],
) -> Watched | None:
    """Hold samples out to detect overfitting in a training of `max_iter` epochs; None if no sample
    can be. `overfitting` returns the two numbers that show it, from held-out and training samples.
    """
    processes, groups = plan.processes, data.groups_of_rows
    n_groups = None if groups is None else len(groups.unique())
    fraction = fraction_to_watch(
        plan.validation_fraction, processes.total(len(data.rows)), n_groups
    )
    kept, left_out = hold_out(data.labels, fraction, generator, groups)
    if groups is not None and len(left_out) == 0:
        return None
    part = replace(data, rows=data.rows[kept])
    held_out = rows_to_look_at(replace(data, rows=data.rows[left_out]), generator, processes)
    others = rows_to_look_at(part, generator, processes)

    def look() -> tuple[Tensor, Tensor]:
        return processes.of_first(overfitting(held_out, others))

    watch = OverfittingWatch(look, max_iter, of_groups=groups is not None)
    return Watched(part, watch, math.ceil(WATCHED_PART * max_iter))


def rows_to_look_at(data: TrainingData, generator: torch.Generator, processes: Processes) -> Batch:
    """Some of the samples, no two of which are of the same class and the same group: copies of each
    other agree with their labels whatever the training has learned.
    """
    return pooled_sample(one_of_each(data, generator), generator, processes, ROWS_TO_LOOK_AT)

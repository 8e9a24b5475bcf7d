"""A fit, top to bottom: prepare, build, train. It does not depend on scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._devices import resolve_device
from .._threads import threads_for
from ..data import Batch, TrainingData, deal_parts, hold_out
from ..tables import Samples, check_partners
from ..training import MOST_HELD_OUT, Isolation, TrainingInterrupted, isolated
from ._checkpoint import Checkpoint, describe_fit
from ._found import Earlier, Fitted
from ._joint import pooled, pooled_sample
from ._plan import Plan
from ._prepared import Prepared, prepare_features, samples_on_device
from ._training import Callbacks, Training


def fit(
    plan: Plan,
    samples: Samples,
    seed: int,
    *,
    earlier: Earlier | None = None,
    callbacks: Callbacks | None = None,
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Train as the plan says.

    Parameters
    ----------
    plan : Plan
        What the parameters mean.

    samples : Samples
        Checked samples, with labels as positions in their classes.

    seed : int
        Of every random number. In a joint fit, that of process 0 counts.

    earlier : Earlier, default=None
        A fit to continue from. If None, the encoder is a new one.

    callbacks : Callbacks, default=None
        They are called at each epoch, and may stop the training.

    checkpoint : Checkpoint, default=None
        The file from which an interrupted fit continues.

    Returns
    -------
    fitted : Fitted
        Also if the user interrupted after the first epoch: then with an `interruption`, which the
        caller has to raise.
    """
    processes = plan.processes
    seed = processes.of_first(seed)
    # Only the user knows how much a custom encoder computes for a sample.
    n_rows = processes.total(len(samples.X)) if plan.encoder.maker is None else None
    device = resolve_device(plan.device, n_rows=n_rows)
    max_iter = plan.number_of_epochs(processes.total(len(samples.rows)))
    if checkpoint is not None:
        this_fit = describe_fit(plan, samples, device, continues=earlier is not None)
        seed = checkpoint.open_together(this_fit, seed, max_iter, processes)
    interruption: TrainingInterrupted | None = None
    with isolated(seed, device, of_others=plan.runs_code_of_others) as isolation:
        prepared = prepare(plan, samples, isolation, earlier)
        training = Training(
            plan,
            prepared,
            max_iter=max_iter,
            isolation=isolation,
            earlier=earlier,
            callbacks=callbacks,
            checkpoint=checkpoint,
        )
        try:
            training.run()
        except TrainingInterrupted as raised:
            interruption = raised
        found = training.so_far()
        try:
            with threads_for(math.inf):  # it goes through all samples, in large batches
                found = training.found()
        except KeyboardInterrupt:
            interruption = TrainingInterrupted(found.history)
    return replace(found, interruption=interruption)


def prepare(
    plan: Plan,
    samples: Samples,
    isolation: Isolation,
    earlier: Earlier | None,
) -> Prepared:
    """Bring the samples to the device, and hold some out."""
    device, generator = isolation.device, isolation.generator
    features = prepare_features(plan, samples, device, generator, earlier)
    data = samples_on_device(samples, features)
    labels, held_out, neighbors = samples.labels[samples.rows], None, None
    if samples.labels_val is not None:
        assert samples.X_val is not None
        labels_val = torch.from_numpy(samples.labels_val).to(device)
        held_out = pooled(Batch(features.to_device(samples.X_val), labels_val), plan.processes)
    elif plan.holds_out:
        kept, left_out = _hold_out(plan, data, labels, generator)
        held_out = pooled(data.take_at_home(left_out), plan.processes)
        data = replace(data, rows=kept)
    if plan.leaves_out(labels, continues=earlier is not None):
        data = _with_parts(data, plan.encoder.n_members, generator)
    if held_out is None:
        return Prepared(features, data, labels, samples.classes)
    if not samples.validates_on_other_classes:
        neighbors = pooled_sample(data, generator, plan.processes)
    return Prepared(features, data, labels, samples.classes, (held_out, neighbors))


def _hold_out(
    plan: Plan, data: TrainingData, labels: NDArray[np.int64], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The samples to learn from, and those that are held out to stop by."""
    most = MOST_HELD_OUT / plan.processes.total(len(data.rows))
    fraction = min(plan.validation_fraction, most)
    kept, left_out = hold_out(data.labels, fraction, generator, data.groups_of_rows)
    if data.groups is not None and len(left_out) == 0:
        raise ValueError(
            "early_stopping=True cannot hold out a group: each of the groups has all samples of a "
            "class."
        )
    if plan.needs_labels:
        left = labels[kept]
        counts = plan.processes.counts_of(left[left >= 0])
        check_partners(counts, plan.validation_fraction)
    return data.rows[kept], data.rows[left_out]


def _with_parts(data: TrainingData, n_members: int, generator: torch.Generator) -> TrainingData:
    """The samples, each of which one member leaves out if the others suffice."""
    parts = torch.full((data.x.shape[0],), -1, device="cpu")
    parts[data.rows] = deal_parts(data.labels, n_members, generator, data.groups_of_rows)
    return replace(data, parts=parts, n_members=n_members)

"""The training loop, top to bottom."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..data import SharedBatches, TrainingData, class_aware_batches
from ..distributed import Ranks
from ._state import EpochRecord, TrainingState
from ._step import TrainingStep

#: A training whose loss grows to this multiple of the first loss has diverged. (A temperature that
#: falls makes it larger too, but by less.)
_DIVERGED = 1e6


class DivergenceError(ValueError):
    """The loss is not finite, or grows without end."""


class TrainingInterrupted(KeyboardInterrupt):
    """The user interrupted, and the objective keeps what it has learned in these epochs."""

    def __init__(self, history: list[EpochRecord]) -> None:
        epochs = "epoch" if len(history) == 1 else "epochs"
        super().__init__(f"Training interrupted by user. {len(history)} {epochs} are kept.")
        self.history = history


def train(
    state: TrainingState,
    data: TrainingData,
    step: TrainingStep,
    *,
    batch_size: int,
    validate: Callable[[], Tensor] | None = None,
    until: int | None = None,
    on_epoch_begin: Callable[[], None] | None = None,
    ranks: Ranks | None = None,
) -> Iterator[EpochRecord]:
    """Train epoch after epoch. After each one, when its record is yielded, the state is whole.

    Parameters
    ----------
    state : TrainingState
        Goes on from the epoch that it has reached.

    data : TrainingData
        The samples.

    step : TrainingStep
        Learns from a batch.

    batch_size : int
        Samples in a batch.

    validate : callable, default=None
        The validation loss of the objective as it stands.

    until : int, default=None
        Stop before this epoch. If None, all `max_iter` epochs of the state are trained.

    on_epoch_begin : callable, default=None
        Called before each epoch.

    ranks : Ranks, default=None
        The processes that train together. If None, this one trains alone.

    Yields
    ------
    record : EpochRecord
        The last of the state's history.

    Raises
    ------
    DivergenceError
        If the loss of an epoch is not finite, or much larger than at the start.
    """
    labels = data.labels
    until = state.max_iter if until is None else until
    shared = None
    if ranks is not None:
        shared = SharedBatches(labels, batch_size, state.isolation.generator, ranks)
    while state.epoch < until and not state.stopping.should_stop:
        if on_epoch_begin is not None:
            on_epoch_begin()
        epoch = state.epoch
        taught = data if state.spreader is None else state.spreader.begin_epoch(data, epoch)
        state.objective.train()
        n_rows = 0
        sums: dict[str, Tensor] = {}  # kept on the device: an epoch waits for it once
        first: Tensor | None = None
        # By the labels that were given: of few, each batch has some.
        if shared is None:
            places = class_aware_batches(labels, batch_size, state.isolation.generator)
            batches = taught.batches(places)
        else:
            places, shares = shared()
            batches = taught.batches(places, shares)
        for i, batch in enumerate(batches):
            state.set_learning_rate((epoch + i / len(places)) / state.max_iter)
            losses = step(batch, epoch)
            first = losses["loss"].clone() if first is None else first
            size = batch.n_samples
            n_rows += size
            for name, value in losses.items():
                if name in sums:
                    sums[name].add_(value, alpha=size)
                else:
                    sums[name] = value * size

        record: EpochRecord = {"epoch": epoch}
        # Read together, because reading waits for the device.
        assert first is not None  # there is a batch in every epoch
        figures = torch.stack([*sums.values(), first]).tolist()
        if ranks is not None:  # each has its share of the losses
            figures = [
                sum(some) / ranks.size for some in zip(*ranks.exchange(figures), strict=True)
            ]
        *totals, first_loss = figures
        record |= {name: total / n_rows for name, total in zip(sums, totals, strict=True)}
        record |= state.objective.settings(epoch)
        record["learning_rate"] = state.rate
        record["validation_loss"] = None if validate is None else validate().item()
        if ranks is not None:  # what follows from it must be the same in all processes
            record = ranks.of_first(record)
        state.history.append(record)
        if state.first_loss is None:
            state.first_loss = first_loss
        monitored = record["loss" if validate is None else "validation_loss"]
        _check_converges(record, monitored, state.first_loss)
        if state.stopping.update(monitored) and validate is not None:
            state.keep_as_best()
        yield record


def _check_converges(record: EpochRecord, monitored: float, first_loss: float) -> None:
    finite = math.isfinite(record["loss"] + monitored)
    if finite and record["loss"] <= _DIVERGED * max(abs(first_loss), 1.0):
        return
    what = "much larger than at the start" if finite else "not finite"
    raise DivergenceError(
        f"The loss is {what} in epoch {record['epoch']} (training loss {record['loss']}): "
        "the training diverged."
    )
